"""`make bench`: recserve and the service of a tutorial, side by side, in alternating rounds.

Prints a table, writes one JSON document to `loadtest/results/`, and ends with the same document on
one line. What each figure means: docs/benchmarks.md. Load goes to 127.0.0.1 only.
"""

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from loadtest import machine, render, services, wrk
from loadtest.queries import demo_titles, unique_queries
from loadtest.services import Service

#: What the brochure asks first; here the query that everybody asks.
HOT = "space adventure with robots"
_ENCODED = "recserve_batch_size_sum"  # queries that went through the engine, each encoded once
_SETTLE_S = 2.0
_SETTINGS = [("def", 1), ("def", 2), ("async", 1), ("async", 2)]
_STEADY = 0.7

Series = dict[str, list[float]]


@dataclass
class Side:
    """One service, what is sent to it and what was measured so far."""

    service: Service
    unique: wrk.Bodies
    hot: wrk.Bodies
    series: Series = field(default_factory=dict)
    checks: list[dict[str, int]] = field(default_factory=list)

    def add(self, **figures: float) -> None:
        """Append one figure to each named series."""
        for name, value in figures.items():
            self.series.setdefault(name, []).append(round(value, 4))

    def medians(self) -> dict[str, float]:
        """Return the median of each series."""
        return {name: median(values) for name, values in self.series.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, write."""
    options = _options(argv)
    wrk.require()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        texts = unique_queries(options.queries, options.seed, demo_titles())
        fast = _recserve(Path(folder), texts, options, stack)
        slow, settings = _naive(Path(folder), texts, options, stack)
        for number in range(options.rounds):
            for side in (fast, slow):
                print(f"round {number + 1} of {options.rounds}: {side.service.name} …", flush=True)
                _round(side, options, encoded=side is fast)
        _require_steady(slow, settings)
        document = _document(fast, slow, settings, options)
    _publish(document, options.out)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per service (default: 3)")
    parser.add_argument("--seconds", type=int, default=10, help="of one wrk run (default: 10)")
    parser.add_argument("--connections", type=int, default=32, help="under load (default: 32)")
    parser.add_argument(
        "--queries", type=int, default=150_000, help="unique texts (default: 150000)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the texts (default: 7)")
    parser.add_argument("--out", type=Path, default=services.ROOT / "loadtest" / "results")
    return parser.parse_args(argv)


def _side(service: Service, folder: Path, texts: Sequence[str]) -> Side:
    unique = wrk.Bodies.write(folder / f"{service.name}-unique.jsonl", texts)
    hot = wrk.Bodies.write(folder / f"{service.name}-hot.jsonl", [HOT])
    return Side(service, unique, hot)


def _recserve(
    folder: Path, texts: Sequence[str], options: argparse.Namespace, stack: ExitStack
) -> Side:
    """Start it as often as there are rounds, and keep the last."""
    service = services.recserve(folder / "recserve.log")
    side = _side(service, folder, texts)
    stack.callback(service.stop)
    for number in range(options.rounds):
        if number:
            service.stop()
        service.start()
        side.add(start_s=service.start_s)
    _warm(side, options)
    return side


def _naive(
    folder: Path, texts: Sequence[str], options: argparse.Namespace, stack: ExitStack
) -> tuple[Side, dict[str, Any]]:
    """Try every setting of the peer, and keep the best one running.

    Each is tried twice, and judged by the slower time: with two threads it can be the fastest for
    some seconds and then all but stop, and a bench that picks it would flatter us.
    """
    log = folder / "naive.log"
    with services.naive(log, "def", 1):
        pass  # the first start ever encodes the catalogue: not counted
    trials: dict[tuple[str, int], list[wrk.Run]] = {setting: [] for setting in _SETTINGS}
    starts = []
    for setting in _SETTINGS * 2:
        with services.naive(log, *setting) as service:
            run = _warm(_side(service, folder, texts), options)
        trials[setting].append(run)
        starts.append(service.start_s)
        print(f"naive, {setting[0]}, {setting[1]} threads: {run.per_second:.0f}/s", flush=True)
    slower = {
        setting: min(runs, key=lambda run: run.per_second) for setting, runs in trials.items()
    }
    endpoint, threads = max(slower, key=lambda setting: slower[setting].per_second)
    side = _side(stack.enter_context(services.naive(log, endpoint, threads)), folder, texts)
    for start in (*starts, side.service.start_s):
        side.add(start_s=start)
    _warm(side, options)
    tried = [_trial(setting, run) for setting, run in slower.items()]
    return side, {"endpoint": endpoint, "omp_num_threads": threads, "trials": tried}


def _trial(setting: tuple[str, int], run: wrk.Run) -> dict[str, object]:
    return {
        "endpoint": setting[0],
        "omp_num_threads": setting[1],
        "uncached_per_s": round(run.per_second, 1),
        "uncached_p99_ms": round(run.p99_ms, 1),
    }


def _require_steady(side: Side, settings: dict[str, Any]) -> None:
    """Refuse a result in which the peer was much slower than in its trials.

    Raises:
        RuntimeError: it was; ratios would say more about the machine than about the services.
    """
    trial = max(t["uncached_per_s"] for t in settings["trials"])
    rate = side.medians()["uncached_per_s"]
    if rate < _STEADY * trial:
        raise RuntimeError(
            f"the naive peer fell from {trial:.0f}/s to {rate:.0f}/s: is the machine busy? "
            "No result is written; run again."
        )


def _warm(side: Side, options: argparse.Namespace) -> wrk.Run:
    seconds = max(2, options.seconds // 2)
    return _load(side, side.unique, options.connections, seconds)


def _load(side: Side, bodies: wrk.Bodies, connections: int, seconds: int) -> wrk.Run:
    """Run wrk, after a pause in which the service finishes what wrk hung up on before."""
    time.sleep(_SETTLE_S)
    return wrk.run(
        side.service.port,
        bodies,
        connections=connections,
        seconds=seconds,
        fresh=bodies is side.unique,
    )


def _round(side: Side, options: argparse.Namespace, *, encoded: bool) -> None:
    """One round: unique queries under load, the hot query under load, one query at a time."""

    def measure(bodies: wrk.Bodies, connections: int) -> wrk.Run:
        return _load(side, bodies, connections, options.seconds)

    busy = _counted(side, lambda: measure(side.unique, options.connections), encoded)
    side.add(
        uncached_per_s=busy.per_second, uncached_p50_ms=busy.p50_ms, uncached_p99_ms=busy.p99_ms
    )
    hot = measure(side.hot, options.connections)
    side.add(hot_per_s=hot.per_second, hot_p50_ms=hot.p50_ms, hot_p99_ms=hot.p99_ms)
    idle = _counted(side, lambda: measure(side.unique, 1), encoded)
    side.add(idle_p50_ms=idle.p50_ms, idle_p99_ms=idle.p99_ms, rss_mib=side.service.rss_mib())


def _counted(side: Side, measure: Callable[[], wrk.Run], encoded: bool) -> wrk.Run:
    """Run, and check that every text that was sent was encoded: no cache took part.

    When the time is up wrk hangs up on what is under way, and a request whose caller has left may
    be skipped: so what was encoded lies between what was answered and what was sent.

    Raises:
        RuntimeError: it does not.
    """
    if not encoded:
        return measure()
    time.sleep(_SETTLE_S)
    before = side.service.metric(_ENCODED)
    run = measure()
    time.sleep(_SETTLE_S)
    texts = int(side.service.metric(_ENCODED) - before)
    side.checks.append({"answered": run.answered, "encoded": texts, "sent": run.sent})
    if not run.answered <= texts <= run.sent:
        raise RuntimeError(f"{run.answered} answers to {run.sent} requests, but {texts} encoded")
    return run


def _document(
    fast: Side, slow: Side, settings: dict[str, Any], options: argparse.Namespace
) -> dict[str, object]:
    ours, theirs = fast.medians(), slow.medians()
    rates = [name for name in ours if name.endswith("_per_s")]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.bench",
        "options": {
            name: getattr(options, name)
            for name in ("rounds", "seconds", "connections", "queries", "seed")
        },
        "machine": machine.describe(),
        "versions": machine.versions(),
        "recserve": {"median": ours, "rounds": fast.series, "encoded": fast.checks},
        "naive": {"median": theirs, "rounds": slow.series, "settings": settings},
        # How many times better: more per second, or less time and memory.
        "ratio": {
            name: round(
                ours[name] / theirs[name] if name in rates else theirs[name] / ours[name], 2
            )
            for name in ours
        },
    }


def _publish(document: dict[str, object], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cpu = machine.slug(str(machine.describe()["cpu"]))
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-{cpu}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\n{render.table(document)}\n\nwritten: {path}\n{json.dumps(document)}")


if __name__ == "__main__":
    main()
