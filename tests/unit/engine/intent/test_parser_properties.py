"""What holds for every text: a parse never fails, is the same again, and makes nothing up."""

import gc
import random
import time
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from app.domain.filters import parse_filter
from app.domain.intent import SORTS, TONES, Intent
from app.engine.intent.cutting import cut
from app.engine.intent.phrases import phrase_books
from tests.intent_catalogues import NOW, parser_for

DOMAINS: Final = ("film", "shop", "news", "music")
MOST: Final = 512
"""Characters of a query."""

pieces = sorted({token for book in phrase_books().values() for token in book.words})
pieces += [
    "不",
    "要",
    "除",
    "了",
    "以",
    "外",
    "像",
    "一",
    "样",
    "的",
    "90",
    "s",
    "$",
    "-",
    "50",
    "2012",
    "gb",
    ",",
    *"፭②²௰",  # digits, and yet no number can be read from them
]
text = st.one_of(
    st.text(max_size=MOST),
    st.lists(st.sampled_from(pieces), max_size=40).map(lambda some: " ".join(some)[:MOST]),
    st.lists(st.sampled_from(pieces), max_size=40).map(lambda some: "".join(some)[:MOST]),
)


def check(domain: str, query: str, intent: Intent) -> None:
    parser = parser_for(domain)
    assert intent == parser.parse(query, NOW)
    assert intent.sort in SORTS
    assert set(intent.tone) <= set(TONES)
    assert 0.0 <= intent.confidence <= 1.0
    assert intent.count is None or 1 <= intent.count <= 100
    for span in intent.spans:
        assert 0 <= span.start < span.end <= len(query)
    for filters in (intent.filters, intent.prefers):
        if filters:
            parse_filter(filters, parser.vocabulary.fields.kinds)
    words = cut(query).texts
    assert all(word in words for word in cut(intent.residual_text).texts)
    for title in (*intent.like_titles, *intent.dislike_titles):
        assert title in query
    for word in intent.without:
        assert word in query.lower()


@settings(max_examples=300, deadline=None)
@given(query=text, domain=st.sampled_from(DOMAINS))
@example(query="films under ፭", domain="film")
@example(query="İ not Ⅷ", domain="film")
@example(query="ﬁlms of the ½ 90s", domain="film")
@example(query="\ud800 newest", domain="film")
@example(query='like "" and ""', domain="film")
def test_every_text_has_an_intent_that_the_engine_can_obey(query: str, domain: str) -> None:
    check(domain, query, parser_for(domain).parse(query, NOW))


ADVERSARIAL = [
    "not " * 128,
    "like a and " * 46,
    "between 1 and 2 " * 32,
    "the the the last the first " * 18,
    "1" * MOST,
    "1-" * 256,
    "$" * MOST,
    "不要" * 256,
    "像一样" * 170,
    "一二三" * 170,
    "九十年代到" * 102,
    '"' * MOST,
    "under 5 or less and up " * 22,
    "a hour and a half and a half hours " * 14,
    "like " * 102,
    "horror or " * 51,
    "no horror, war, drama, " * 22,
    "comedies and thrillers " * 22,
    "2 hours " * 64,
    "x" * MOST,
    "no " * 170,
    "old " * 128,
    "hot top " * 64,
    "新" * MOST,
    "不" * MOST,
    "和" * MOST,
    "dark light " * 46,
    "new new new york " * 30,
]


@pytest.mark.parametrize("query", [query[:MOST] for query in ADVERSARIAL])
def test_no_text_takes_long(query: str) -> None:
    """Not a measurement: a search that grows with the square of the text would take seconds."""
    start = time.process_time()
    for domain in DOMAINS:
        check(domain, query, parser_for(domain).parse(query, NOW))
    assert time.process_time() - start < 2.0


def test_texts_of_random_phrases_take_no_time_either() -> None:
    rng = random.Random(5)
    start = time.process_time()
    for _ in range(50):
        query = " ".join(rng.choice(pieces) for _ in range(120))[:MOST]
        parser_for("shop").parse(query, NOW)
    assert time.process_time() - start < 5.0


@pytest.mark.parametrize("query", ["five 90s films under $50", "movies like Alien, not horror"])
def test_a_parse_leaves_nothing_to_the_garbage_collector(query: str) -> None:
    """Thousands a second in reference cycles keep the collector busy, and all others waiting."""
    parser = parser_for("film")
    parser.parse(query, NOW)
    gc.collect()
    gc.disable()
    try:
        parser.parse(query, NOW)
        assert gc.collect() == 0
    finally:
        gc.enable()
