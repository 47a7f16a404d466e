"""Promotion of a build: which events it may learn from, and whether it is published.

This module does not know how two bundles are compared: `app.evaluation.promotion_gate` does.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol, TypeAlias

from app.bundle.reader import Bundle
from app.offline.learning.signals import EventLog
from app.offline.progress import StageTimes


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


class Promotion:
    """One build and its trial by the gate, if there is a gate."""

    def __init__(self, gate: Gate | None, times: StageTimes) -> None:
        """Ask `gate` (None = publish everything), and count its seconds in `times`."""
        self.verdict: str | None = None
        self._gate, self._times = gate, times
        self._trial: Trial | None = None

    def known(self, root: Path, log: EventLog, ids: Sequence[str]) -> EventLog:
        """Return the events to learn from. Call it while no other builder can publish.

        Args:
            root: `models/NAME`.
            log: all events of the build.
            ids: the items of the build.
        """
        if self._gate is None:
            return log
        with self._times.stage("gate"):
            self._trial = self._gate(root, log, ids)
        return log if self._trial.split is None else _until(log, self._trial.split)

    def accept(self, bundle: Bundle) -> None:
        """Let the gate judge the finished bundle, and keep its verdict. Raises `PromotionError`."""
        if self._trial is not None:
            with self._times.stage("gate"):
                self.verdict = self._trial.judge(bundle)


def _until(log: EventLog, split: float) -> EventLog:
    """Return the log without the events after `split`, in unix seconds; undated ones stay."""
    keep = ~(log.events.timestamp > split)
    names = ("item_rows", "weights", "is_negative", "is_impression", "is_rating")
    rest = {name: getattr(log, name)[keep] for name in names}
    return replace(log, events=log.events.only(keep), **rest)
