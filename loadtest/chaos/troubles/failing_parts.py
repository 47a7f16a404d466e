"""The encoder, a source, the scorer, or the whole pass fails on queries that name it.

A query with the word "encoderfault" cannot be encoded, on "sourcefault" the source `meaning` and on
"scorerfault" the scorer raises, and on "poison" every pass.
"""

from collections.abc import Callable, Sequence

from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.engine.encoding.query_cache import RememberedQueries
from app.engine.retrieval.sources import MeaningSource
from app.engine.scoring.learned import LearnedScorer
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine


def seed() -> None:
    """Raise in each of the four parts."""
    RememberedQueries.encode = _failing(
        RememberedQueries.encode, "encoderfault", EngineError("the texts could not be encoded")
    )
    MeaningSource.search = _failing(MeaningSource.search, "sourcefault", RuntimeError("index"))
    LearnedScorer.scores = _failing(LearnedScorer.scores, "scorerfault", KeyError("weights"))
    prepare = CurrentEngine.prepare

    def poisoned(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        if any("poison" in request.query for request in batch):
            raise RuntimeError("this request cannot be ranked")
        return prepare(self, batch)

    CurrentEngine.prepare = poisoned


def _failing(method: Callable, word: str, error: Exception) -> Callable:
    def failing(self: object, asked: Sequence, *rest: object) -> object:
        if any(word in (each if isinstance(each, str) else each.query) for each in asked):
            raise error
        return method(self, asked, *rest)

    return failing
