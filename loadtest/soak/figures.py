"""What a soak run measures, and whether it is flat.

The slope of the memory is fitted by least squares. Its error counts only as many samples as are
independent: memory moves slowly, so neighbours are alike. A run passes if its slope is under 1 MB/h
as far as its error tells, or its rise under half a megabyte; and if that error is small enough for
a leak to be seen at all. A short run has a large error: it can find large leaks only, and says how
large.
"""

import ctypes
import gc
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

MOST_MB_PER_H: Final = 1.0
_SETTLING_MB: Final = 0.5
"""Over the time that is judged: a heap may settle by as much. It counts under half an hour."""
_MOST_ERROR_MB: Final = 4.0
"""Over the time that is judged: with a larger error the run has shown nothing."""
_CONFIDENCE: Final = 1.96
_SPARE: Final = 3
"""Descriptors, threads and tasks that may come and go: a watch that reads a file, a connection."""


@dataclass(frozen=True, slots=True)
class Sample:
    """A service at rest between two stretches of load.

    Attributes:
        seconds: since the first sample.
        memory_mb: resident memory that no file backs.
        resident_mb: all resident memory, mapped files of the bundle included.
        files: open descriptors.
        threads: of the process.
        tasks: of its event loop.
        waiting: requests that wait for the engine.
        requests: answered since the first sample.
    """

    seconds: float
    memory_mb: float
    resident_mb: float
    files: int
    threads: int
    tasks: int
    waiting: int
    requests: int


@dataclass(frozen=True, slots=True)
class Slope:
    """MB an hour, and half the width of its 95 % interval."""

    mb_per_h: float
    error: float

    def __str__(self) -> str:
        return f"{self.mb_per_h:+.1f} ± {self.error:.1f} MB/h"


def memory_of(pid: int) -> tuple[float, float]:
    """Return the memory of a process that no file backs, and all that is resident, in MB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    kib = {
        name: int(rest.split()[0])
        for name, _, rest in (s.partition(":") for s in lines if "kB" in s)
    }
    return (kib["RssAnon"] + kib["RssShmem"]) * 1024 / 1e6, kib["VmRSS"] * 1024 / 1e6


def give_back() -> None:
    """Collect garbage of this process, and give freed memory back to the system."""
    gc.collect()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def slope(seconds: Sequence[float], megabytes: Sequence[float]) -> Slope:
    """Fit a line.

    Raises:
        ValueError: there are fewer than four samples.
    """
    n = len(seconds)
    if n < 4:
        raise ValueError("a slope needs four samples")
    hours = np.array(seconds) / 3600
    hours -= hours.mean()
    values = np.array(megabytes)
    spread = float(hours @ hours)
    rise = float(hours @ values) / spread
    rest = values - values.mean() - rise * hours
    noise = float(rest @ rest)
    alike = float(rest[1:] @ rest[:-1]) / noise if noise else 0.0
    # At least two beside the two numbers that are fitted.
    independent = max(4.0, n * (1 - alike) / (1 + alike)) if alike > 0 else float(n)
    error = _CONFIDENCE * math.sqrt(noise / (independent - 2) / spread * n / independent)
    return Slope(rise, error)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What was found of one run: `problems` is empty if all was flat."""

    slope: Slope
    hours: float
    requests: int
    problems: tuple[str, ...]

    @property
    def least_visible_bytes(self) -> float:
        """The smallest leak a request that this run would have seen, in bytes."""
        return self.slope.error * 1e6 * self.hours / max(1, self.requests)


def judged(samples: Sequence[Sample]) -> Verdict:
    """Judge samples that were taken after the warm-up."""
    first, last = samples[0], samples[-1]
    hours = (last.seconds - first.seconds) / 3600
    found = slope([s.seconds for s in samples], [s.memory_mb for s in samples])
    problems = []
    if found.mb_per_h - found.error > max(MOST_MB_PER_H, _SETTLING_MB / hours):
        problems.append(f"memory rises by {found}")
    if found.error * hours > _MOST_ERROR_MB:
        problems.append(f"memory is too restless to tell: {found}")
    half = len(samples) // 2
    for name in ("files", "threads", "tasks"):
        before = max(getattr(s, name) for s in samples[:half])
        after = max(getattr(s, name) for s in samples[half:])
        if after > before + _SPARE:
            problems.append(f"{name} rise from {before} to {after}")
    if last.waiting:
        problems.append(f"{last.waiting} requests wait, though nobody asks")
    return Verdict(found, hours, last.requests - first.requests, tuple(problems))
