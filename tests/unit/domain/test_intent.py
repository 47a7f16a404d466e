"""The intent of a query: its JSON, and the parts of its filters."""

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.intent import TONES, Intent, Span, Tone, all_of, intent_of


def test_an_intent_is_read_back_from_its_text() -> None:
    intent = Intent(
        sort="newest",
        filters='{"categories":{"any":["Comedy"]}}',
        prefers='{"brand":{"eq":"Acme"}}',
        without=("sugar",),
        like=("1",),
        tone=("light",),
        count=5,
        residual_text="space",
        language="en",
        confidence=0.5,
        spans=(Span(0, 6, "sort:newest"),),
    )
    assert intent_of(intent.text()) == intent


@given(
    words=st.text(st.characters(exclude_categories=["Cs"])),
    confidence=st.floats(0, 1),
    tone=st.lists(st.sampled_from(TONES), max_size=1).map(tuple),
    title=st.booleans(),
)
def test_its_text_is_what_is_shown(
    words: str, confidence: float, tone: tuple[Tone, ...], *, title: bool
) -> None:
    intent = Intent(
        residual_text=words, language=words, confidence=confidence, tone=tone, title=title
    )
    assert intent.text() == orjson.dumps(intent.shown(), option=orjson.OPT_SORT_KEYS).decode()


def test_an_absent_key_is_an_absent_demand() -> None:
    assert intent_of("{}") == Intent()
    assert intent_of("{}").is_plain


@pytest.mark.parametrize(
    ("filters", "demands", "negations"),
    [
        ("", "", ""),
        ('{"a":{"any":["x"]}}', '{"a":{"any":["x"]}}', ""),
        ('{"$not":[{"a":{"eq":"x"}}]}', "", '{"$not":[{"a":{"eq":"x"}}]}'),
        ('{"a":{"any":["x"],"not":["y"]}}', '{"a":{"any":["x"]}}', '{"a":{"not":["y"]}}'),
        (
            '{"$and":[{"a":{"eq":"x"}},{"b":{"not":"y"}}]}',
            '{"$and":[{"a":{"eq":"x"}}]}',
            '{"$and":[{"b":{"not":"y"}}]}',
        ),
        ('{"$or":[{"a":{"not":"x"}}]}', '{"$or":[{"a":{"not":"x"}}]}', ""),
    ],
)
def test_negations_part_from_demands(filters: str, demands: str, negations: str) -> None:
    intent = Intent(filters=filters)
    assert (intent.demands, intent.negations) == (demands, negations)
    assert intent.relaxed().filters == negations


def test_filters_are_combined() -> None:
    assert all_of("", "") == ""
    assert all_of('{"a":{"eq":1}}', "", '{"b":{"eq":2}}') == (
        '{"$and":[{"a":{"eq":1}},{"b":{"eq":2}}]}'
    )


def test_a_title_is_never_weak() -> None:
    assert Intent(confidence=0.1).is_weak
    assert not Intent(confidence=0.9).is_weak
    assert not Intent(confidence=0.1, title=True).is_weak
