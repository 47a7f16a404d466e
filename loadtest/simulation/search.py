"""Runs many schedules, on all cores, and makes those small that fail."""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Final

from loadtest.simulation.faults import fault
from loadtest.simulation.schedule import Schedule, part_of, schedule_of
from loadtest.simulation.world import run

_CHUNK: Final = 25
_MOST_RUNS: Final = 300
"""Most runs that are spent on making one schedule small."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A seed whose schedule breaks a rule, and what was wrong, one line each."""

    seed: int
    wrong: tuple[str, ...]


def failures_of(first: int, schedules: int, name: str | None = None) -> list[Failure]:
    """Run schedules one after the other, with a seeded fault or None; return those that fail."""
    with fault(name):
        outcomes = ((seed, run(schedule_of(seed))) for seed in range(first, first + schedules))
        return [Failure(seed, outcome.wrong) for seed, outcome in outcomes if outcome.wrong]


def search(
    first: int, schedules: int, name: str | None, processes: int | None = None
) -> Iterator[tuple[int, list[Failure]]]:
    """Run schedules in several processes.

    Args:
        first: seed of the first one.
        schedules: how many.
        name: of a seeded fault; None = none.
        processes: how many; None = one for each core.

    Yields how many were run so far, and the new failures.
    """
    starts = range(first, first + schedules, _CHUNK)
    sizes = [min(_CHUNK, first + schedules - start) for start in starts]
    cores = processes or len(os.sched_getaffinity(0))
    done = 0
    pool = ProcessPoolExecutor(cores, multiprocessing.get_context("spawn"))
    try:
        chunks = pool.map(partial(failures_of, name=name), starts, sizes)
        for size, found in zip(sizes, chunks, strict=True):
            done += size
            yield done, found
    finally:
        pool.shutdown(cancel_futures=True)


def first_failure(first: int, most: int, name: str | None) -> Failure | None:
    """Return the first of `most` schedules from seed `first` on that fails; None if none does."""
    for seed in range(first, first + most):
        if found := failures_of(seed, 1, name):
            return found[0]
    return None


def smallest(schedule: Schedule, name: str | None = None) -> Schedule:
    """Return a small part of a failing schedule that breaks the same rule.

    Steps are left out, many at first and then single ones, as long as the rule stays broken.
    """
    with fault(name):
        rule = _rule_broken(schedule)
        kept, size, runs = [step.number for step in schedule.steps], len(schedule.steps) // 2, 0
        while size and runs < _MOST_RUNS:
            removed = False
            for start in range(0, len(kept), size):
                rest = kept[:start] + kept[start + size :]
                runs += 1
                if _rule_broken(part_of(schedule, rest)) == rule:
                    kept, removed = rest, True
                    break
            if not removed:
                size //= 2
        return part_of(schedule, kept)


def _rule_broken(schedule: Schedule) -> str | None:
    """Return the name of the first rule that a schedule breaks."""
    wrong = run(schedule).wrong
    return wrong[0].partition(":")[0] if wrong else None
