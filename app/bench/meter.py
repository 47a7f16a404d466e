"""Measures passes of engines by turns, for as long as it is told to. The clock is an argument."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, TypeAlias

from app.bench.figures import KINDS, Cost, Costs, Curve
from app.bench.requests import Requests
from app.core.ports import Engine
from app.core.ranking import RankRequest, StageTimings

_REQUESTS_IN_TURN: Final = 8
"""A turn of small batches has several passes, up to this many requests: single requests differ a
lot, and a median needs many of them."""

_Pass: TypeAlias = tuple[float, StageTimings]
"""(milliseconds of the pass, its stages)."""


class Meter:
    """Measures passes of engines over batches of requests."""

    def __init__(self, requests: Requests, clock: Callable[[], float]) -> None:
        """Take the requests, and a clock like `time.perf_counter`."""
        self._requests = requests
        self._clock = clock

    def curves(
        self,
        engines: Mapping[int, Engine],
        sizes: Sequence[int],
        seconds: float,
        min_turns: int = 1,
        kinds: Sequence[str] = KINDS,
    ) -> dict[int, Curve]:
        """Measure every batch size with every engine, round after round, until the time is over.

        They take turns, so that other work on the machine disturbs all of them alike. Where the
        time is too short for one round, the largest sizes are missing.

        Args:
            engines: number of threads -> engine; all over the same bundle.
            sizes: batch sizes, ascending.
            seconds: how long to measure.
            min_turns: turns (one size with one engine) that are taken even if the time is over; at
                least 1.
            kinds: of requests.

        Raises:
            EngineError: a pass failed.
        """
        turns = [(threads, size) for size in sizes for threads in engines]
        measured: dict[tuple[int, int], dict[str, list[_Pass]]] = {}
        end = self._clock() + seconds
        for number, turn in enumerate(itertools.cycle(turns)):
            if number >= min_turns and self._clock() >= end:
                break
            passes = measured.setdefault(turn, {kind: [] for kind in kinds})
            for kind in kinds:
                passes[kind] += self._passes(engines[turn[0]], kind, turn[1])
        curves: dict[int, dict[int, Costs]] = {threads: {} for threads in engines}
        for (threads, size), of_kinds in measured.items():
            curves[threads][size] = {kind: _cost(size, each) for kind, each in of_kinds.items()}
        return dict(curves)

    def _passes(self, engine: Engine, kind: str, size: int) -> list[_Pass]:
        n = max(1, _REQUESTS_IN_TURN // size)
        return [self._timed(engine, self._requests.take(kind, size)) for _ in range(n)]

    def _timed(self, engine: Engine, batch: Sequence[RankRequest]) -> _Pass:
        start = self._clock()
        done = engine.rank(batch)
        return (self._clock() - start) * 1e3, done.timings


def _cost(size: int, passes: Sequence[_Pass]) -> Cost:
    stages = [timings for _, timings in passes]
    return Cost(
        size=size,
        passes=len(passes),
        ms=median(ms for ms, _ in passes),
        stages=StageTimings(
            encode_ms=median(each.encode_ms for each in stages),
            retrieve_ms=median(each.retrieve_ms for each in stages),
            rerank_ms=median(each.rerank_ms for each in stages),
        ),
    )
