"""The figures of one `recserve bench`, and what follows from them: rates, the best batch, advice.

This module knows neither the engine nor how figures are shown.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from statistics import mean
from typing import Final, TypeAlias

from app.bench.parsing import ParseTimes
from app.core.ranking import StageTimings
from app.core.types import EngineInfo

KINDS: Final = ("words", "user", "both")
"""The kinds of requests. A mix is a third of each."""

SIZES: Final = (1, 2, 4, 8, 16, 32, 64)
"""Numbers of requests in a batch; all are measured if there are enough queries and time."""

NEAR_HIGHEST: Final = 0.95
"""A rate of at least this share of the highest counts as the highest: noise is of that size."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of a pass over one batch of one kind.

    Attributes:
        size: requests in the batch.
        passes: how many passes were measured.
        ms, stages: medians over them, in milliseconds a pass.
    """

    size: int
    passes: int
    ms: float
    stages: StageTimings

    @property
    def rate(self) -> float:
        """Requests per second, if passes follow each other without a gap."""
        return self.size / self.ms * 1e3


WITH_DEMANDS: Final = ("words", "demands")
"""The kinds that are compared to see what demands cost."""

Costs: TypeAlias = Mapping[str, Cost]
"""Kind of request -> cost, all of one batch size."""

Curve: TypeAlias = Mapping[int, Costs]
"""Batch size -> costs."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine of the measurement.

    Attributes:
        cpu: name of the processor.
        cores: cores that this process may use.
        load: load average of the minute before the measurement.
        memory: resident bytes once the bundle is loaded.
        mapped: those of them that are mapped files, which all processes share.
        gpu: name of the GPU; "" where the CPU does everything.
    """

    cpu: str
    cores: int
    load: float
    memory: int
    mapped: int
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class Setup:
    """The settings that matter here. `threads`: for the model work of one process; 1 on a GPU."""

    threads: int
    max_batch_requests: int
    max_batch_tokens: int


@dataclass(frozen=True, slots=True)
class Figures:
    """Everything that one run measured.

    Attributes:
        info: the engine's own description.
        machine: where it ran.
        setup: the settings.
        queries, histories: where the queries and histories came from, in words.
        tokens: mean number of tokens that the engine expects of a query.
        seconds: how long it measured.
        curve: costs of all batch sizes, with the threads of the settings.
        by_threads: number of threads -> costs at batch size 1 and at the best one. 1 thread and
            those of the settings are always there. They were measured by turns, after the curve, so
            they can be compared with each other only.
        demands: costs of "words" and of "demands", where a third of the words carry demands, at
            batch size 1 and at the best one, measured by turns; None without such requests.
        parsing: what it costs to understand a query; None where nothing is parsed.
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
    demands: Curve | None = None
    parsing: ParseTimes | None = None


@dataclass(frozen=True, slots=True)
class Advice:
    """How to set the service on this machine.

    Attributes:
        batch: the best batch size: the smallest whose rate counts as the highest.
        max_batch_requests: the same; at least the current setting where larger batches were not
            measured.
        max_batch_tokens: the current setting, or more where it would cut the best batch.
        threads: the smallest number whose rate counts as the highest.
        processes: workers of one thread that have a core each; 1 on a GPU, which they would share.
        processes_rate: requests per second of all of them, if they did not disturb each other.
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
    """Return requests per second of the mix if passes overlap, as they do in serving.

    While one batch is searched and scored, the next one is encoded. So the longer of the two parts
    limits the rate.
    """
    encode = mean(cost.stages.encode_ms / cost.size for cost in costs.values())
    return 1e3 / max(encode, mix_ms(costs) - encode)


def best_batch(curve: Curve) -> int:
    """Return the smallest batch size whose rate of the mix counts as the highest."""
    return _smallest_near_highest({size: mix_rate(costs) for size, costs in curve.items()})


def advice_of(figures: Figures) -> Advice:
    """Return how to set the service, from the figures."""
    setup, batch = figures.setup, best_batch(figures.curve)
    all_measured = SIZES[-1] in figures.curve
    rates = {threads: mix_rate(curve[batch]) for threads, curve in figures.by_threads.items()}
    processes = 1 if figures.machine.gpu else figures.machine.cores
    return Advice(
        batch=batch,
        max_batch_requests=batch if all_measured else max(batch, setup.max_batch_requests),
        max_batch_tokens=max(setup.max_batch_tokens, ceil(batch * figures.tokens)),
        threads=_smallest_near_highest(rates),
        processes=processes,
        processes_rate=processes * rates[1],
    )


def _smallest_near_highest(rates: Mapping[int, float]) -> int:
    """Return the smallest number whose rate counts as the highest."""
    highest = max(rates.values())
    return min(number for number, rate in rates.items() if rate >= NEAR_HIGHEST * highest)
