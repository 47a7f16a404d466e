"""What the fast path gains by driving its coroutine by hand, compared with a task per request.

    python -m loadtest.scenarios.fast_path_ways --bundle models/demo --rounds 40

Two services run side by side and differ only in that. They are loaded in turn, for a second each,
in an order that alternates from round to round. The machine may be shared, so the processor time of
the event loop's thread is reported beside the rates, and each ratio is the median of the ratios of
the rounds. Needs wrk. Prints one JSON line. It uses private parts, so it fits only its own commit.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Final

import uvicorn

from app.api.fast_path import FastPathProtocol, _Cycle
from app.api.reply import Reply, id_of
from app.core.caller import Caller
from loadtest.runners import machine, wrk
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import Service, free_port
from loadtest.runners.wrk import Bodies

HOT_QUERIES: Final = 50
LOADS: Final = (("cached", 1), ("cached", 32), ("uncached", 8))
"""Kind of answers, and number of connections."""


class TaskProtocol(FastPathProtocol):
    """Replies to each request from a task of its own."""

    def on_message_complete(self) -> None:
        """Start a task in place of the first step."""
        super(FastPathProtocol, self).on_message_complete()
        cycle = self._current
        if cycle is not None and cycle is self.cycle:
            cycle.request_id = id_of(self.headers)
            body, cycle.body = bytes(cycle.body), bytearray()
            cycle.task = asyncio.create_task(self._reply(cycle, body))

    async def _reply(self, cycle: _Cycle, body: bytes) -> Reply:
        reply = await cycle.endpoint.reply(body, cycle.request_id, Caller())
        self._send(cycle, reply)
        return reply


WAYS: Final = {"by_hand": FastPathProtocol, "task": TaskProtocol}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print; with `--serve`, be one of the two services."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.fast_path_ways", description=__doc__
    )
    parser.add_argument("--bundle", type=Path, default=Path("models/demo"))
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--queries", type=int, default=200_000, help="unique ones (200000)")
    parser.add_argument("--serve", choices=WAYS, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.serve:
        _serve(options.serve, options.port)
        return
    wrk.require()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        services = {way: _service(way, options.bundle, Path(folder)) for way in WAYS}
        for service in services.values():
            stack.enter_context(service)
        rounds = _measure(services, options, Path(folder))
    report = {f"{what}, {n} connections": _summary(rounds[what, n]) for what, n in LOADS}
    print(json.dumps({"loads": report, "rounds": options.rounds, "machine": machine.describe()}))


def _serve(way: str, port: int) -> None:
    uvicorn.run(
        "app.server_process:application",
        factory=True,
        host="127.0.0.1",
        port=port,
        http=WAYS[way],
        loop="uvloop",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        log_config=None,
        timeout_keep_alive=75,
    )


def _service(way: str, bundle: Path, folder: Path) -> Service:
    port = free_port()
    command = [sys.executable, "-m", "loadtest.scenarios.fast_path_ways"]
    command += ["--serve", way, "--port", str(port)]
    settings = {
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "RECSERVE_BUNDLE": str(bundle.resolve()),
        "RECSERVE_DATA_DIR": str(folder / way),
    }
    return Service(way, command, port, folder / f"{way}.log", settings)


Round = dict[str, tuple[float, float]]
"""Of each way: answers per second, and microseconds of the event loop's thread per answer."""


def _measure(
    services: dict[str, Service], options: argparse.Namespace, folder: Path
) -> dict[tuple[str, int], list[Round]]:
    texts = unique_queries(options.queries, 1, demo_titles())
    cached = Bodies.write(folder / "hot", [{"query": t} for t in texts[:HOT_QUERIES]])
    fresh = [{"query": text, "budget_ms": 10_000} for text in texts[HOT_QUERIES:]]
    uncached = {way: Bodies.write(folder / f"{way}.new", fresh, fresh=True) for way in WAYS}
    for service in services.values():
        cached.run(service.port, connections=1, seconds=2)  # fills the cache
    rounds: dict[tuple[str, int], list[Round]] = {load: [] for load in LOADS}
    for n in range(options.rounds):
        for what, connections in LOADS:
            figures: Round = {}
            for way in sorted(WAYS, reverse=n % 2 == 1):
                bodies = cached if what == "cached" else uncached[way]
                figures[way] = _loaded(services[way], bodies, connections)
            rounds[what, connections].append(figures)
    return rounds


def _loaded(service: Service, bodies: Bodies, connections: int) -> tuple[float, float]:
    before = _loop_seconds(service)
    run = bodies.run(service.port, connections=connections, seconds=1)
    return run.per_second, (_loop_seconds(service) - before) / run.answered * 1e6


def _loop_seconds(service: Service) -> float:
    """Return how long the main thread of a service has been computing."""
    file = Path(f"/proc/{service.pid}/task/{service.pid}/schedstat")
    return int(file.read_text().split()[0]) / 1e9


def _summary(rounds: Sequence[Round]) -> dict[str, float]:
    names = ("per_second", "loop_us")
    found = {
        f"{way}_{name}": median(figures[way][column] for figures in rounds)
        for way in WAYS
        for column, name in enumerate(names)
    }
    for column, name in enumerate(names):
        ratios = [figures["by_hand"][column] / figures["task"][column] for figures in rounds]
        found[f"by_hand_to_task_{name}"] = median(ratios)
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
