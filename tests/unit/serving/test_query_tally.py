"""The tally of the newest queries, and what counts in it."""

from app.core.ranking import RankResult
from app.serving.query_tally import QueryCounts, QueryTally
from app.testing.fakes import GatedEngine
from tests.recommender_rig import rig


def test_only_the_newest_count() -> None:
    tally = QueryTally(newest=3)
    for wordless, weak in ((True, True), (True, False), (False, True), (False, False)):
        tally.note(RankResult((), wordless=wordless, weak=weak))
    assert tally.counts == QueryCounts(queries=3, wordless=1, weak=1)


async def test_computed_answers_to_queries_count_and_hits_do_not() -> None:
    engine = GatedEngine()
    engine.weak = {"huh"}
    async with rig(engine=engine) as r:
        for request in ({"query": "huh"}, {"query": "huh"}, {"query": "a"}, {"user_id": "7"}):
            await r.get(**request)
        assert r.service.recommender.queries.counts == QueryCounts(2, 0, 1)
