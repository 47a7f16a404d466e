"""Measures the parser alone: what it costs to understand a query, without encoding or ranking."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

QUERIES: Final = 1_000
"""How many queries `recserve bench` parses."""

_ROUNDS: Final = 5


@dataclass(frozen=True, slots=True)
class ParseTimes:
    """Milliseconds a query: the median and the 99th percentile over `n` queries."""

    n: int
    median_ms: float
    p99_ms: float


def parse_times(
    parse: Callable[[str], object], queries: Sequence[str], clock: Callable[[], float]
) -> ParseTimes:
    """Parse each query several times; the shortest time of each counts.

    The other times of a query say what else the machine did. `clock`: seconds.
    """
    best = np.full(len(queries), np.inf)
    for _ in range(_ROUNDS):
        for number, query in enumerate(queries):
            start = clock()
            parse(query)
            best[number] = min(best[number], clock() - start)
    median, p99 = np.percentile(best * 1e3, [50, 99]).tolist()
    return ParseTimes(len(queries), median, p99)
