"""How fast events are taken in: events/s over HTTP until they are durable, by store and batch.

python -m loadtest.events_rate [--seconds 3] [--callers 32]

The routes and the store are real, the engine is a fake one (it takes no part); the callers share
the machine with the service. Prints one JSON line a measurement. "fsync/s" is what the disk alone
does with 4 KiB appends.
"""

import argparse
import http.client
import itertools
import json
import os
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from loadtest import services


def fsyncs(folder: Path, seconds: float) -> float:
    """Return how many appends of 4 KiB a second the disk makes durable, one after the other."""
    n, began = 0, time.perf_counter()
    with (folder / "probe").open("ab", buffering=0) as file:
        while time.perf_counter() - began < seconds:
            file.write(bytes(4096))
            os.fsync(file.fileno())
            n += 1
    return n / (time.perf_counter() - began)


def rate(port: int, batch: int, callers: int, seconds: float) -> dict[str, float]:
    """Return events/s and the median and 99th percentile of a call's time in ms."""
    times: list[float] = []
    began = time.perf_counter()

    def call(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        for serial in itertools.count():
            body = _body(f"{batch}-{number}-{serial}-{began}", batch)
            start = time.perf_counter()
            if start - began > seconds:
                break
            connection.request("POST", "/events", body)
            response = connection.getresponse()
            answer = json.loads(response.read())
            if response.status != 200 or answer["accepted"] != batch:
                raise RuntimeError(f"{response.status}: {answer}")
            times.append(time.perf_counter() - start)
        connection.close()

    threads = [threading.Thread(target=call, args=(n,)) for n in range(callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    took = time.perf_counter() - began
    times.sort()
    return {
        "events_per_s": round(len(times) * batch / took),
        "p50_ms": round(1e3 * times[len(times) // 2], 2),
        "p99_ms": round(1e3 * times[int(len(times) * 0.99)], 2),
    }


def _body(name: str, batch: int) -> bytes:
    events = [
        {"event_id": f"{name}-{n}", "user_id": str(hash((name, n)) % 10_000), "item_id": f"i{n}"}
        for n in range(batch)
    ]
    return json.dumps(events).encode()


def main(argv: Sequence[str] | None = None) -> int:
    """Measure SQLite and Redis at batches of 1 and 100, alternating, twice each."""
    parser = argparse.ArgumentParser("python -m loadtest.events_rate", description=__doc__)
    parser.add_argument("--seconds", type=float, default=3.0, help="of each measurement")
    parser.add_argument("--callers", type=int, default=32, help="at once (default: 32)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        print(json.dumps({"fsync_per_s": round(fsyncs(folder, 1.0))}), flush=True)
        redis = services.Redis(folder)
        redis.start()
        urls = {"sqlite": f"sqlite:///{folder / 'store.sqlite'}", "redis": redis.url}
        try:
            for store, batch in [*itertools.product(urls, (1, 100))] * 2:
                with services.ingest(folder / "log", urls[store]) as service:
                    for callers in (1, options.callers):
                        found = rate(service.port, batch, callers, options.seconds)
                        case = {"store": store, "batch": batch, "callers": callers}
                        print(json.dumps(case | found), flush=True)
        finally:
            redis.kill()
    return 0


if __name__ == "__main__":
    sys.exit(main())
