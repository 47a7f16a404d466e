"""How well the newest queries were understood. Only computed answers count, so hits pay nothing."""

from collections import deque
from typing import Final, NamedTuple

from app.core.ranking import RankResult

NEWEST: Final = 1000


class QueryCounts(NamedTuple):
    """Of the newest `queries`: how many found no item by a word, and how many were weak."""

    queries: int
    wordless: int
    weak: int


class QueryTally:
    """Remembers two facts of each of the newest queries. Belongs to one event loop."""

    def __init__(self, newest: int = NEWEST) -> None:
        """Remember the `newest` ones."""
        self._facts: deque[tuple[bool, bool]] = deque(maxlen=newest)

    def __repr__(self) -> str:
        return f"<QueryTally {self.counts}>"

    def note(self, result: RankResult) -> None:
        """Note the answer to a query."""
        self._facts.append((result.wordless, result.weak))

    @property
    def counts(self) -> QueryCounts:
        """What was noted, counted."""
        facts = self._facts
        return QueryCounts(
            len(facts), sum(wordless for wordless, _ in facts), sum(weak for _, weak in facts)
        )
