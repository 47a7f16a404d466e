"""What is said of a wrong value never shows a pattern or the words of the library."""

import pytest
from pydantic import ValidationError

from app.api.event_input import EventInput
from app.api.problems import read_as
from app.core.errors import InvalidRequestError
from app.core.settings import Settings
from app.core.validation_words import words_for
from app.domain.request import RecommendRequest


def refused(body: bytes) -> tuple[str | None, str]:
    with pytest.raises(InvalidRequestError) as caught:
        read_as(RecommendRequest, body)
    return caught.value.field, caught.value.message


@pytest.mark.parametrize(
    ("body", "field", "message"),
    [
        (b'{"user_id":"a\\nb"}', "user_id", "it has a control character, such as a line break"),
        (b'{"cursor":"a b"}', "cursor", "this is no cursor of an answer"),
        (
            b'{"exclude_seen":{"within":"a month"}}',
            "exclude_seen.within",
            "Input should be a number and s, m, h, d or w, such as 30d",
        ),
        (b'{"k":101}', "k", "k may be at most 100 without candidates"),
        (
            b'{"user_id":"a","session_id":"b"}',
            "session_id",
            "give user_id or session_id, not both",
        ),
        (b"", None, "the body is empty: send JSON"),
        (b" \n", None, "the body is empty: send JSON"),
        (
            b"\xef\xbb\xbf{}",
            None,
            "the body begins with a byte order mark: send UTF-8 without one",
        ),
    ],
)
def test_a_refusal_says_what_is_wanted(body: bytes, field: str | None, message: str) -> None:
    assert refused(body) == (field, message)


def test_an_unknown_field_says_more_than_the_one_that_is_missing() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_as(EventInput, b'{"user_id":"u","sku":"1"}')

    assert caught.value.field == "sku"
    assert caught.value.message == "there is no such field; did you mean `item_id`?"


def test_a_missing_field_is_said_to_be_required() -> None:
    with pytest.raises(InvalidRequestError) as caught:
        read_as(EventInput, b'{"user_id":"u"}')

    assert (caught.value.field, caught.value.message) == ("item_id", "this field is required")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("cache_url", "localhost:6379", "it must begin with redis://, rediss:// or unix://"),
        ("llm_url", "localhost", "it must begin with http:// or https://"),
        ("port", "abc", "Input should be a valid integer"),
        ("root_path", "shop", "it begins with a slash and is part of an address, such as /shop"),
    ],
)
def test_a_wrong_setting_is_said_in_our_words(name: str, value: str, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Settings.model_validate({name: value})

    assert words_for(caught.value.errors()[0]) == message


def test_an_empty_variable_is_an_unset_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PORT", "HOST", "CACHE_URL", "BUNDLE"):
        monkeypatch.setenv(f"RECSERVE_{name}", "")

    settings = Settings()

    assert (settings.port, settings.host, settings.cache_url) == (8000, "127.0.0.1", None)
    assert str(settings.bundle) == "models/demo"
