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
    """How a peer is started, what it may be set to, how often each is tried, what it is asked.

    `prepares`: its first start makes files that later ones find.
    """

    start: Callable[[Setting], Service]
    settings: Sequence[Setting]
    unique: Bodies
    tries: int = 1
    prepares: bool = False


@dataclass(frozen=True)
class Chosen:
    """A running peer at its best setting, and how all settings fared."""

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
            RuntimeError: it was; ratios would say more about the machine than about the services.
        """
        trial = max(t["uncached_per_s"] for t in self.trials)
        rate = self.side.medians()["uncached_per_s"]
        if rate < _STEADY * trial:
            raise RuntimeError(
                f"{self.side.service.name} fell from {trial:.0f}/s to {rate:.0f}/s: is the machine "
                "busy? No result is written; run again."
            )


def choose(peer: Peer, connections: int, seconds: int, stack: ExitStack) -> Chosen:
    """Try every setting, and leave the best one running until `stack` closes."""
    if peer.prepares:
        with peer.start(peer.settings[0]):
            pass
    runs: list[list[wrk.Run]] = [[] for _ in peer.settings]
    starts = []
    for place in [*range(len(runs))] * peer.tries:
        with peer.start(peer.settings[place]) as service:
            runs[place].append(Side(service).load(peer.unique, connections, seconds))
        starts.append(service.start_s)
        rate = runs[place][-1].per_second
        print(f"{service.name}, {peer.settings[place]}: {rate:.0f}/s", flush=True)
    slower = [min(tried, key=lambda run: run.per_second) for tried in runs]
    best = max(range(len(runs)), key=lambda place: slower[place].per_second)
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
