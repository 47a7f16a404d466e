"""How much something is used, in one number, where a use of long ago counts less than one of now.

A use counts half as much after each `HALF_LIFE_S`. The score is the binary logarithm of that sum,
as of the moment 0 of unix time. So scores of different moments compare, and a score needs to be
written only when something is used.
"""

import math
from typing import Final

HALF_LIFE_S: Final = 7 * 86_400.0

UNUSED_S: Final = 60 * 86_400.0
"""What was used once and then not for so long is forgotten; what was used more, a little later."""

MOST_LEARNED: Final = 10_000
"""Most intents of one namespace."""


def score_of(uses: int, now: float) -> float:
    """Return the score of `uses` ≥ 1 at `now`, unix seconds."""
    return now / HALF_LIFE_S + math.log2(uses)


def added(score: float, more: float) -> float:
    """Return the score of what has both scores together.

    >>> added(score_of(1, 0.0), score_of(3, 0.0)) == score_of(4, 0.0)
    True
    """
    high, low = max(score, more), min(score, more)
    return high + math.log2(1.0 + 2.0 ** (low - high))


def lowest(now: float) -> float:
    """Return the score below which something is forgotten at `now`, unix seconds."""
    return score_of(1, now - UNUSED_S)


def kept_of(most: int) -> int:
    """Return how many stay when there are more than `most`: a tenth leaves at a time."""
    return max(1, most - most // 10)
