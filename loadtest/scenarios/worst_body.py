"""Which accepted or refused request holds the event loop longest: a seeded search over bodies.

    python -m loadtest.scenarios.worst_body [--seconds 120] [--seed 1] [--http]

While one turn of the loop lasts, nobody is answered, so one caller's request is everybody's delay.
The search begins with requests that once took long, draws others of all routes
(`loadtest.runners.hard_bodies`), keeps those that took longest of each shape, and changes them
further. The time is processor time of the loop's thread, so that a busy machine does not count.

With `--http`, the worst of each shape is also sent to a service in a process of its own, while a
neighbour asks for `/livez` without a pause. What counts is its longest wait, with whatever other
threads do, less its longest wait without the request. Prints one JSON line; exits with 1 where a
turn or a wait is longer than `--most-ms`, or an answer is 5xx.
"""

import argparse
import json
import random
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from loadtest.runners import machine
from loadtest.runners.hard_bodies import Hard, changed, drawn, known_to_be_hard, new_tape
from loadtest.runners.held_loop import HeldServer, answered, held_server
from loadtest.runners.services import Service
from loadtest.runners.wide_shop import build_wide, serve_command, wide_app

KEPT: Final = 6
"""Requests of each shape that are changed further."""

_REPEATS: Final = 3
"""Times that a request is measured before it counts: the shortest of them does."""

_NEW: Final = 0.3
"""Share of the requests that are drawn anew."""


@dataclass(frozen=True, slots=True)
class Found:
    """A request and how long it holds the loop. `tape`: see `loadtest.runners.hard_bodies`."""

    held_s: float
    status: int
    hard: Hard
    tape: list[float]


@dataclass
class Search:
    """The worst requests of each shape so far."""

    rng: random.Random
    worst: dict[str, list[Found]] = field(default_factory=dict)
    failed: list[Found] = field(default_factory=list)
    tried: int = 0

    def run(self, server: HeldServer, seconds: float) -> None:
        """Search for so long."""
        end = time.monotonic() + seconds
        for hard in known_to_be_hard():
            self.note(server, hard, new_tape(self.rng))
        while time.monotonic() < end:
            tape = self._tape()
            self.note(server, drawn(tape), tape)

    def note(self, server: HeldServer, hard: Hard, tape: list[float]) -> None:
        """Try one request, and keep it if it is among the worst of its shape."""
        status, held_s = server.held_by(hard.sent())
        self.tried += 1
        kept = self.worst.setdefault(hard.shape, [])
        if status >= 500 and status not in {503, 504}:
            self.failed.append(Found(held_s, status, hard, tape))
        if len(kept) == KEPT and held_s <= kept[-1].held_s:
            return
        for _ in range(_REPEATS - 1):
            held_s = min(held_s, server.held_by(hard.sent())[1])
        kept.append(Found(held_s, status, hard, tape))
        kept.sort(key=lambda found: -found.held_s)
        del kept[KEPT:]

    def _tape(self) -> list[float]:
        known = [found for kept in self.worst.values() for found in kept]
        if not known or self.rng.random() < _NEW:
            return new_tape(self.rng)
        # Those that took longest are changed most often.
        some = self.rng.sample(known, min(4, len(known)))
        return changed(max(some, key=lambda found: found.held_s).tape, self.rng)

    def top(self) -> list[Found]:
        """Return the worst request of each shape, the worst first."""
        first = [kept[0] for kept in self.worst.values() if kept]
        return sorted(first, key=lambda found: -found.held_s)


def waits(port: int, hard: Hard | None) -> float:
    """Send a request while a neighbour asks for `/livez`; return the longest wait of that one.

    None = send nothing, for a fifth of a second: what the neighbour waits for on this machine.
    """
    longest, stop = [0.0], threading.Event()

    def ask() -> None:
        while not stop.is_set():
            began = time.perf_counter()
            answered(port, b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
            longest[0] = max(longest[0], time.perf_counter() - began)
            time.sleep(0.001)

    neighbour = threading.Thread(target=ask)
    neighbour.start()
    try:
        if hard is None:
            time.sleep(0.2)
        else:
            answered(port, hard.sent())
    finally:
        stop.set()
        neighbour.join()
    return longest[0]


def main(argv: Sequence[str] | None = None) -> int:
    """Search, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.worst_body", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=120.0, help="of the search (120)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--most-ms", type=float, default=50.0, help="that a turn may take (50)")
    parser.add_argument("--http", action="store_true", help="also with a neighbour, over HTTP")
    parser.add_argument("--items", type=int, default=20_000, help="of the shop (20000)")
    parser.add_argument("--bundle", type=Path, help="one that `wide_shop` built before")
    parser.add_argument("--save", type=Path, help="folder for the worst request of each shape")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        bundle = options.bundle or build_wide(folder, options.items)
        search = Search(random.Random(options.seed))
        with held_server(wide_app(bundle, folder / "data")) as server:
            server.held_by(Hard("first", "POST", "/recommend", b'{"query":"space"}').sent())
            search.run(server, options.seconds)
        rows = [_row(found) for found in search.top()]
        if options.http:
            _add_waits(rows, search.top(), bundle, folder)
    if options.save:
        options.save.mkdir(parents=True, exist_ok=True)
        for found in (*search.top(), *search.failed):
            (options.save / f"{found.hard.shape}-{found.status}.http").write_bytes(
                found.hard.sent()
            )
    worst = max(
        max(row["held_ms"], row.get("neighbour_ms", 0.0) - row.get("idle_ms", 0.0)) for row in rows
    )
    report = {"worst_ms": worst, "tried": search.tried, "seed": options.seed, "shapes": rows}
    failed = [_row(found) for found in search.failed]
    print(json.dumps({**report, "failed": failed, "machine": machine.describe()}))
    return int(worst > options.most_ms or bool(failed))


def _add_waits(
    rows: list[dict[str, Any]], worst: Sequence[Found], bundle: Path, folder: Path
) -> None:
    command, port = serve_command(bundle, folder / "served")
    with Service("wide", command, port, folder / "wide.log"):
        for row, found in zip(rows, worst, strict=True):
            tried = [waits(port, found.hard) for _ in range(_REPEATS)]
            idle = [waits(port, None) for _ in range(_REPEATS)]
            row["neighbour_ms"] = round(1e3 * min(tried), 1)
            row["idle_ms"] = round(1e3 * min(idle), 1)


def _row(found: Found) -> dict[str, Any]:
    hard = found.hard
    return {
        "shape": hard.shape,
        "held_ms": round(1e3 * found.held_s, 1),
        "status": found.status,
        "path": hard.path[:60],
        "bytes": len(hard.body),
        "begins": hard.body[:80].decode("utf-8", "replace"),
    }


if __name__ == "__main__":
    sys.exit(main())
