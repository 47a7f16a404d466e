"""Changes of items under load: how long they take, and how much they slow down searches.

    python -m loadtest.scenarios.changes --bundle models/demo

A service gets requests at a constant rate (unique queries, no cache), first without changes. Then
items are put in calls of ten, searched for by a word of their own, and deleted again. It counts
errors: a new item that the next request does not find, a deleted item that comes back, a failure.
Prints one JSON line.
"""

import argparse
import asyncio
import json
import os
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.runners import machine
from loadtest.runners.open_loop import Offer, Outcome, message, offer, percentile
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import RECSERVE, ROOT, Service, free_port

_QUIET_S = 8.0
_ITEMS_PER_PUT = 10


@dataclass
class Seen:
    """What the writer saw: milliseconds of its calls, and the number of errors."""

    put_ms: list[float] = field(default_factory=list)
    delete_ms: list[float] = field(default_factory=list)
    not_found: int = 0
    came_back: int = 0


def main() -> None:
    """Measure once and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.changes", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models/demo", help="models/NAME")
    parser.add_argument("--seconds", type=float, default=20, help="of load with changes")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two changes")
    parser.add_argument("--rate", type=float, default=100, help="requests per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recserve-changes-") as work:
        port = free_port()
        command = [str(RECSERVE), "serve", "--bundle", str(options.bundle), "--port", str(port)]
        command += ["--cache-local-bytes", "0", "--data-dir", f"{work}/data"]
        log = Path(work) / "log"
        with Service("recserve", command, port, log, {"PYTHONPATH": str(ROOT)}) as service:
            print(json.dumps(_measured(service, options)))


def _measured(service: Service, options: argparse.Namespace) -> dict[str, object]:
    texts = unique_queries(int(options.rate * (_QUIET_S + options.seconds)) + 2, 1, demo_titles())
    bodies = ({"query": text, "k": 10} for text in texts)
    messages = [message(json.dumps(body).encode()) for body in bodies]
    n_quiet = int(options.rate * _QUIET_S)
    quiet_load = Offer(options.rate, _QUIET_S)
    quiet = asyncio.run(offer("127.0.0.1", service.port, messages[:n_quiet], quiet_load))
    seen, before = Seen(), service.rss_mib()

    async def both() -> list[Outcome]:
        load = Offer(options.rate, options.seconds)
        offered = asyncio.create_task(offer("127.0.0.1", service.port, messages[n_quiet:], load))
        await asyncio.to_thread(_write, service.port, options, seen)
        return await offered

    during = asyncio.run(both())
    outcomes = [*quiet, *during]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.changes",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "load_average": os.getloadavg()[0],
        "rate_per_s": options.rate,
        "requests": len(outcomes),
        "by_status": dict(Counter(str(outcome.status) for outcome in outcomes)),
        "items_put": _ITEMS_PER_PUT * len(seen.put_ms),
        "items_deleted": len(seen.delete_ms),
        "not_found_at_once": seen.not_found,
        "came_back": seen.came_back,
        f"put_{_ITEMS_PER_PUT}_ms": _percentiles(seen.put_ms),
        "delete_ms": _percentiles(seen.delete_ms),
        "quiet_ms": _times(quiet),
        "during_ms": _times(during),
        "rss_mib": {"before": round(before, 1), "after": round(service.rss_mib(), 1)},
    }


def _write(port: int, options: argparse.Namespace, seen: Seen) -> None:
    start = time.monotonic()
    deleted: set[str] = set()
    for n in range(int(options.seconds / options.every)):
        time.sleep(max(0.0, start + n * options.every - time.monotonic()))
        # The words are in no other title. The last item of each call is not deleted.
        items = [
            {"id": f"new-{n}-{m}", "title": f"zq{n}x{m} of the harbour", "categories": ["Drama"]}
            for m in range(_ITEMS_PER_PUT)
        ]
        seen.put_ms.append(_call(port, "PUT", "/items", items)[1])
        ids = _ids(port, f"zq{n}x3")
        seen.not_found += not ids or ids[0] != f"new-{n}-3"
        for m in range(_ITEMS_PER_PUT - 1):
            seen.delete_ms.append(_call(port, "DELETE", f"/items/new-{n}-{m}")[1])
            deleted.add(f"new-{n}-{m}")
        seen.came_back += len(deleted & {*_ids(port, f"zq{n}x3"), *_ids(port, "harbour drama")})


def _ids(port: int, query: str) -> list[str]:
    answer, _ = _call(port, "POST", "/recommend", {"query": query, "k": 20})
    return [item["id"] for item in answer["items"]]


def _call(port: int, method: str, path: str, body: object = None) -> tuple[Any, float]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        None if body is None else json.dumps(body).encode(),
        {"content-type": "application/json"},
        method=method,
    )
    start = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer), (time.perf_counter() - start) * 1e3


def _times(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    return _percentiles([(o.answered - o.due) * 1e3 for o in outcomes if o.status == 200])


def _percentiles(ms: Sequence[float]) -> dict[str, float | None]:
    percentiles = {f"p{percent}": percentile(ms, percent) for percent in (50, 99, 100)}
    return {name: value and round(value, 2) for name, value in percentiles.items()}


if __name__ == "__main__":
    main()
