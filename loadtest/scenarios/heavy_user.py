"""What a user with 10,000 events costs, beside one with 10: cached answers, and new ones.

    python -m loadtest.scenarios.heavy_user

Both users ask the same 50 queries again and again over 16 connections; the two take turns. Then
both ask new queries one at a time. Prints one JSON line: answers a second, the share of cache
look-ups that were hits, milliseconds of a new answer, and the ratio of the two medians.
"""

import argparse
import json
import tempfile
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from loadtest.runners import machine, wrk
from loadtest.runners.client import Client
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import recserve
from loadtest.runners.wrk import Bodies
from loadtest.scenarios.stale import reads

_EVENTS = {"light": 10, "heavy": 10_000}
_POPULAR = 50
_START = 1_700_000_000


def main() -> None:
    """Measure both users in turns and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.heavy_user", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=4, help="of one turn")
    parser.add_argument("--new", type=int, default=60, help="new queries of one turn")
    options = parser.parse_args()
    wrk.require()
    texts = unique_queries(_POPULAR + 2 * options.rounds * options.new, 5, demo_titles())
    popular, fresh = texts[:_POPULAR], iter(texts[_POPULAR:])
    series: dict[str, dict[str, list[float]]] = {name: {} for name in _EVENTS}
    with (
        tempfile.TemporaryDirectory(prefix="recserve-heavy-") as work,
        recserve(Path(work) / "log") as service,
        closing(Client(service.port)) as client,
    ):
        for name, n in _EVENTS.items():
            _take(client, name, n)
        bodies = {
            name: Bodies.write(
                Path(work) / f"{name}.jsonl", [{"query": q, "user_id": name} for q in popular]
            )
            for name in _EVENTS
        }
        for each in bodies.values():
            each.run(service.port, connections=16, seconds=1)  # fill the cache
        for _ in range(options.rounds):
            for name in _EVENTS:
                _hits(service.port, bodies[name], options.seconds, series[name])
                new = [next(fresh) for _ in range(options.new)]
                series[name].setdefault("new_ms", []).append(_new_ms(client, name, new))
    print(json.dumps(_document(options, series)))


def _take(client: Client, user: str, n: int) -> None:
    """Give a user `n` purchases of different items, oldest first."""
    events = [
        {"user_id": user, "item_id": str(k), "event": "purchase", "timestamp": _START + k}
        for k in range(1, n + 1)
    ]
    for first in range(0, n, 1000):
        status, answer = client.call("POST", "/events", events[first : first + 1000])
        if status != 200:
            raise SystemExit(f"events were refused: {answer}")


def _hits(port: int, bodies: Bodies, seconds: int, series: dict[str, list[float]]) -> None:
    before = reads(port)
    run = bodies.run(port, connections=16, seconds=seconds)
    after = reads(port)
    found = {result: after[result] - before.get(result, 0) for result in after}
    series.setdefault("answers_per_s", []).append(round(run.per_second))
    series.setdefault("hit_share", []).append(round(found.get("hit", 0) / found["lookups"], 4))


def _new_ms(client: Client, user: str, queries: list[str]) -> float:
    """Return the median milliseconds of answers to queries that nobody has asked before."""
    times = []
    for query in queries:
        start = time.perf_counter()
        status, answer = client.call("POST", "/recommend", {"query": query, "user_id": user})
        times.append((time.perf_counter() - start) * 1e3)
        if status != 200 or answer["cache"] != "miss":
            raise SystemExit(f"not a new answer: {status} {answer}")
    return round(median(times), 3)


def _document(
    options: argparse.Namespace, rounds: dict[str, dict[str, list[float]]]
) -> dict[str, Any]:
    medians = {
        user: {name: median(values) for name, values in series.items()}
        for user, series in rounds.items()
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.heavy_user",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "options": vars(options),
        "events": _EVENTS,
        "median": medians,
        "heavy_to_light": {
            name: round(medians["heavy"][name] / medians["light"][name], 3)
            for name in medians["light"]
        },
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
