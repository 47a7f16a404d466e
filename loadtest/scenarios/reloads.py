"""Reloads of bundles under load: failures, times and memory while two bundles take turns.

    python -m loadtest.scenarios.reloads

The demo is copied, and built once more without learning. First the peak of a service is measured
(32 connections, unique queries, every third with a user, no cache). Then two thirds of it are
offered at a constant rate: first without reloads, then while the bundles take turns. Each turn
publishes one of them and calls `POST /admin/reload`. Prints one JSON line.
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

from app.bundle.generations import publish
from app.offline.demo import build_demo
from loadtest.runners import machine, wrk
from loadtest.runners.open_loop import Offer, Outcome, message, offer, percentile
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import RECSERVE, ROOT, Service, free_port
from loadtest.runners.wrk import Bodies

_WARM_S, _PEAK_S, _QUIET_S = 4, 8, 8.0
_CONNECTIONS = 32
_MOST_PER_S = 2000
"""Queries made for each second of a run; it must exceed the peak."""
_PROBE = {"history": ["1", "260", "1196"], "k": 10, "budget_ms": 10_000}


@dataclass
class Turns:
    """What the reloads themselves showed. `answers`: generation -> ids of the probe's answer."""

    seconds: list[float] = field(default_factory=list)
    rss_mib: list[float] = field(default_factory=list)
    answers: dict[str, list[str]] = field(default_factory=dict)
    wrong: int = 0


def main() -> None:
    """Measure once and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.reloads", description=__doc__)
    parser.add_argument("--reloads", type=int, default=20)
    parser.add_argument("--every", type=float, default=1.6, help="seconds between two reloads")
    parser.add_argument("--share", type=float, default=2 / 3, help="of the peak that is offered")
    options = parser.parse_args()
    wrk.require()
    with tempfile.TemporaryDirectory(prefix="recserve-reloads-") as work:
        root, pair = _pair(Path(work))
        service = _service(root, Path(work))
        with service:
            document = _measured(service, root, pair, options, Path(work))
    print(json.dumps(document))


def _pair(work: Path) -> tuple[Path, list[str]]:
    root, learned = work / "demo", (ROOT / "models/demo/current").resolve()
    shutil.copytree(learned, root / learned.name)
    other = build_demo(root, learning=False).bundle.path.name
    publish(root, learned.name)
    return root, [learned.name, other]


def _service(root: Path, work: Path) -> Service:
    port = free_port()
    command = [str(RECSERVE), "serve", "--bundle", str(root), "--port", str(port)]
    command += ["--watch-bundle-ms", "0", "--cache-local-bytes", "0"]
    command += ["--data-dir", str(work / "data")]
    return Service("recserve", command, port, work / "log", {"PYTHONPATH": str(ROOT)})


def _measured(
    service: Service,
    root: Path,
    pair: Sequence[str],
    options: argparse.Namespace,
    work: Path,
) -> dict[str, object]:
    seconds = options.reloads * options.every
    n_peak = _MOST_PER_S * (_PEAK_S + _WARM_S)
    texts = unique_queries(n_peak + int(_MOST_PER_S * (_QUIET_S + seconds)), 1, demo_titles())
    asks = [_body(n, text) for n, text in enumerate(texts)]
    peak = _peak(service.port, work / "bodies.jsonl", asks[:n_peak])
    rate = peak * options.share
    messages = [message(json.dumps(ask).encode()) for ask in asks[n_peak:]]
    n_quiet = int(rate * _QUIET_S)
    quiet = asyncio.run(offer("127.0.0.1", service.port, messages[:n_quiet], Offer(rate, _QUIET_S)))
    before = service.rss_mib()
    turns = Turns()

    async def both() -> list[Outcome]:
        load = Offer(rate, seconds)
        offered = asyncio.create_task(offer("127.0.0.1", service.port, messages[n_quiet:], load))
        await asyncio.to_thread(_take_turns, service, root, pair, options, turns)
        return await offered

    during = asyncio.run(both())
    time.sleep(1)
    first, second = turns.answers.values()
    outcomes = [*quiet, *during]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.reloads",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "load_average": os.getloadavg()[0],
        "peak_per_s": round(peak, 1),
        "rate_per_s": round(rate, 1),
        "reloads": len(turns.seconds),
        "reload_s": {"p50": round(median(turns.seconds), 2), "max": max(turns.seconds)},
        "requests": len(outcomes),
        "requests_during": len(during),
        "failures": sum(outcome.status != 200 for outcome in outcomes),
        "by_status": dict(Counter(str(outcome.status) for outcome in outcomes)),
        "degraded": {"quiet": _degraded(quiet), "during": _degraded(during)},
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


def _peak(port: int, path: Path, asks: Sequence[dict[str, object]]) -> float:
    bodies = Bodies.write(path, asks, fresh=True)
    bodies.run(port, connections=_CONNECTIONS, seconds=_WARM_S)
    return bodies.run(port, connections=_CONNECTIONS, seconds=_PEAK_S).per_second


def _degraded(outcomes: Sequence[Outcome]) -> int:
    return sum(outcome.degraded for outcome in outcomes)


def _body(n: int, text: str) -> dict[str, object]:
    return {"query": text, "k": 10} | ({"user_id": str(n % 671)} if n % 3 == 0 else {})


def _take_turns(
    service: Service, root: Path, pair: Sequence[str], options: argparse.Namespace, turns: Turns
) -> None:
    start = time.monotonic()
    for n in range(options.reloads):
        time.sleep(max(0.0, start + n * options.every - time.monotonic()))
        generation = pair[(n + 1) % 2]
        publish(root, generation)
        done = _post(service.port, "/admin/reload", {})
        answer = _post(service.port, "/recommend", _PROBE)
        turns.seconds.append(done["seconds"])
        turns.rss_mib.append(round(service.rss_mib(), 1))
        turns.answers[generation] = [item["id"] for item in answer["items"]]
        turns.wrong += answer["generation"]["bundle"] != generation or not done["reloaded"]


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
    percentiles = {f"p{percent}": percentile(ms, percent) for percent in (50, 99, 100)}
    percentiles["runner_late_p99"] = percentile(late, 99)
    return {name: value and round(value, 2) for name, value in percentiles.items()}


if __name__ == "__main__":
    main()
