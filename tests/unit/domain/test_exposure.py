"""`exposure`: what is refused, the canonical text, and shares as numbers of places."""

from typing import Any

import orjson
import pytest
from pydantic import ValidationError

from app.core.errors import InvalidRequestError
from app.domain.exposure import ExposureWish, Group, checked_exposure, exposure_of

KINDS = {"maker": "string", "tags": "strings", "new": "boolean", "price": "number", "at": "time"}
ROLES = {"provider": "maker", "price": "price"}


def wish(field: str = "maker", **groups: dict[str, float]) -> ExposureWish:
    return ExposureWish.model_validate_json(orjson.dumps({"field": field, "groups": groups}))


@pytest.mark.parametrize(
    "sent",
    [
        {"field": "maker"},
        {"field": "maker", "groups": {}},
        {"field": "", "groups": {"a": {"min": 0.1}}},
        {"field": "maker", "groups": {"": {"min": 0.1}}},
        {"field": "maker", "groups": {"a": {}}},
        {"field": "maker", "groups": {"a": {"min": None}}},
        {"field": "maker", "groups": {"a": {"min": -0.1}}},
        {"field": "maker", "groups": {"a": {"max": 1.1}}},
        {"field": "maker", "groups": {"a": {"min": "0.1"}}},
        {"field": "maker", "groups": {"a": {"min": True}}},
        {"field": "maker", "groups": {"a": {"min": 0.5, "max": 0.4}}},
        {"field": "maker", "groups": {"a": {"least": 0.5}}},
        {"field": "maker", "groups": {str(n): {"min": 0.1} for n in range(9)}},
    ],
)
def test_wrong_wishes_are_refused(sent: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        ExposureWish.model_validate_json(orjson.dumps(sent))


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_what_is_no_share_is_refused(number: str) -> None:
    with pytest.raises(ValidationError):
        ExposureWish.model_validate_json(f'{{"field":"maker","groups":{{"a":{{"min":{number}}}}}}}')


def test_equal_wishes_are_equal_text_that_can_be_read_again() -> None:
    one = checked_exposure(wish(b={"max": 0.5}, a={"min": 0.2}), KINDS, ROLES)
    assert one == checked_exposure(wish(a={"min": 0.2}, b={"max": 0.5}), KINDS, ROLES)
    read = exposure_of(one)
    assert (read.field, read.groups) == ("maker", (Group("a", 0.2, None), Group("b", None, 0.5)))


def test_a_field_goes_before_a_role_and_a_role_before_nothing() -> None:
    assert exposure_of(checked_exposure(wish("provider", a={"min": 0.2}), KINDS, ROLES)).field == (
        "maker"
    )
    kinds = {**KINDS, "provider": "string"}
    found = exposure_of(checked_exposure(wish("provider", a={"min": 0.2}), kinds, ROLES))
    assert found.field == "provider"


@pytest.mark.parametrize(
    ("sent", "field", "said"),
    [
        (wish("color", a={"min": 0.2}), "exposure.field", "at, maker, new, price, tags"),
        (wish("price", a={"min": 0.2}), "exposure.field", "'price' is a number"),
        (wish("at", a={"min": 0.2}), "exposure.field", "'at' is a time"),
        (wish("maker", a={"min": 0.6}, b={"min": 0.5}), "exposure.groups", "more than 1"),
    ],
)
def test_what_the_catalogue_cannot_do_is_refused(sent: ExposureWish, field: str, said: str) -> None:
    with pytest.raises(InvalidRequestError, match=said) as caught:
        checked_exposure(sent, KINDS, ROLES)
    assert caught.value.field == field


def test_floors_of_a_field_with_lists_may_add_up_to_more_than_one() -> None:
    assert checked_exposure(wish("tags", a={"min": 0.6}, b={"min": 0.6}), KINDS, ROLES)
    assert checked_exposure(wish("maker", a={"min": 0.7}, b={"min": 0.3}), KINDS, ROLES)


@pytest.mark.parametrize(
    ("least", "most", "places", "counts"),
    [
        (0.2, None, 10, (2, 10)),
        (0.2, None, 7, (2, 7)),
        (None, 0.3, 7, (0, 2)),
        (0.1 + 0.2, 0.3, 10, (3, 3)),
        (0.25, 0.25, 10, (3, 3)),
        (0.0, 0.0, 10, (0, 0)),
        (1.0, 1.0, 10, (10, 10)),
        (0.29, 0.7, 100, (29, 70)),
    ],
)
def test_shares_are_whole_items(
    least: float | None, most: float | None, places: int, counts: tuple[int, int]
) -> None:
    assert Group("a", least, most).counts(places) == counts
