"""What the cache brings while items change ten times a second, with and without `max_stale_ms`.

    python -m loadtest.scenarios.stale

A popular mix (Zipf's law over 300 requests) is repeated over 16 connections, in four turns:

- no change;
- ten times a second an attribute of an item changes (until when it is available), but not its text;
- ten times a second an item is put;
- the same, and answers up to five seconds old are allowed.

Prints one JSON line: answers a second, and the share of cache look-ups that were hits.
"""

import argparse
import json
import random
import re
import tempfile
import threading
import time
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.runners import machine, wrk
from loadtest.runners.client import Client
from loadtest.runners.queries import demo_titles, hot_mix, unique_queries
from loadtest.runners.services import RECSERVE, ROOT, Service, free_port, get
from loadtest.runners.wrk import Bodies

_PER_S = 10
_STALE_MS = 5000
_POPULAR, _MIX = 300, 20_000
_FILMS = [str(n) for n in range(1, 101) if n != 91]  # no film has the id 91

Change = Callable[[Client], tuple[int, Any]]


def main() -> None:
    """Measure the turns in rounds and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.stale", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=int, default=6, help="of one turn")
    options = parser.parse_args()
    wrk.require()
    texts = unique_queries(_POPULAR, 3, demo_titles())
    mix = hot_mix(_MIX, 3, texts, ["1", "2", "3", "6", "10", "11"])
    turns: dict[str, tuple[Change | None, int]] = {
        "quiet": (None, 0),
        "fields": (_alter, 0),
        "changing": (_put, 0),
        "changing, 5 s old": (_put, _STALE_MS),
    }
    series: dict[str, dict[str, list[float]]] = {name: {} for name in turns}
    with tempfile.TemporaryDirectory(prefix="recserve-stale-") as work:
        bodies = {
            age: Bodies.write(
                Path(work) / f"{age}.jsonl", [ask | {"max_stale_ms": age} for ask in mix]
            )
            for age in (0, _STALE_MS)
        }
        port = free_port()
        command = [str(RECSERVE), "serve", "--bundle", str(ROOT / "models/demo")]
        command += ["--port", str(port), "--data-dir", f"{work}/data"]
        with Service("recserve", command, port, Path(work) / "log", {"PYTHONPATH": str(ROOT)}):
            bodies[0].run(port, connections=16, seconds=options.seconds)  # warm
            for _ in range(options.rounds):
                for name, (change, age) in turns.items():
                    _turn(port, bodies[age], change, options.seconds, series[name])
    print(json.dumps(_document(options, series)))


def _turn(
    port: int, bodies: Bodies, change: Change | None, seconds: int, series: dict[str, list[float]]
) -> None:
    stop = threading.Event()
    writer = threading.Thread(target=_write, args=(port, change, stop))
    writer.start()
    time.sleep(1)
    before = reads(port)
    run = bodies.run(port, connections=16, seconds=seconds)
    after = reads(port)
    stop.set()
    writer.join()
    results = {result: after[result] - before.get(result, 0) for result in after}
    hits = results.get("hit", 0.0) + results.get("stale", 0.0)
    series.setdefault("answers_per_s", []).append(round(run.per_second))
    series.setdefault("hit_share", []).append(round(hits / results["lookups"], 4))
    series.setdefault("p99_ms", []).append(run.p99_ms)


def _write(port: int, change: Change | None, stop: threading.Event) -> None:
    with closing(Client(port)) as client:
        while change and not stop.wait(1 / _PER_S):
            status, answer = change(client)
            if status != 200:
                raise SystemExit(f"a change was refused: {answer}")


def _put(client: Client) -> tuple[int, Any]:
    item = {"id": "live", "title": f"harbour {time.monotonic_ns()}"}
    return client.call("PUT", "/items", [item])


def _alter(client: Client) -> tuple[int, Any]:
    """Change one of the first hundred films; some of them are in many answers."""
    until = {"available_until": f"{random.randint(2100, 2900)}-01-01T00:00:00Z"}
    return client.call("PATCH", f"/items/{random.choice(_FILMS)}", until)


def reads(port: int) -> dict[str, float]:
    """Return how many look-ups in the cache of the process had which result, and of all."""
    pattern = r'recserve_cache_reads_total{result="(\w+)",tier="local"} (\S+)'
    counted = {name: float(n) for name, n in re.findall(pattern, get(port, "/metrics")[1])}
    # A stale answer was already counted as outdated.
    lookups = sum(n for name, n in counted.items() if name != "stale")
    return counted | {"lookups": lookups}


def _document(options: argparse.Namespace, rounds: dict[str, Any]) -> dict[str, Any]:
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.stale",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "options": vars(options),
        "puts_per_s": _PER_S,
        "median": {
            turn: {name: median(values) for name, values in series.items()}
            for turn, series in rounds.items()
        },
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
