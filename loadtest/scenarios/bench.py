"""`make bench`: recserve and its peers under the same load, in alternating rounds.

It prints tables, writes one JSON document to `loadtest/results/`, and prints the same document as
its last line. docs/benchmarks.md says what each figure means. All load goes to 127.0.0.1.
"""

import argparse
import json
import tempfile
import urllib.request
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from loadtest.reports.bench import tables
from loadtest.runners import machine, services, trials, wrk
from loadtest.runners.demands import demanding_queries
from loadtest.runners.overload import LAG, OpenLoop, lag_p99_ms
from loadtest.runners.queries import demo_films, hot_mix, unique_queries
from loadtest.runners.sides import Side
from loadtest.runners.trials import Chosen, Peer
from loadtest.runners.wrk import Bodies

#: The query that all clients send: the first one of the demo page.
HOT = "space adventure with robots"
MIX, POPULAR = 40_000, 3_000
#: A closed loop measures throughput: with this budget no answer is refused or dropped.
_PATIENT = {"budget_ms": 10_000}
_NAIVE = [
    {"endpoint": endpoint, "omp_num_threads": threads}
    for endpoint in ("def", "async")
    for threads in (1, 2)
]
_INFINITY = [
    {"compile": compiled, "omp_num_threads": threads}
    for compiled, threads in ((True, 1), (True, 2))
]


@dataclass(frozen=True)
class Sides:
    """All services of the comparison, and the bodies that several of them receive."""

    recserve: Side
    bare: Side
    naive: Chosen
    infinity: Chosen
    hot: Bodies
    mix: Bodies
    demands: Bodies


def main(argv: Sequence[str] | None = None) -> None:
    """Measure all sides in rounds; print and write the document."""
    options = _options(argv)
    wrk.require()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        sides = _open(Path(folder), options, stack)
        for number in range(options.rounds):
            print(f"round {number + 1} of {options.rounds} …", flush=True)
            _round(sides, options)
        sides.naive.require_steady()
        sides.infinity.require_steady()
        document = _document(sides, options)
    _publish(document, options.out)


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="rounds per service (default: 3)")
    parser.add_argument("--seconds", type=int, default=10, help="of one run (default: 10)")
    parser.add_argument("--connections", type=int, default=32, help="under load (default: 32)")
    parser.add_argument(
        "--queries", type=int, default=1_500_000, help="unique texts (default: 1500000)"
    )
    parser.add_argument("--seed", type=int, default=7, help="of the texts (default: 7)")
    parser.add_argument("--out", type=Path, default=services.ROOT / "loadtest" / "results")
    return parser.parse_args(argv)


