"""Interprets a query before it is encoded: what it asks for, and the words that are left.

The engine calls `interpret` once for each request of a batch, in the first half of a pass. So a
request that a cache answers does not pay for it. The second half of the pass gets the intents with
the batch.

A request may bring the intent of its query, or switch intents off. A query without any letter or
digit counts as no query.
"""

from collections.abc import Sequence
from typing import Final, Protocol

from app.core.ranking import RankRequest
from app.domain.intent import INTENT_OFF, Intent, intent_of
from app.engine.catalogue.catalogue import Record

NO_QUERY: Final = Intent()


class Parser(Protocol):
    """Parses queries over the catalogue of one moment; immutable, so any thread may use it."""

    def changed(self, before: Sequence[Record | None], after: Sequence[Record | None]) -> "Parser":
        """Return the parser over the catalogue once items have changed.

        `before`, `after`: each item as it was and as it will be; None where there is none.
        """
        ...

    def knows(self, record: Record) -> bool:
        """Tell whether all values of an item are known: others may give queries another meaning."""
        ...

    def parse(self, query: str, now: float) -> Intent:
        """Return what a query asks for. `now`: unix seconds, for "last year" and the like.

        Deterministic: the same words at the same moment have the same intent. `residual_text` is
        "" where nothing is left to search by.
        """
        ...


def interpret(request: RankRequest, parser: Parser | None) -> Intent:
    """Return what the query of a request asks for. `parser`: None = its own words only."""
    if request.intent and request.intent != INTENT_OFF:
        return intent_of(request.intent)
    if not has_words(request.query):
        return NO_QUERY
    if request.intent or parser is None:
        return Intent(residual_text=request.query)
    return parser.parse(request.query, request.now).bounded()


def has_words(text: str) -> bool:
    """Tell whether a text has a letter or a digit, in any script.

    >>> [has_words(text) for text in ("C++", "科幻", "7", "?!", "", "\u200b")]
    [True, True, True, False, False, False]
    """
    return any(map(str.isalnum, text))
