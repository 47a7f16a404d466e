"""Interprets a query before it is encoded: the place for understanding queries.

The engine calls `interpret` once for each request of a batch, in the first half of a pass. So a
request that a cache answers does not pay for it. The second half of the pass gets the
interpretations with the batch.

Today a query means its own text. A query without any letter or digit counts as no query.
"""

from dataclasses import dataclass
from typing import Final

from app.core.types import RankRequest


@dataclass(frozen=True, slots=True)
class Interpretation:
    """What the query of one request means.

    `residual_text`: the part of the query that is encoded and searched; "" = there is no query.
    """

    residual_text: str


NO_QUERY: Final = Interpretation("")


def interpret(request: RankRequest) -> Interpretation:
    """Return what the query of a request means."""
    return Interpretation(request.query) if has_words(request.query) else NO_QUERY


def has_words(text: str) -> bool:
    """Tell whether a text has a letter or a digit, in any script.

    >>> [has_words(text) for text in ("C++", "科幻", "7", "?!", "", "\u200b")]
    [True, True, True, False, False, False]
    """
    return any(map(str.isalnum, text))
