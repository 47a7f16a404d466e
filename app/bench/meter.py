"""Times passes of engines, in turn, for as long as it is told to. The clock is an input."""

import itertools
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Final, TypeAlias

from app.bench.figures import KINDS, Cost, Costs, Curve
from app.bench.requests import Requests
from app.core.ports import Engine
from app.core.types import RankRequest, StageTimings

_REQUESTS_IN_TURN: Final = 8
"""Small batches have as many passes in a turn as make this: single requests differ a lot."""

_Pass: TypeAlias = tuple[float, StageTimings]


class Meter:
    """Times passes of engines over what is asked."""

    def __init__(self, requests: Requests, clock: Callable[[], float]) -> None:
        """Take what is asked, and a clock like `time.perf_counter`."""
        self._requests = requests
        self._clock = clock

    def curves(
        self, engines: Mapping[int, Engine], sizes: Sequence[int], seconds: float, least: int = 1
    ) -> dict[int, Curve]:
        """Measure every size with every engine, round after round, until the time is over.

        In turn, so that what else happens on the machine meets all of them. Where the time does
        not suffice for one round, sizes at the end are missing.

        Args:
            engines: threads -> engine; all over one bundle.
            sizes: requests in a batch, ascending.
            seconds: how long to go on.
            least: turns (one size with one engine) that are taken however long they last, ≥ 1.

        Raises:
            EngineError: a pass failed.
        """
        turns = [(threads, size) for size in sizes for threads in engines]
        found: dict[tuple[int, int], dict[str, list[_Pass]]] = {}
        end = self._clock() + seconds
        for number, turn in enumerate(itertools.cycle(turns)):
            if number >= least and self._clock() >= end:
                break
            kinds = found.setdefault(turn, {kind: [] for kind in KINDS})
            for kind in KINDS:
                kinds[kind] += self._passes(engines[turn[0]], kind, turn[1])
        curves: dict[int, dict[int, Costs]] = {threads: {} for threads in engines}
        for (threads, size), kinds in found.items():
            curves[threads][size] = {kind: _cost(size, passes) for kind, passes in kinds.items()}
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
            median(each.encode_ms for each in stages),
            median(each.retrieve_ms for each in stages),
            median(each.rerank_ms for each in stages),
        ),
    )
