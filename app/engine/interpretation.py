"""What a query means, found out before it is encoded: the place for understanding queries.

`RankEngine.prepare` calls `interpret` once for each request of a batch, in the model thread. So a
request that a cache answers does not pay for it. What is found out travels with the batch to the
second half of the pass.

Today a query means its own text, and a query without any letter or digit means nothing: the answer
is what somebody gets who sends no query.
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
