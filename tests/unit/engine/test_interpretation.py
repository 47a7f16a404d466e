"""What a query asks for before it is encoded: parsed, sent by the caller, or its own words."""

import pytest

from app.core.ranking import RankRequest, RankResult
from app.domain.filters import filter_text
from app.domain.intent import INTENT_OFF, MAX_SPANS, MAX_TITLES, MAX_WITHOUT, Intent, Span
from app.domain.request import RecommendRequest
from app.engine.interpretation import NO_QUERY, interpret
from tests.small_engine import small_engine

SIGNS = ["?!", "… — …", "🎬🍿", "\u200b\u200d", "'"]


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


@pytest.mark.parametrize("query", ["crime", "C++", "½", "映画", " 7 "])
def test_without_a_parser_a_query_means_its_own_text(query: str) -> None:
    assert interpret(RankRequest(query=query), None) == Intent(residual_text=query)


class NewestOnly:
    """Takes every query for a wish for the newest."""

    def knows(self, record: object) -> bool:
        return True

    def changed(self, before: object, after: object) -> "NewestOnly":
        return self

    def parse(self, query: str, now: float) -> Intent:
        return Intent(sort="newest", valid_until=now)


def test_a_query_is_parsed_unless_the_request_says_otherwise() -> None:
    request = RankRequest(query="new crime", now=7.0)
    assert interpret(request, NewestOnly()) == Intent(sort="newest", valid_until=7.0)
    assert interpret(request._replace(intent=INTENT_OFF), NewestOnly()) == Intent(
        residual_text="new crime"
    )
    sent = request._replace(intent='{"sort": "oldest"}')
    assert interpret(sent, NewestOnly()) == Intent(sort="oldest")


class EveryWordUnwanted:
    """Takes every word of a query for an unwanted one."""

    def parse(self, query: str, now: float) -> Intent:
        words = query.split()
        return Intent(without=tuple(words), spans=(Span(0, 1, "without"),) * len(words))


def test_a_query_has_no_more_demands_than_a_caller_may_send() -> None:
    words = [f"w{n}" for n in range(100)]
    intent = interpret(RankRequest(query=" ".join(words)), EveryWordUnwanted())
    assert intent.without == tuple(words[:MAX_WITHOUT])
    assert len(intent.spans) == MAX_SPANS
    sent = RecommendRequest.model_validate({"intent": intent.shown()}).sent_intent
    assert sent is not None
    assert sent.meaning() == intent


class EveryWordATitle:
    """Takes every word of a query for a title."""

    def parse(self, query: str, now: float) -> Intent:
        words = tuple(query.split())
        return Intent(like_titles=words, dislike_titles=words)


def test_a_query_names_no_more_titles_than_can_be_looked_up() -> None:
    words = [f"w{n}" for n in range(100)]
    intent = interpret(RankRequest(query=" ".join(words)), EveryWordATitle())
    assert intent.like_titles == intent.dislike_titles == tuple(words[:MAX_TITLES])


@pytest.mark.parametrize("query", ["", *SIGNS])
def test_without_a_letter_or_digit_there_is_no_query(query: str) -> None:
    assert interpret(RankRequest(query=query), NewestOnly()) == NO_QUERY


@pytest.mark.parametrize("query", SIGNS)
def test_such_a_query_gets_the_answer_without_query(query: str) -> None:
    engine = small_engine({"love": 1.0, "mob": 0.5})
    history = ("heist",)

    plain, signs = engine.rank([RankRequest(), RankRequest(query=query)]).results
    assert signs == plain
    assert ids(signs)[:2] == ["love", "mob"]
    assert signs.items[0].sources[0].name == "popular"
    both = [RankRequest(history=history), RankRequest(query=query, history=history)]
    plain, signs = engine.rank(both).results
    assert signs == plain


def test_requests_of_one_batch_keep_their_own_query() -> None:
    engine = small_engine({"love": 1.0})
    queries = ["mob crime", "!!!", "", "space horror", "?"]

    results = engine.rank([RankRequest(query=query, k=1) for query in queries]).results
    assert [ids(result)[0] for result in results] == ["mob", "love", "love", "alien", "love"]


def test_an_answer_that_is_filled_up_keeps_its_query_only_if_relaxed() -> None:
    drama = filter_text({"categories": {"any": ["drama"]}})
    request = RankRequest(query="space horror", filter=drama, k=3)
    engine = small_engine({"heist": 1.0})

    for on_empty, last in (("relax", "alien"), ("popular", "heist")):
        (result,) = engine.rank(
            [RankRequest(request.query, filter=drama, k=3, on_empty=on_empty)]
        ).results
        assert (ids(result)[2], result.passing) == (last, 2)
