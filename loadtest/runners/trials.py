"""Finds the best setting of a peer and keeps it running, so that a peer is measured at its best.

A setting is judged by the slower of its tries. With two threads the naive service is sometimes the
fastest for a few seconds and then nearly stops; to choose that setting would be unfair to it.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from loadtest.runners import wrk
from loadtest.runners.services import Service
from loadtest.runners.sides import Side
from loadtest.runners.wrk import Bodies

_STEADY = 0.7

Setting = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """How a peer is started, its possible settings, and the unique queries that it receives.

    `tries`: how often each setting is tried. `prepares`: the first start makes files that later
    starts use.
    """

    start: Callable[[Setting], Service]
    settings: Sequence[Setting]
    unique: Bodies
    tries: int = 1
    prepares: bool = False


@dataclass(frozen=True)
class Chosen:
    """A running peer at its best setting, and the figures of all settings."""

    side: Side
    setting: Setting
    trials: list[dict[str, Any]]

    def document(self) -> dict[str, Any]:
        """Return what goes into the result file."""
        settings = {**self.setting, "trials": self.trials}
        return {"median": self.side.medians(), "rounds": self.side.series, "settings": settings}

    def require_steady(self) -> None:
        """Refuse a result in which the peer was much slower than in its trials.

        Raises:
            RuntimeError: it was slower; the ratios would depend on the machine's other work.
        """
        trial = max(t["uncached_per_s"] for t in self.trials)
        rate = self.side.medians()["uncached_per_s"]
        if rate < _STEADY * trial:
            raise RuntimeError(
                f"{self.side.service.name} fell from {trial:.0f}/s to {rate:.0f}/s: is the machine "
                "busy? No result is written; run again."
            )


def choose(peer: Peer, connections: int, seconds: int, stack: ExitStack) -> Chosen:
    """Try every setting; the best one runs until `stack` closes."""
    if peer.prepares:
        with peer.start(peer.settings[0]):
            pass
    runs: list[list[wrk.Run]] = [[] for _ in peer.settings]
    starts = []
    for number in [*range(len(runs))] * peer.tries:
        with peer.start(peer.settings[number]) as service:
            runs[number].append(Side(service).load(peer.unique, connections, seconds))
        starts.append(service.start_s)
        rate = runs[number][-1].per_second
        print(f"{service.name}, {peer.settings[number]}: {rate:.0f}/s", flush=True)
    slower = [min(tried, key=lambda run: run.per_second) for tried in runs]
    best = max(range(len(runs)), key=lambda number: slower[number].per_second)
    side = Side(stack.enter_context(peer.start(peer.settings[best])), peer.unique)
    for start in (*starts, side.service.start_s):
        side.add(start_s=start)
    side.load(peer.unique, connections, seconds)
    trials = [_trial(*tried) for tried in zip(peer.settings, slower, strict=True)]
    return Chosen(side, peer.settings[best], trials)


def _trial(setting: Setting, run: wrk.Run) -> dict[str, Any]:
    return {
        **setting,
        "uncached_per_s": round(run.per_second, 1),
        "uncached_p99_ms": round(run.p99_ms, 1),
    }
