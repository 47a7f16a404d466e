"""The numbers of metrics in memory that all workers of a service read, so that one can show all.

Each process has two files in a common folder:

    PID.values    float64 after float64, mapped: counting writes there and nowhere else
    PID.series    which series they belong to: a JSON line for each, [metric, labels, how many]

Nobody writes into the files of another, so there are no locks. A process holds a lock of the system
on its values for as long as it lives. What a process has counted stays there when it ends, so that
sums never fall.
"""

import fcntl
import json
import logging
import mmap
import os
import sys
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

from app.core.tallies import Cells, Series

_CAPACITY: Final = 65_536
"""Numbers of one process. Labels have few values, so there are a tenth as many. Pages that nothing
is written to take no memory."""

_log = logging.getLogger(__name__)


class _Process(NamedTuple):
    pid: int
    living: bool
    metrics: dict[str, Series]


class SharedTallies:
    """The `Tallies` of one worker among several."""

    def __init__(self, folder: Path) -> None:
        """Make the files of this process in the folder that all workers have in common."""
        self._folder, self._pid = folder, os.getpid()
        self._values_file = (folder / f"{self._pid}.values").open("w+b")
        fcntl.flock(self._values_file, fcntl.LOCK_EX)
        self._values_file.truncate(8 * _CAPACITY)
        self._values = memoryview(mmap.mmap(self._values_file.fileno(), 0)).cast("d")
        self._series_file = (folder / f"{self._pid}.series").open("wb", buffering=0)
        self._used = 0
        self._processes: list[_Process] = []

    def close(self) -> None:
        """Close the files, as the end of the process does; what was counted stays."""
        self._series_file.close()
        self._values_file.close()

    def cells(self, name: str, labels: tuple[str, ...], n: int) -> Cells:
        """Return numbers that others can read."""
        start = self._used
        if start + n > _CAPACITY:
            _log.error("too many series of metrics: %s is shown by its own process only", name)
            return [0.0] * n
        self._used += n
        self._series_file.write(json.dumps([name, labels, n]).encode() + b"\n")
        return self._values[start : self._used]

    def others(self, name: str, *, living: bool) -> Sequence[Series]:
        """Return the series of a metric in other processes, as of the last `refresh`."""
        return [
            process.metrics[name]
            for process in self._processes
            if name in process.metrics and (process.living or not living)
        ]

    def refresh(self) -> None:
        """Read the files of the others."""
        self._processes = [
            _read(path)
            for path in sorted(self._folder.glob("*.series"))
            if path.stem != str(self._pid)
        ]

    def pids(self) -> Sequence[int]:
        """Return the ids of the living processes, this one among them."""
        return [self._pid, *(process.pid for process in self._processes if process.living)]


def _read(path: Path) -> _Process:
    values = array("d")
    with path.with_suffix(".values").open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            living = False
        except BlockingIOError:
            living = True
        lines = path.read_bytes().split(b"\n")[:-1]  # the last may be half a line
        series = [json.loads(line) for line in lines]
        values.frombytes(file.read(8 * sum(n for _, _, n in series)))
    metrics: dict[str, dict[tuple[str, ...], Sequence[float]]] = {}
    start = 0
    for name, labels, n in series:
        metrics.setdefault(sys.intern(name), {})[tuple(labels)] = values[start : start + n]
        start += n
    return _Process(int(path.stem), living, dict(metrics))
