"""Bundles that take over under load: failures, times and memory over reloads in turn of two.

    python -m loadtest.reloads --bundle models/demo

The newest two generations of a bundle are copied; a service is offered a constant rate of requests
(unique queries, every third with a user), first in peace, then while they take turns: each is
published, then `POST /admin/reload` is called. Prints one JSON line.
"""

import argparse
import asyncio
import json
import os
import shutil
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

from app.generations import publish
from loadtest import machine
from loadtest.open_loop import Offer, Outcome, message, offer, percentile
from loadtest.queries import demo_titles, unique_queries
from loadtest.services import RECSERVE, ROOT, Service, free_port

_QUIET_S = 8.0
_PROBE = {"history": ["1", "260", "1196"], "k": 10}


@dataclass
class Turns:
    """What was seen of the reloads themselves."""

    seconds: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    wrong: int = 0


def main() -> None:
    """Run once, print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.reloads", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models/demo", help="models/NAME")
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--every", type=float, default=1.6, help="seconds between two reloads")
    parser.add_argument("--rate", type=float, default=100, help="requests per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recserve-reloads-") as work:
        root, pair = _copied(options.bundle, Path(work))
        service = _service(root, Path(work))
        with service:
            document = _measured(service, root, pair, options)
    print(json.dumps(document))


def _copied(bundle: Path, work: Path) -> tuple[Path, list[str]]:
    pair = sorted(path.name for path in bundle.glob("2*Z-*"))[-2:]
    if len(pair) < 2:
        raise SystemExit("two generations are needed: build, then train")
    root = work / bundle.resolve().name
    for name in pair:
        shutil.copytree(bundle / name, root / name)
    publish(root, pair[0])
    return root, pair


def _service(root: Path, work: Path) -> Service:
    port = free_port()
    command = [str(RECSERVE), "serve", "--bundle", str(root), "--port", str(port)]
    command += ["--watch-bundle-ms", "0", "--cache-local-bytes", "0"]
    command += ["--data-dir", str(work / "data")]
    return Service("recserve", command, port, work / "log", {"PYTHONPATH": str(ROOT)})


def _measured(
    service: Service, root: Path, pair: Sequence[str], options: argparse.Namespace
) -> dict[str, object]:
    seconds = options.reloads * options.every
    texts = unique_queries(int(options.rate * (_QUIET_S + seconds)) + 2, 1, demo_titles())
    messages = [message(json.dumps(_body(n, text)).encode()) for n, text in enumerate(texts)]
    n_quiet = int(options.rate * _QUIET_S)
    quiet = asyncio.run(
        offer("127.0.0.1", service.port, messages[:n_quiet], Offer(options.rate, _QUIET_S))
    )
    before = service.rss_mib()
    turns = Turns()

    async def both() -> list[Outcome]:
        load = Offer(options.rate, seconds)
        offered = asyncio.create_task(offer("127.0.0.1", service.port, messages[n_quiet:], load))
        await asyncio.to_thread(_take_turns, service, root, pair, options, turns)
        return await offered

    during = asyncio.run(both())
    time.sleep(1)
    first, second = turns.answers.values()
    outcomes = [*quiet, *during]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.reloads",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "load_average": os.getloadavg()[0],
        "rate_per_s": options.rate,
        "reloads": len(turns.seconds),
        "reload_s": {"p50": round(median(turns.seconds), 2), "max": max(turns.seconds)},
        "requests": len(outcomes),
        "requests_during": len(during),
        "failures": sum(outcome.status != 200 for outcome in outcomes),
        "by_status": dict(Counter(str(outcome.status) for outcome in outcomes)),
        "wrong_generation_after_reload": turns.wrong,
        "answers_differ": first != second,
        "quiet_ms": _times(quiet),
        "during_ms": _times(during),
        "rss_mib": {
            "before": round(before, 1),
            "after": round(service.rss_mib(), 1),
            "after_each": turns.rss_mib,
        },
    }


def _body(n: int, text: str) -> dict[str, object]:
    return {"query": text, "k": 10} | ({"user_id": str(n % 671)} if n % 3 == 0 else {})


def _take_turns(
    service: Service, root: Path, pair: Sequence[str], options: argparse.Namespace, turns: Turns
) -> None:
    start = time.monotonic()
    for n in range(options.reloads):
        time.sleep(max(0.0, start + n * options.every - time.monotonic()))
        wanted = pair[(n + 1) % 2]
        publish(root, wanted)
        done = _post(service.port, "/admin/reload", {})
        answer = _post(service.port, "/recommend", _PROBE)
        turns.seconds.append(done["seconds"])
        turns.rss_mib.append(round(service.rss_mib(), 1))
        turns.answers[wanted] = [item["id"] for item in answer["items"]]
        turns.wrong += answer["generation"]["bundle"] != wanted or not done["reloaded"]


def _post(port: int, path: str, body: dict[str, object]) -> dict:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        json.dumps(body).encode(),
        {"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def _times(outcomes: Sequence[Outcome]) -> dict[str, float | None]:
    ms = [(o.answered - o.due) * 1e3 for o in outcomes if o.status == 200 and o.due >= 1]
    late = [(o.sent - o.due) * 1e3 for o in outcomes if o.due >= 1]
    found = {f"p{percent}": percentile(ms, percent) for percent in (50, 99, 100)}
    found["runner_late_p99"] = percentile(late, 99)
    return {name: value and round(value, 2) for name, value in found.items()}


if __name__ == "__main__":
    main()
