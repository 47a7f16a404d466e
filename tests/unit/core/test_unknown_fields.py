"""The message for a field that a request does not have names the one that was meant."""

import pytest
from pydantic import BaseModel, ValidationError

from app.api.event_input import EventInput
from app.api.problems import read_as, translate
from app.core.errors import InvalidRequestError
from app.domain.request import RecommendRequest


@pytest.mark.parametrize(
    ("model", "body", "field", "nearest"),
    [
        (RecommendRequest, b'{"quary":"x"}', "quary", "query"),
        (RecommendRequest, b'{"q":"x"}', "q", "query"),
        (RecommendRequest, b'{"userId":"7"}', "userId", "user_id"),
        (RecommendRequest, b'{"limit":5}', "limit", "k"),
        (RecommendRequest, b'{"sort":"price"}', "sort", "intent"),
        (RecommendRequest, b'{"page":2}', "page", "cursor"),
        (EventInput, b'{"item_id":"1","event_type":"view"}', "event_type", "event"),
        (EventInput, b'{"item_id":"1","rating":5}', "rating", "value"),
        (EventInput, b'{"item_id":"1","ts":5}', "ts", "timestamp"),
        (RecommendRequest, b'{"likes":["1"]}', "likes", "like"),
        (RecommendRequest, b'{"intent":{"filter":{}}}', "intent.filter", "filters"),
        (
            RecommendRequest,
            b'{"intent":{"spans":[{"start":0,"end":1,"means":"","mean":""}]}}',
            "intent.spans.0.mean",
            "means",
        ),
        (RecommendRequest, b'{"exclude_seen":{"event":["view"]}}', "exclude_seen.event", "events"),
        (EventInput, b'{"item_id":"1","item":"1"}', "item", "item_id"),
        (EventInput, b'{"item_id":"1","time":1}', "time", "timestamp"),
    ],
)
def test_the_nearest_field_is_named(
    model: type[BaseModel], body: bytes, field: str, nearest: str
) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_as(model, body)

    assert caught.value.field == field
    assert caught.value.message == f"there is no such field; did you mean `{nearest}`?"


def test_where_none_is_near_all_are_named() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_as(RecommendRequest, b'{"exclude_seen":{"colour":1}}')

    assert caught.value.message == "there is no such field; there are: events, within"


def test_without_the_model_nothing_is_guessed() -> None:
    with pytest.raises(ValidationError) as caught:
        RecommendRequest.model_validate_json(b'{"quary":1}')

    assert translate(caught.value).message == "there is no such field"
