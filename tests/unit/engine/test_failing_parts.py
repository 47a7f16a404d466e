"""Parts of a pass that fail: the answer comes without them, says so, and the others are whole."""

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from app.core.errors import EngineError
from app.core.ranking import RankRequest, RankResult
from app.engine.engine import RankEngine
from app.engine.retrieval.resolve import ResolvedRequest
from app.testing.encoder import HashEncoder
from tests.small_engine import small_engine

WELL, POISON = RankRequest(query="space", k=5), RankRequest(query="crime", k=5)


class FailingSource:
    """A source that fails on the requests that a test names."""

    def __init__(self, source, fails: Callable[[ResolvedRequest], bool]) -> None:
        self._source, self._fails = source, fails
        self.name = source.name

    def search(self, requests: Sequence[ResolvedRequest]):
        if any(map(self._fails, requests)):
            raise RuntimeError("the index is broken")
        return self._source.search(requests)


def with_failing(name: str, fails: Callable[[ResolvedRequest], bool]) -> RankEngine:
    engine = small_engine()
    parts = engine._parts
    sources = tuple(
        FailingSource(each, fails) if each.name == name else each for each in parts.sources
    )
    assert sources != parts.sources
    engine._parts = replace(parts, sources=sources)
    return engine


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


@pytest.mark.parametrize("name", [source.name for source in small_engine()._parts.sources])
def test_a_source_that_fails_is_left_out_and_named(name):
    (result,) = with_failing(name, lambda _: True).rank([WELL]).results
    assert len(result.items) == 5
    assert result.degraded == (f"source:{name}",)


def test_only_the_request_on_which_a_source_fails_loses_it():
    engine = with_failing("meaning", lambda request: request.query == "crime")
    well, poison = engine.rank([WELL, POISON]).results
    assert (well.degraded, poison.degraded) == ((), ("source:meaning",))
    assert ids(well) == ids(small_engine().rank([WELL]).results[0])
    assert ids(poison)[0] in {"heist", "mob"}  # by its words


class FailingEncoder(HashEncoder):
    """Fails on texts with a word."""

    def encode(self, texts, role="item"):
        if role == "query" and any("crime" in text for text in texts):
            raise EngineError("the texts could not be encoded")
        return super().encode(texts, role)


def test_only_the_query_that_cannot_be_encoded_is_answered_by_its_words():
    engine = small_engine(encoder=FailingEncoder())
    well, poison = engine.rank([WELL, POISON]).results
    assert (well.degraded, poison.degraded) == ((), ("encoder",))
    assert ids(well) == ids(small_engine().rank([WELL]).results[0])
    assert ids(poison)[0] in {"heist", "mob"}


class FailingScorer:
    """Fails on requests with a query, in a way that nobody foresaw."""

    networks = ()

    def __init__(self, scorer) -> None:
        self._scorer = scorer

    def scores(self, requests, *rest):
        if any(request.query == "crime" for request in requests):
            raise KeyError("weights")
        return self._scorer.scores(requests, *rest)


def test_only_the_request_that_cannot_be_scored_keeps_the_order_of_retrieval():
    engine = small_engine()
    engine._parts = replace(engine._parts, scorer=FailingScorer(engine._parts.scorer))
    well, poison = engine.rank([WELL, POISON]).results
    assert (well.degraded, poison.degraded) == ((), ("rerank",))
    assert ids(well) == ids(small_engine().rank([WELL]).results[0])
    assert len(poison.items) == 5


def test_all_sources_may_fail_and_the_items_for_everybody_are_left():
    engine = small_engine()
    names = [source.name for source in engine._parts.sources]
    engine._parts = replace(
        engine._parts,
        sources=tuple(FailingSource(each, lambda _: True) for each in engine._parts.sources),
    )
    (result,) = engine.rank([WELL]).results
    assert len(result.items) == 5
    assert sorted(result.degraded) == sorted(f"source:{name}" for name in names)
