"""Checks that every answer is consistent while items change and bundles are reloaded.

    python -m loadtest.scenarios.living --seconds 60

Two bundles have the same films; each title says its bundle: "A …" or "B …". Clients search at a
constant rate and check every answer. Meanwhile items are put ("L3 …" is the third state of one),
changed and deleted, and the two bundles are published in turn. It counts errors: an answer that
mixes bundles or names another one, an unknown item, a deleted item, an item older than the state
acknowledged before the request was sent, and a failure. Prints one JSON line.
"""

import argparse
import json
import os
import random
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.bundle.generations import publish
from loadtest.runners import machine
from loadtest.runners.client import Client
from loadtest.runners.open_loop import percentile
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import RECSERVE, ROOT, Service, free_port

_CLIENTS = 8
_FILMS = 2000
_ITEMS_PER_PUT = 5
_LIVE_WORDS = ("harbour", "lantern", "harbour lantern tale", "lantern drama")


@dataclass
class Ledger:
    """The expected state of the items, and what the clients saw.

    `states`: item id -> number of the state acknowledged last; None = deleted.
    """

    films: frozenset[str]
    bundles: dict[str, str] = field(default_factory=dict)  # generation -> letter
    states: dict[str, int | None] = field(default_factory=dict)
    wrong: Counter[str] = field(default_factory=Counter)
    ms: dict[str, list[float]] = field(default_factory=dict)
    live_answers: int = 0

    def judge(self, answer: dict[str, Any], before: dict[str, int | None]) -> None:
        """Count the errors in an answer.

        `before`: the acknowledged states at the moment when the request was sent.
        """
        items = answer["items"]
        letters = {item["title"][0] for item in items} - {"L"}
        letter = self.bundles[answer["generation"]["bundle"]]
        self.wrong["of another bundle"] += bool(letters - {letter})
        self.live_answers += any(item["title"].startswith("L") for item in items)
        for item in items:
            name = item["id"]
            self.wrong["unknown"] += name not in self.films and name not in self.states
            if name in before:
                state = before[name]
                self.wrong["deleted"] += state is None
                self.wrong["outdated"] += state is not None and _state(item["title"]) < state


def _state(title: str) -> int:
    return int(title.split(" ", 1)[0][1:])


