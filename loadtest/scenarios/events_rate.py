"""The rate of ingestion: events a second over HTTP until they are durable, by store and batch.

python -m loadtest.scenarios.events_rate [--seconds 3] [--callers 32]

The routes and the store are real; the engine is a fake, because it takes no part. wrk sends, on the
same machine as the service. Prints one JSON line a measurement. `fsync_per_s` is what the disk
alone reaches with appends of 4 KiB.
"""

import argparse
import itertools
import json
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest.runners import services, wrk

_BODIES = {1: 60_000, 100: 3000}


def fsyncs(folder: Path, seconds: float) -> float:
    """Return how many appends of 4 KiB the disk makes durable a second, one after the other."""
    n, began = 0, time.perf_counter()
    with (folder / "probe").open("ab", buffering=0) as file:
        while time.perf_counter() - began < seconds:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            n += 1
    return n / (time.perf_counter() - began)


def bodies(path: Path, batch: int, name: str) -> wrk.Bodies:
    """Write request bodies with new events of 10,000 users."""
    serial = itertools.count()
    lines = []
    for _ in range(_BODIES[batch]):
        events = [
            {"event_id": f"{name}-{n}", "user_id": str(n % 10_000), "item_id": f"i{n % 300}"}
            for n in itertools.islice(serial, batch)
        ]
        lines.append(json.dumps(events))
    path.write_text("\n".join(lines) + "\n")
    return wrk.Bodies(path, len(lines), "/events", fresh=True)


def rate(
    service: services.Service, sent: wrk.Bodies, batch: int, callers: int, seconds: int
) -> dict[str, float]:
    """Return events/s and the median and 99th percentile of a call's time in ms."""
    before = _accepted(service.port)
    run = sent.run(service.port, connections=callers, seconds=seconds)
    accepted = _accepted(service.port) - before
    if accepted < run.answered * batch:
        raise RuntimeError(f"{accepted} events accepted in {run.answered} answers")
    return {
        "events_per_s": round(run.per_second * batch),
        "p50_ms": round(run.p50_ms, 2),
        "p99_ms": round(run.p99_ms, 2),
    }


def _accepted(port: int) -> float:
    text = services.get(port, "/metrics")[1]
    match = re.search(r'^recserve_events_total\{result="accepted"\} (\S+)$', text, re.MULTILINE)
    return float(match[1]) if match else 0.0


def main(argv: Sequence[str] | None = None) -> int:
    """Measure SQLite and Redis at batches of 1 and 100, alternating, twice each."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.events_rate", description=__doc__
    )
    parser.add_argument("--seconds", type=int, default=3, help="of each measurement")
    parser.add_argument("--callers", type=int, default=32, help="at once (default: 32)")
    options = parser.parse_args(argv)
    wrk.require()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(json.dumps({"fsync_per_s": round(fsyncs(folder, 1.0))}), flush=True)
        redis = services.Redis(folder)
        redis.start()
        urls = {"sqlite": f"sqlite:///{folder / 'store.sqlite'}", "redis": redis.url}
        try:
            for store, batch in [*itertools.product(urls, (1, 100))] * 2:
                with services.ingest(folder / "log", urls[store]) as service:
                    sent = bodies(folder / "bodies", batch, os.urandom(4).hex())
                    for callers in (1, options.callers):
                        figures = rate(service, sent, batch, callers, options.seconds)
                        case = {"store": store, "batch": batch, "callers": callers}
                        print(json.dumps(case | figures), flush=True)
        finally:
            redis.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
