"""One process of the service against two (`recserve serve --workers`), in alternating rounds.

    python -m loadtest.scenarios.workers --json loadtest/results/workers/RESULT.json

With `--device cuda` both encode on the GPU. Both run all the time; the one that is not measured is
idle. Prints one JSON document; `loadtest.reports.workers` writes it into docs/benchmarks.md. All
load goes to 127.0.0.1.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from app.engine.encoding.device import name_of
from loadtest.runners import machine, services, wrk
from loadtest.runners.queries import demo_films, unique_queries
from loadtest.runners.sides import Side
from loadtest.runners.trials import Chosen
from loadtest.runners.wrk import Bodies
from loadtest.scenarios.bench import HOT, POPULAR, ask, measure, patient_mix, peers, times_better

_WORKERS = (1, 2)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure in rounds; print and write the document."""
    options = _options(argv)
    wrk.require()
    with tempfile.TemporaryDirectory() as work, ExitStack() as stack:
        films, folder = demo_films(), Path(work)
        texts = unique_queries(options.queries + POPULAR, options.seed, list(films.values()))
        unique = texts[POPULAR:]  # a unique query must not be in the cache
        mixed = patient_mix(options.seed, texts[:POPULAR], list(films))
        hot = Bodies.write(folder / "hot.jsonl", [{"query": HOT, "k": 10}])
        mix = Bodies.write(folder / "mix.jsonl", mixed)
        sides = {n: _side(n, folder, unique, options, stack) for n in _WORKERS}
        others = peers(folder, unique, options, stack) if options.peers else ()
        for side in sides.values():
            side.load(side.unique, options.connections, max(2, options.seconds // 2))  # warm
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds} …", file=sys.stderr, flush=True)
            # Every second round runs in reverse order, so that no side is always the first.
            _round(list(sides.values())[:: -1 if number % 2 else 1], hot, mix, options)
            for other in others:
                measure(other.side, "uncached", other.side.unique, options)
    for other in others:
        other.require_steady()
    text = json.dumps(document(sides, options, others), indent=2) + "\n"
    sys.stdout.write(text)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(text)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.workers", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=services.BUNDLE, help="default: the demo's")
    parser.add_argument("--device", default="cpu", choices=["cpu", "cuda"], help="default: cpu")
    parser.add_argument("--rounds", type=int, default=3, help="rounds per service (default: 3)")
    parser.add_argument("--seconds", type=int, default=10, help="of one run (default: 10)")
    parser.add_argument("--connections", type=int, default=32, help="under load (default: 32)")
    parser.add_argument(
        "--queries", type=int, default=300_000, help="unique texts (default: 300000)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the texts (default: 7)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the result here as well")
    parser.add_argument(
        "--peers", action="store_true", help="send the unique queries to naive and infinity as well"
    )
    return parser.parse_args(argv)


def _side(
    workers: int,
    folder: Path,
    texts: Sequence[str],
    options: argparse.Namespace,
    stack: ExitStack,
) -> Side:
    """Start one service in a folder of its own, with unique queries of its own."""
    own = folder / str(workers)
    own.mkdir()
    bundle = options.bundle.absolute()
    service = services.recserve(own / "log", bundle=bundle, workers=workers, device=options.device)
    unique = Bodies.write(own / "unique.jsonl", map(ask, texts), fresh=True)
    side = Side(stack.enter_context(service), unique, encodes=True)
    side.add(start_s=service.start_s)
    return side


def _round(sides: Sequence[Side], hot: Bodies, mix: Bodies, options: argparse.Namespace) -> None:
    for side in sides:
        measure(side, "uncached", side.unique, options)
    for side in sides:
        measure(side, "hot", hot, options)
    for side in sides:
        side.load(mix, options.connections, 2 * options.seconds)  # fills each process's cache
        measure(side, "mix", mix, options)
    for side in sides:
        side.add(rss_mib=side.service.rss_mib())


def document(
    sides: Mapping[int, Side], options: argparse.Namespace, others: Sequence[Chosen] = ()
) -> dict[str, Any]:
    """Return the figures by number of workers, and how many times better the last number is.

    `others`: peers that received the same unique queries.
    """
    first, *_, last = sides.values()
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.workers",
        "options": {
            name: getattr(options, name)
            for name in ("device", "rounds", "seconds", "connections", "queries", "seed")
        },
        "machine": machine.describe() | {"gpu": name_of(options.device)},
        "versions": machine.versions(),
        "workers": {
            str(number): {"median": side.medians(), "rounds": side.series}
            for number, side in sides.items()
        },
        "times_better": times_better(last.medians(), first.medians()),
        "peers": {other.side.service.name: _compared_peer(other, sides) for other in others},
    }


def _compared_peer(other: Chosen, sides: Mapping[int, Side]) -> dict[str, Any]:
    """Return the figures of a peer, and how many times better each number of workers is."""
    better = {
        str(number): times_better(side.medians(), other.side.medians())["uncached_per_s"]
        for number, side in sides.items()
    }
    return {**other.document(), "times_better": better}


if __name__ == "__main__":
    main()
