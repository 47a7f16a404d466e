"""The way of a build to being served: what it may learn from, then whether it is published.

This module does not know how two bundles are compared: `app.evaluation.gate` does.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

from app.bundle.reader import Bundle
from app.offline.learning.signals import EventLog


class Trial(Protocol):
    """A build that is to be compared with the bundle being served."""

    @property
    def split(self) -> float | None:
        """The last unix second to learn from; None = from everything."""
        ...

    def judge(self, bundle: Bundle) -> str:
        """Return the verdict on the finished bundle in one line. Raises `PromotionError`."""
        ...


Gate: TypeAlias = Callable[[Path, EventLog, Sequence[str]], Trial]
"""(`models/NAME`, the log, the ids of the new catalogue) -> the trial of the build to come."""


class Clock:
    """Seconds per stage: each runs from the end of the one before; what returns adds up."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        """Count the time since the last end to a stage."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._last
        self._last = now


class Promotion:
    """The way of one build through the gate, if there is one."""

    def __init__(self, gate: Gate | None, clock: Clock) -> None:
        self.verdict: str | None = None
        self._gate, self._clock = gate, clock
        self._trial: Trial | None = None

    def known(self, root: Path, log: EventLog, ids: Sequence[str]) -> EventLog:
        """Return what may be learned from. To be called while no other builder can publish."""
        if self._gate is None:
            return log
        self._trial = self._gate(root, log, ids)
        self._clock.end("gate")
        return log if self._trial.split is None else _until(log, self._trial.split)

    def accept(self, bundle: Bundle) -> None:
        """Let the finished bundle through and keep the verdict. Raises `PromotionError`."""
        if self._trial is not None:
            self._clock.end("publish")
            self.verdict = self._trial.judge(bundle)
            self._clock.end("gate")


def _until(log: EventLog, split: float) -> EventLog:
    """Return the log without what came later; what has no time is not later."""
    keep = ~(log.events.timestamp > split)
    names = ("item_rows", "weights", "is_negative", "is_impression")
    rest = {name: getattr(log, name)[keep] for name in names}
    return replace(log, events=log.events.only(keep), **rest)
