"""What was measured, as data, and what follows from it as numbers. Knows no engine and no page."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import mean
from typing import Final, TypeAlias

from app.core.types import EngineInfo, StageTimings

KINDS: Final = ("words", "user", "both")
"""The kinds of requests. What is said of a mix means a third of each."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Requests in a batch, of all batches that are measured if queries and time suffice."""

ENOUGH: Final = 0.95
"""Share of the highest rate that is as good as the highest: figures of one run differ by less."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What a pass over `size` requests of one kind costs: medians over `passes`, in ms a pass."""

    size: int
    passes: int
    ms: float
    stages: StageTimings

    @property
    def rate(self) -> float:
        """Requests per second, passes following each other."""
        return self.size / self.ms * 1e3


Costs: TypeAlias = Mapping[str, Cost]
"""Kind -> its cost, all of one size."""

Curve: TypeAlias = Mapping[int, Costs]
"""Requests in a batch -> what it costs."""


@dataclass(frozen=True, slots=True)
class Machine:
    """Where it ran.

    Attributes:
        cores: that this process may use.
        load: processes that wanted a core in the minute before.
        gpu: name of the GPU; "" where the CPU does everything.
        memory, mapped: resident bytes once the bundle is loaded; those of them that are files,
            which all processes share.
    """

    cpu: str
    cores: int
    load: float
    memory: int
    mapped: int
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings that matter here; `threads`: of the model work of one process, 1 on a GPU."""

    threads: int
    max_batch_requests: int
    max_batch_tokens: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that one run found.

    Attributes:
        queries, histories: where they came from, in words.
        tokens: what the engine takes a query to cost, in the mean.
        seconds: how long was measured.
        curve: with the threads of the settings.
        by_threads: threads, 1 and those of the settings among them -> the curve at 1 and at the
            best batch; measured in turn, so to be compared with each other only.
    """

    info: EngineInfo
    machine: Machine
    setup: Setup
    queries: str
    histories: str
    tokens: float
    seconds: float
    curve: Curve
    by_threads: Mapping[int, Curve]


@dataclass(frozen=True, slots=True)
class Advice:
    """How to set the service on this machine.

    Attributes:
        batch: the best one: requests a second as good as the highest, in the shortest pass.
        max_batch_requests: the same; what is set (or more) where not all sizes were measured.
        max_batch_tokens: what is set, or more where that would cut the best batch.
        threads: the fewest whose rate is as good as the highest.
        processes, processes_rate: workers of one thread that have a core each, and the requests/s
            that they would reach together if they did not disturb each other; one on a GPU, which
            they would share.
    """

    batch: int
    max_batch_requests: int
    max_batch_tokens: int
    threads: int
    processes: int
    processes_rate: float


def mix_ms(costs: Costs) -> float:
    """Return milliseconds a request in a mix of a third of each kind."""
    return mean(cost.ms / cost.size for cost in costs.values())


def mix_rate(costs: Costs) -> float:
    """Return requests per second in a mix of a third of each kind."""
    return 1e3 / mix_ms(costs)


def overlapped_rate(costs: Costs) -> float:
    """Return what `mix_rate` would be if all passes overlapped by halves, as they do in serving.

    While one batch is searched and scored the next is encoded: the longer half counts.
    """
    encode = mean(cost.stages.encode_ms / cost.size for cost in costs.values())
    return 1e3 / max(encode, mix_ms(costs) - encode)


def best_batch(curve: Curve) -> int:
    """Return the smallest batch whose rate of the mix is as good as the highest."""
    return _least_that_is_enough({size: mix_rate(costs) for size, costs in curve.items()})


def advice_of(figures: Figures) -> Advice:
    """Return what to set, from what was measured."""
    setup, batch = figures.setup, best_batch(figures.curve)
    whole = SIZES[-1] in figures.curve
    rates = {threads: mix_rate(curve[batch]) for threads, curve in figures.by_threads.items()}
    processes = 1 if figures.machine.gpu else figures.machine.cores
    return Advice(
        batch=batch,
        max_batch_requests=batch if whole else max(batch, setup.max_batch_requests),
        max_batch_tokens=max(setup.max_batch_tokens, ceil(batch * figures.tokens)),
        threads=_least_that_is_enough(rates),
        processes=processes,
        processes_rate=processes * rates[1],
    )


def _least_that_is_enough(rates: Mapping[int, float]) -> int:
    highest = max(rates.values())
    return min(number for number, rate in rates.items() if rate >= ENOUGH * highest)