def main() -> None:
    """Build two bundles, run once, print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.living", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="of everything at once")
    parser.add_argument("--quiet", type=float, default=15, help="seconds of searches alone, before")
    parser.add_argument("--rate", type=float, default=100, help="searches per second")
    parser.add_argument("--every", type=float, default=0.5, help="seconds between two changes")
    parser.add_argument("--swap", type=float, default=3, help="seconds between two bundles")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recserve-living-") as work:
        print(json.dumps(trial(Path(work), demo_titles()[:_FILMS], options)))


def trial(work: Path, titles: Sequence[str], options: argparse.Namespace) -> dict[str, Any]:
    """Build, serve, search, change and swap; return what was seen."""
    ledger = Ledger(frozenset(str(n) for n in range(len(titles))))
    root = work / "twins"
    for letter in "AB":
        ledger.bundles[_build(root, letter, titles)] = letter
    port = free_port()
    command = [str(RECSERVE), "serve", "--bundle", str(root), "--port", str(port)]
    command += ["--watch-bundle-ms", "0", "--data-dir", str(work / "data")]
    with Service("recserve", command, port, work / "log", {"PYTHONPATH": str(ROOT)}) as service:
        n_queries = int(options.rate * (options.quiet + options.seconds)) + 99
        texts = iter(unique_queries(n_queries, 1, titles))
        _run_concurrently(options.quiet, _searches(port, texts, options, ledger, "quiet"))
        rss = service.rss_mib()
        searches = _searches(port, texts, options, ledger, "during")
        writer = _writer(port, options, ledger)
        swapper = _swapper(port, root, options, ledger)
        _run_concurrently(options.seconds, [*searches, writer, swapper])
        return _document(options, ledger, rss, service.rss_mib())


def _build(root: Path, letter: str, titles: Sequence[str]) -> str:
    items = root.with_suffix(f".{letter}.jsonl")
    rows = ({"id": str(n), "title": f"{letter} {title}"} for n, title in enumerate(titles))
    items.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    command = [str(RECSERVE), "build", "--items", str(items), "--out", str(root), "--force"]
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return (root / "current").readlink().name


Work = Callable[[float], None]
"""Runs until a moment, given in monotonic seconds."""


def _run_concurrently(seconds: float, works: Sequence[Work]) -> None:
    """Run each work in a thread of its own; raise here what one of them raised."""
    until = time.monotonic() + seconds
    errors: list[Exception] = []

    def guarded(work: Work) -> None:
        try:
            work(until)
        except Exception as error:  # noqa: BLE001 - raised below
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _paced(port: int, every: float, turn: Callable[[Client, float], None]) -> Work:
    """Call `turn` at a constant rate, with the moment at which each call is due."""

    def work(until: float) -> None:
        with closing(Client(port)) as client:
            due = time.monotonic() + random.random() * every
            while due < until:
                time.sleep(max(0.0, due - time.monotonic()))
                turn(client, due)
                due += every

    return work


def _searches(
    port: int, texts: Iterator[str], options: argparse.Namespace, ledger: Ledger, phase: str
) -> list[Work]:
    def make_client(number: int) -> Work:
        rng = random.Random(number)

        def turn(client: Client, due: float) -> None:
            live = rng.random() < 0.3
            query = f"{rng.choice(_LIVE_WORDS)} {rng.randrange(10**6)}" if live else next(texts)
            before = dict(ledger.states)
            status, answer = client.call("POST", "/recommend", {"query": query, "k": 20})
            ledger.ms.setdefault(phase, []).append((time.monotonic() - due) * 1e3)
            ledger.wrong["failed"] += status != 200
            if status == 200:
                ledger.judge(answer, before)

        return _paced(port, _CLIENTS / options.rate, turn)

    return [make_client(number) for number in range(_CLIENTS)]


def _writer(port: int, options: argparse.Namespace, ledger: Ledger) -> Work:
    count = iter(range(10**9))

    def timed(client: Client, name: str, method: str, path: str, body: object = None) -> None:
        start = time.perf_counter()
        status, _ = client.call(method, path, body)
        ledger.ms.setdefault(name, []).append((time.perf_counter() - start) * 1e3)
        ledger.wrong["change failed"] += status != 200

    def search(client: Client, word: str) -> list[str]:
        _, answer = client.call("POST", "/recommend", {"query": word, "k": 20})
        return [item["id"] for item in answer["items"]]

    def turn(client: Client, _: float) -> None:
        n = next(count)
        names = [f"live-{n}-{m}" for m in range(_ITEMS_PER_PUT)]
        items = [
            {"id": name, "title": f"L1 harbour lantern zq{n}x{m}"} for m, name in enumerate(names)
        ]
        ledger.states |= dict.fromkeys(names, 0)  # from here on an answer may contain them
        timed(client, "put", "PUT", "/items", items)
        ledger.states |= dict.fromkeys(names, 1)
        ledger.wrong["not found"] += search(client, f"zq{n}x0")[:1] != names[:1]
        change = {"title": f"L2 harbour lantern zq{n}x1 again"}
        timed(client, "patch", "PATCH", f"/items/{names[1]}", change)
        ledger.states[names[1]] = 2
        for name in names[2:]:
            timed(client, "delete", "DELETE", f"/items/{name}")
            ledger.states[name] = None
        ledger.wrong["came back"] += bool({*names[2:]} & {*search(client, f"zq{n}x2")})

    return _paced(port, options.every, turn)


def _swapper(port: int, root: Path, options: argparse.Namespace, ledger: Ledger) -> Work:
    generations = list(ledger.bundles)
    count = iter(range(10**9))

    def turn(client: Client, _: float) -> None:
        publish(root, generations[next(count) % 2])
        start = time.perf_counter()
        status, _ = client.call("POST", "/admin/reload", {})
        ledger.ms.setdefault("reload", []).append((time.perf_counter() - start) * 1e3)
        ledger.wrong["reload failed"] += status != 200

    return _paced(port, options.swap, turn)


def _document(
    options: argparse.Namespace, ledger: Ledger, before: float, after: float
) -> dict[str, Any]:
    percents = {
        name: {f"p{p}": round(percentile(ms, p) or 0.0, 2) for p in (50, 99)} | {"n": len(ms)}
        for name, ms in ledger.ms.items()
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.living",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "load_average": os.getloadavg()[0],
        "rate_per_s": options.rate,
        "seconds": options.seconds,
        "wrong": {name: n for name, n in ledger.wrong.items() if n},
        "answers_with_live_items": ledger.live_answers,
        "ms": percents,
        "rss_mib": {"before": round(before, 1), "after": round(after, 1)},
    }


if __name__ == "__main__":
    main()
