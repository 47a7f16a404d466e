"""What the log of requests, or keeping answers, costs: cached answers with it and without it.

    python -m loadtest.scenarios.request_log --bundle models/demo --starts 6 --rounds 8
    python -m loadtest.scenarios.request_log --of answers --starts 6 --rounds 8

Two services run side by side and differ only in that. They are loaded in turn, for a second each,
in an order that alternates from round to round. The machine may be shared, so the processor time of
the event loop's thread is reported beside the rates. Two processes of the same program may differ
by a few percent for as long as they live, so both are started anew several times. Each ratio is
that of the medians over all rounds. Needs wrk. Prints one JSON line.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median
from typing import Final

from loadtest.runners import machine, wrk
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import Service, free_port
from loadtest.runners.wrk import Bodies

HOT_QUERIES: Final = 50
CONNECTIONS: Final = (1, 32)
Ways = dict[str, dict[str, str]]
"""Name -> settings, of two ways: with, and without."""

COMPARED: Final[dict[str, Ways]] = {
    "log": {
        "logged": {},
        "not_logged": {"RECSERVE_ACCESS_LOG_PER_SECOND": "0", "RECSERVE_SLOW_REQUEST_MS": "0"},
    },
    "answers": {"kept": {"RECSERVE_KEEP_ANSWERS_HOURS": "1"}, "not_kept": {}},
}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.request_log", description=__doc__
    )
    parser.add_argument("--bundle", type=Path, default=Path("models/demo"))
    parser.add_argument("--of", choices=COMPARED, default="log", help="what is compared (log)")
    parser.add_argument("--starts", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=8, help="after each start (8)")
    options = parser.parse_args(argv)
    wrk.require()
    ways = COMPARED[options.of]
    found: dict[int, list[Round]] = {connections: [] for connections in CONNECTIONS}
    for start in range(options.starts):
        with (
            tempfile.TemporaryDirectory() as folder,
            _services(ways, options.bundle, Path(folder), start) as services,
        ):
            _measure(services, Path(folder), options.rounds, found)
    report = {f"{n} connections": _summary(rounds, ways) for n, rounds in found.items()}
    how = {"starts": options.starts, "rounds": options.rounds}
    print(json.dumps({"loads": report, **how, "machine": machine.describe()}))


Round = dict[str, tuple[float, float]]
"""Of each way: answers per second, and microseconds of the event loop's thread per answer."""


@contextmanager
def _services(ways: Ways, bundle: Path, folder: Path, start: int) -> Iterator[dict[str, Service]]:
    """Start both services, in an order that alternates from start to start."""
    with ExitStack() as stack:
        order = sorted(ways, reverse=start % 2 == 1)
        yield {way: stack.enter_context(_service(way, ways[way], bundle, folder)) for way in order}


def _measure(
    services: dict[str, Service], folder: Path, rounds: int, found: dict[int, list[Round]]
) -> None:
    """Add the rounds of each number of connections to `found`."""
    texts = unique_queries(HOT_QUERIES, 1, demo_titles())
    bodies = Bodies.write(folder / "hot", [{"query": text} for text in texts])
    for service in services.values():
        bodies.run(service.port, connections=1, seconds=2)  # fills the cache
    for n in range(rounds):
        for connections, so_far in found.items():
            so_far.append(_round(services, bodies, connections, n))


def _service(way: str, set_here: dict[str, str], bundle: Path, folder: Path) -> Service:
    port = free_port()
    command = [sys.executable, "-m", "app.cli", "serve", "--port", str(port)]
    settings = {
        "PYTHONPATH": os.environ.get("PYTHONPATH", ""),
        "RECSERVE_BUNDLE": str(bundle.resolve()),
        "RECSERVE_DATA_DIR": str(folder / way),
        **set_here,
    }
    return Service(way, command, port, folder / f"{way}.log", settings)


def _round(services: dict[str, Service], bodies: Bodies, connections: int, n: int) -> Round:
    figures: Round = {}
    for way in sorted(services, reverse=n % 2 == 1):
        service = services[way]
        before = _loop_seconds(service)
        run = bodies.run(service.port, connections=connections, seconds=1)
        spent_us = 1e6 * (_loop_seconds(service) - before)
        figures[way] = run.per_second, spent_us / run.answered
    return figures


def _loop_seconds(service: Service) -> float:
    """Return how long the main thread of a service has been computing."""
    file = Path(f"/proc/{service.pid}/task/{service.pid}/schedstat")
    return int(file.read_text().split()[0]) / 1e9


def _summary(rounds: Sequence[Round], ways: Ways) -> dict[str, float]:
    found = {}
    with_it, without = ways
    for column, name in enumerate(("per_second", "loop_us")):
        middle = {way: median(figures[way][column] for figures in rounds) for way in ways}
        found |= {f"{way}_{name}": value for way, value in middle.items()}
        found[f"{with_it}_to_{without}_{name}"] = middle[with_it] / middle[without]
    return {name: round(value, 3) for name, value in found.items()}


if __name__ == "__main__":
    main()