def _open(folder: Path, options: argparse.Namespace, stack: ExitStack) -> Sides:
    films = demo_films()
    texts = unique_queries(options.queries + POPULAR, options.seed, list(films.values()))
    popular, texts = texts[:POPULAR], texts[POPULAR:]  # a unique query must not be in the cache
    paced, texts = texts[: len(texts) // 3], texts[len(texts) // 3 :]
    demanding, texts = texts[: len(texts) // 3], texts[len(texts) // 3 :]
    asks = [ask(text) for text in texts]
    hot = Bodies.write(folder / "hot.jsonl", [{"query": HOT, "k": 10}])
    mix = Bodies.write(folder / "mix.jsonl", patient_mix(options.seed, popular, list(films)))
    ours = Bodies.write(folder / "recserve.jsonl", asks, fresh=True)
    demands = Bodies.write(
        folder / "demands.jsonl",
        map(ask, demanding_queries(demanding, options.seed)),
        fresh=True,
    )
    # The open loop sends the default budget, because refusals are part of what it measures.
    open_asks = [{"query": text, "k": 10} for text in paced]
    open_loop = Bodies.write(folder / "open_loop.jsonl", open_asks, fresh=True)
    recserve = _recserve(
        Side(services.recserve(folder / "recserve.log"), ours, open_loop, encodes=True), stack
    )
    recserve.load(ours, options.connections, max(2, options.seconds // 2))
    answer = folder / "answer.json"
    answer.write_bytes(_answer(recserve.service.port))
    bare = Side(stack.enter_context(services.bare(folder / "bare.log", answer)))
    return Sides(recserve, bare, *peers(folder, texts, options, stack), hot, mix, demands)


def peers(
    folder: Path, texts: Sequence[str], options: argparse.Namespace, stack: ExitStack
) -> tuple[Chosen, Chosen]:
    """Choose the best settings of naive and infinity; both run until `stack` closes.

    `texts`: the queries that they receive.
    """
    log, warm = folder / "peers.log", max(2, options.seconds // 2)
    embed = [
        {"model": services.INFINITY_MODEL, "input": [text], "encoding_format": "base64"}
        for text in texts
    ]
    naive = Peer(
        lambda setting: services.naive(log, setting["endpoint"], setting["omp_num_threads"]),
        _NAIVE,
        Bodies.write(folder / "naive.jsonl", map(ask, texts), fresh=True),
        tries=2,
        prepares=True,
    )
    infinity = Peer(
        lambda setting: services.infinity(log, setting["omp_num_threads"], setting["compile"]),
        _INFINITY,
        Bodies.write(folder / "infinity.jsonl", embed, route="/embeddings", fresh=True),
    )
    return (
        trials.choose(naive, options.connections, warm, stack),
        trials.choose(infinity, options.connections, warm, stack),
    )


def patient_mix(seed: int, texts: Sequence[str], films: Sequence[str]) -> list[dict[str, Any]]:
    """Return the bodies of the popular mix in a closed loop."""
    return [{**body, **_PATIENT} for body in hot_mix(MIX, seed, texts, films)]


def ask(query: str) -> dict[str, Any]:
    """Return the body of a request in a closed loop."""
    return {"query": query, "k": 10, **_PATIENT}


def _recserve(side: Side, stack: ExitStack) -> Side:
    """Start the service three times, to measure the start; leave the last one running."""
    stack.callback(side.service.stop)
    for _ in range(3):
        side.service.stop()
        side.service.start()
        side.add(start_s=side.service.start_s)
    return side


def _answer(port: int) -> bytes:
    """Return a cached answer to the hot query; the bare route answers the same bytes."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/recommend", json.dumps(ask(HOT)).encode()
    )
    for _ in range(2):
        with urllib.request.urlopen(request, timeout=10) as response:
            body: bytes = response.read()
    return body


def _round(sides: Sides, options: argparse.Namespace) -> None:
    """Measure each side once. The services that are not measured run, but are idle."""
    connections, seconds = options.connections, options.seconds
    ours, bare = sides.recserve, sides.bare
    lag = ours.service.buckets(LAG)
    measure(ours, "uncached", ours.unique, options)
    ours.add(uncached_loop_lag_p99_ms=lag_p99_ms(lag, ours.service.buckets(LAG)))
    measure(ours, "demands", sides.demands, options)
    for side in (sides.infinity.side, sides.naive.side):
        measure(side, "uncached", side.unique, options)
    for side in (ours, bare, sides.naive.side):
        measure(side, "hot", sides.hot, options)
    ours.load(
        sides.mix, connections, 2 * seconds
    )  # fills the cache again where entries have expired
    for side in (ours, bare):
        measure(side, "mix", sides.mix, options)
    for side in (ours, sides.naive.side):
        idle = side.load(side.unique, 1, seconds, stages=side is ours)
        side.add(idle_p50_ms=idle.p50_ms, idle_p99_ms=idle.p99_ms, rss_mib=side.service.rss_mib())
        side.add(pass_p50_ms=idle.pass_ms or None)
    OpenLoop(seconds, bare).round(ours)


def measure(side: Side, name: str, bodies: Bodies | None, options: argparse.Namespace) -> None:
    """Load one service, and add its rate and times under a name."""
    run = side.load(bodies, options.connections, options.seconds)
    figures = {"per_s": run.per_second, "p50_ms": run.p50_ms, "p99_ms": run.p99_ms}
    side.add(**{f"{name}_{figure}": value for figure, value in figures.items()})


def _document(sides: Sides, options: argparse.Namespace) -> dict[str, Any]:
    ours = sides.recserve
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.bench",
        "options": {
            name: getattr(options, name)
            for name in ("rounds", "seconds", "connections", "queries", "seed")
        },
        "machine": machine.describe(),
        "versions": machine.versions(),
        "recserve": {"median": ours.medians(), "rounds": ours.series, "encoded": ours.checks},
        "bare": {"median": sides.bare.medians(), "rounds": sides.bare.series},
        "naive": sides.naive.document(),
        "infinity": sides.infinity.document(),
    }
    return {**document, "ratio": ratios(document)}


def ratios(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return how many times better recserve is than each peer: a higher rate, less time or memory.

    `own`: ratios between figures of recserve itself.
    """
    ours = document["recserve"]["median"]
    times: dict[str, Any] = {}
    for peer in ("naive", "infinity", "bare"):
        theirs = document[peer]["median"]
        times[peer] = times_better(ours, theirs)
    times["own"] = {
        "demands": round(ours["demands_per_s"] / ours["uncached_per_s"], 3),
        "idle_to_pass": round(ours["idle_p50_ms"] / ours["pass_p50_ms"], 3),
        "over_goodput": round(ours["over_goodput_per_s"] / ours["uncached_per_s"], 3),
        "over_undegraded": round(ours["over_undegraded_per_s"] / ours["uncached_per_s"], 3),
        "half_p99_to_p50": round(ours["half_p99_ms"] / ours["half_p50_ms"], 3),
    }
    return times


def times_better(ours: Mapping[str, float], theirs: Mapping[str, float]) -> dict[str, float]:
    """Return how many times better each figure is that both sides have.

    >>> times_better({"hot_per_s": 300, "rss_mib": 50}, {"hot_per_s": 100, "rss_mib": 200})
    {'hot_per_s': 3.0, 'rss_mib': 4.0}
    """

    def times(name: str) -> float:
        rate = name.endswith("_per_s")
        return round(ours[name] / theirs[name] if rate else theirs[name] / ours[name], 3)

    return {name: times(name) for name in theirs if name in ours}


def _publish(document: Mapping[str, Any], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cpu = machine.slug(str(machine.describe()["cpu"]))
    path = folder / f"{datetime.now(UTC):%Y-%m-%d}-{cpu}.json"
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\n{tables(document)}\n\nwritten: {path}\n{json.dumps(document)}")


if __name__ == "__main__":
    main()
