"""What remembers inputs must forget them: a million different ones, and the memory that is left.

    python -m loadtest.soak.caps --inputs 1000000

Users and queries go directly into the parts that remember some of them: the in-process cache, the
vectors of queries, requests that run now, repeated log lines, folded words and intents. That takes
a minute; whole requests would take an hour. Prints JSON: the memory that was taken after the first
tenth (MB), and how many entries the largest container of the process has.
"""

import argparse
import asyncio
import gc
import json
import logging
import os
import sys
from collections import deque
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

from app.core.logs import OncePerMinute
from app.core.telemetry import Metrics
from app.core.types import Mask, Matrix, TextRole
from app.domain.folded_words import folded_words
from app.domain.intent import intent_of
from app.engine.encoding.query_cache import MOST, RememberedQueries
from app.serving.caching.local import LocalCache
from app.serving.caching.single_flight import SingleFlight
from loadtest.soak.figures import give_back, memory_of

_LOCAL_BYTES: Final = 4_194_304
_TTL_S: Final = 300.0
_ANSWER: Final = b"a" * 500
_AT_ONCE: Final = 100
_STOP_MB: Final = 200.0
"""A larger growth is told before all inputs were given."""


class Zeros:
    """An `Encoder` that does not look at texts."""

    id, dim, centre = "zeros", 384, None

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:  # noqa: ARG002
        """Return float32[len(texts), dim]."""
        return np.zeros((len(texts), self.dim), np.float32)

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: all."""
        return np.ones(len(texts), np.bool_)


class Parts:
    """The parts that remember."""

    def __init__(self) -> None:
        metrics = Metrics(CollectorRegistry())
        self._local = LocalCache(_LOCAL_BYTES, _TTL_S, metrics)
        self._vectors = RememberedQueries(Zeros(), MOST)
        self._flights: SingleFlight[bytes] = SingleFlight(metrics)
        self._troubles = OncePerMinute()

    async def take(self, number: int) -> None:
        """Take the next `_AT_ONCE` inputs, from this number on."""
        queries = [f"query {n} of nobody" for n in range(number, number + _AT_ONCE)]
        self._vectors.encode(queries)
        deadline = asyncio.get_running_loop().time() + _TTL_S
        keys = [blake2b(query.encode()).digest() for query in queries]
        await asyncio.gather(
            *(self._flights.run(key, deadline, _begin, lambda answer: answer) for key in keys)
        )
        for key, query in zip(keys, queries, strict=True):
            self._local.put(key, _ANSWER)
            folded_words(query)
            intent_of(json.dumps({"residual_text": query}))
            words = f"no history of user {query}"
            record = logging.LogRecord("app", logging.WARNING, __file__, 1, words, None, None)
            self._troubles.filter(record)


def _begin() -> "asyncio.Future[bytes]":
    future = asyncio.get_running_loop().create_future()
    future.set_result(_ANSWER)
    return future


async def run(inputs: int) -> dict[str, object]:
    """Give `inputs` different inputs to all parts."""
    parts, before, given = Parts(), float("inf"), 0
    tenth = inputs // 10 // _AT_ONCE * _AT_ONCE
    while given < inputs and memory_of(os.getpid())[0] < before + _STOP_MB:
        if given == tenth:
            before = _memory()
        await parts.take(given)
        given += _AT_ONCE
    kinds = (dict, list, set, deque)
    largest = max(len(each) for each in gc.get_objects() if isinstance(each, kinds))
    return {"inputs": given, "grown_mb": round(_memory() - before, 1), "largest": largest}


def _memory() -> float:
    give_back()
    return memory_of(os.getpid())[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Run, and print the result."""
    parser = argparse.ArgumentParser("python -m loadtest.soak.caps", description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    print(json.dumps(asyncio.run(run(parser.parse_args(argv).inputs))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
