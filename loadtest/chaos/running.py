"""Runs trials, and each with its seeded faults; a trial that crashes is a red row, not the end."""

import random
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Trial
from loadtest.runners import machine

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one run of a trial.

    Attributes:
        trial: its name.
        fault: the seeded fault of this run, or None.
        passed: whether the promise was kept.
        crashed: whether nothing could be measured; then `passed` is False.
        figure: what was measured, or why nothing could be.
        seconds: how long it took.
        date: day of the run.
        commit: the commit that ran, with `+` if files differed.
    """

    trial: str
    fault: str | None
    passed: bool
    crashed: bool
    figure: str
    seconds: float
    date: str
    commit: str

    @property
    def green(self) -> bool:
        """Whether the row is as it must be: the promise kept, or the seeded fault found.

        A trial that crashes has found nothing, with a fault and without.
        """
        return not self.crashed and self.passed == (self.fault is None)

    def document(self) -> dict[str, Any]:
        """Return what goes into the result file."""
        return {**asdict(self), "green": self.green, "seconds": round(self.seconds, 1)}


@dataclass(frozen=True)
class Runs:
    """How trials are run: in `folder`, the short form or the long one, with random numbers.

    `commit`: what runs. It is asked for once, as results are written into the work tree meanwhile.
    """

    folder: Path
    short: bool
    seed: int
    commit: str = field(default_factory=machine.commit)

    def run(self, trial: Trial, fault: str | None = None) -> Row:
        """Run one trial, with a seeded fault or without."""
        began = time.monotonic()
        folder = Path(tempfile.mkdtemp(prefix=f"{trial.name}-", dir=self.folder))
        crashed = False
        try:
            rng = random.Random(f"{self.seed}:{trial.name}")
            with Rig(folder, rng, short=self.short, fault=fault) as rig:
                measured = trial.run(rig)
            passed, figure = measured.passed, measured.figure
        except Exception as error:  # noqa: BLE001 - a trial may break in any way
            crashed, passed = True, False
            figure = f"could not be measured: {type(error).__name__}: {error}".strip()
            (folder / "trace.txt").write_text(traceback.format_exc())
        seconds = time.monotonic() - began
        today = datetime.now(UTC).date().isoformat()
        return Row(trial.name, fault, passed, crashed, figure, seconds, today, self.commit)


def run_all(trials: Iterable[Trial], runs: Runs, say: Say) -> list[Row]:
    """Run each trial alone and then with each of its faults."""
    rows = []
    for trial in trials:
        for fault in (None, *trial.faults):
            row = runs.run(trial, fault)
            say(line_of(row))
            rows.append(row)
    return rows


def line_of(row: Row) -> str:
    """Return what is printed of a row."""
    seeded = f" with {row.fault}" if row.fault else ""
    found = "" if row.fault is None else (" (found)" if row.green else " (NOT FOUND)")
    state = "ok " if row.green else "RED"
    return f"{state} {row.trial}{seeded}{found}: {row.figure} [{row.seconds:.1f} s]"


def chosen(
    trials: Sequence[Trial], only: Sequence[str], fault: str | None, *, short: bool
) -> list[Trial]:
    """Return the trials that are named, or in a named group, and that claim a fault, if given.

    Raises:
        LookupError: a name fits no trial, or no trial claims the fault.
    """
    for name in only:
        if not any(name in (trial.name, trial.group) for trial in trials):
            raise LookupError(f"no trial and no group has the name {name!r}")
    found = [
        trial
        for trial in trials
        if (not only or trial.name in only or trial.group in only)
        and (fault is None or fault in trial.faults)
        and (trial.short or not short)
    ]
    if fault is not None and not found:
        raise LookupError(f"no trial claims to find the fault {fault!r}")
    return found
