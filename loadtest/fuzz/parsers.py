"""Bodies, filters and queries for their parsers: each is read, or refused with a reason, in time.

    python -m loadtest.fuzz.parsers [--seconds 300] [--seed 1] [--only filters]

With atheris (`make fuzz` installs it: wheels for Linux on x86-64 alone, so it is no dependency),
libFuzzer chooses the inputs by the branches of `app.domain`, `app.api` and `app.engine.intent` that
they reach. Without it, known inputs are changed at random (`loadtest.fuzz.mutating`), as in the
tests. hypothesis draws whole values from a grammar and knows no coverage without further packages.
Each target runs in a process of its own. An input that fails is kept in `--failures`; the exit code
is then 1.
"""

# ruff: noqa: PLC0415 - atheris sees only what is imported after it

import argparse
import asyncio
import importlib.util
import json
import math
import random
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from loadtest.fuzz.mutating import mutated

SLOW_S: Final = 2.0
"""Longest time for one input, on a machine that may be busy."""

_KINDS: Final = {
    "year": "number",
    "tags": "strings",
    "code": "string",
    "made": "time",
    "new": "boolean",
}
_INSTRUMENTED: Final = ["app.domain", "app.api", "app.core", "app.engine.intent"]


def bodies() -> Callable[[bytes], None]:
    """Return the target that reads a body as all routes read theirs."""
    from app.api.event_input import parse_events
    from app.api.item_input import parse_items, parse_patch
    from app.api.problems import read_as, translate
    from app.api.read_requests import ReadRequests
    from app.core.errors import InvalidRequestError
    from app.domain.request import RecommendRequest
    from app.domain.rule import Rule
    from app.domain.shelf_requests import ShelvesRequest

    def read(body: bytes) -> None:
        for reader in (
            ReadRequests().read,
            lambda body: read_as(ShelvesRequest, body),
            lambda body: read_as(Rule, body),
            lambda body: asyncio.run(parse_events(body, time.time)),
            lambda body: asyncio.run(parse_items(body, _KINDS)),
            lambda body: parse_patch(body, _KINDS),
        ):
            try:
                reader(body)
            except Exception as error:
                refused = translate(error, RecommendRequest)
                if not isinstance(refused, InvalidRequestError):
                    raise

    return read


def filters() -> Callable[[bytes], None]:
    """Return the target that reads JSON as a filter, and tries it on an item."""
    import orjson

    from app.core.errors import InvalidRequestError
    from app.domain.filters import filter_text, matches, parse_filter

    item = {"year": 1995.0, "tags": ["a"], "code": "x", "made": 0.0, "new": True}

    def read(body: bytes) -> None:
        try:
            raw = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if not isinstance(raw, dict):
            return
        try:
            if text := filter_text(raw):
                test = parse_filter(text, _KINDS)
                matches(test, item)
                matches(test, {})
        except InvalidRequestError:
            return

    return read


def queries() -> Callable[[bytes], None]:
    """Return the target that reads text as a query: its intent can be written and read again."""
    import tempfile

    from app.bundle.reader import open_bundle
    from app.domain.intent import intent_of
    from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
    from app.engine.open import engine_of
    from app.testing.encoder import HashEncoder
    from loadtest.runners.wide_shop import build_wide

    with tempfile.TemporaryDirectory() as folder:
        bundle = open_bundle(build_wide(Path(folder), 500))
        engine = engine_of(bundle, 1, encoder=HashEncoder(64))  # type: ignore[arg-type]

    def read(text: bytes) -> None:
        query = normalised_query(text.decode("utf-8", "ignore")[:MAX_QUERY_CHARACTERS])
        found = engine.interpret(query, 1.79e9, look_up=False)
        if found is not None and intent_of(found).text() != found:
            raise AssertionError(f"the intent of {query!r} is not read back")

    return read


TARGETS: Final[dict[str, Callable[[], Callable[[bytes], None]]]] = {
    "bodies": bodies,
    "filters": filters,
    "queries": queries,
}

_BODIES: Final = (
    {"query": "a", "k": 3, "filter": {"year": {"gte": 1990}}, "history": ["1", 2]},
    {"intent": {"sort": "newest", "filters": {"tags": {"any": ["a"]}}, "without": ["b"]}},
    {"max_per": {"code": 1}, "exposure": {"field": "code", "groups": {"x": {"min": 0.2}}}},
    {"shelves": [{"name": "a", "kind": "because", "item_id": "1"}], "user_id": "7"},
    {"events": [{"user_id": "1", "item_id": "2", "timestamp": "2020-01-01T00:00:00Z", "value": 1}]},
    [{"session_id": "s", "item_id": 7, "event": "rating", "context": {"hour": 3}}],
    {"items": [{"id": "a", "title": "<b>x</b>", "tags": ["a"], "made": 2000, "year": 1.5}]},
    {"id": "r", "boost": {"filter": {"year": {"eq": 1}}, "weight": 1.0}, "from": "2020-01-01"},
)
_FILTERS: Final = (
    {"year": {"gte": 1990, "lt": 2000}, "tags": {"all": ["a", "b"]}},
    {"$or": [{"made": {"any": [1990, "2001-02-03"]}}, {"$not": [{"new": {"exists": True}}]}]},
    {"code": {"not": ["x"]}, "year": {"any": [1, 2.5]}, "made": {"eq": 1995}},
)
_QUERIES: Final = (
    *("newest comedies from the 90s without war", "movies like space love 12 under $50"),
    *("最新的科幻片，不要恐怖", "comedias de los 90 sin guerra", "top 10 best rated war not crime"),
    *("between 1990 and 2000", "space -love", '"river king" 17', "cheapest provider-3 tag-7"),
)


def seeds(target: str) -> list[bytes]:
    """Return the inputs of a target to begin with."""
    if target == "queries":
        return [text.encode() for text in _QUERIES]
    some: Sequence[Any] = _BODIES if target == "bodies" else _FILTERS
    return [json.dumps(value, ensure_ascii=False).encode() for value in some]


def checked(read: Callable[[bytes], None], data: bytes) -> None:
    """Read one input. Raises what it raised, or `TimeoutError`."""
    start = time.thread_time()
    read(data)
    if time.thread_time() - start > SLOW_S:
        raise TimeoutError(f"it took more than {SLOW_S} s")


def at_random(
    target: str, seed: int, *, seconds: float = math.inf, inputs: float = math.inf
) -> tuple[int, bytes | None]:
    """Read changed inputs, so many or for so long; return how many, and the first that failed."""
    read, known, rng = TARGETS[target](), seeds(target), random.Random(seed)
    end, n = time.monotonic() + seconds, 0
    while n < inputs and time.monotonic() < end:
        data = mutated(known, rng)
        n += 1
        try:
            checked(read, data)
        except Exception as error:  # noqa: BLE001 - whatever it is, the input shows it
            print(f"{target}, seed {seed}, {data!r}: {error!r}", file=sys.stderr)
            return n, data
    return n, None


def _guided(target: str, seconds: float, seed: int, failures: Path) -> int:
    """Run libFuzzer in this process; it ends the process itself."""
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=_INSTRUMENTED):
        read = TARGETS[target]()
    corpus = failures / "corpus" / target
    corpus.mkdir(parents=True, exist_ok=True)
    for n, data in enumerate(seeds(target)):
        (corpus / f"seed-{n}").write_bytes(data)
    arguments = [f"-max_total_time={int(seconds)}", f"-seed={seed}", "-max_len=4096"]
    arguments += [f"-artifact_prefix={failures}/{target}-", str(corpus)]
    atheris.Setup([sys.argv[0], *arguments], lambda data: checked(read, data))
    atheris.Fuzz()
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz all targets, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.fuzz.parsers", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=300.0, help="of all targets together")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=TARGETS)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    parser.add_argument("--one", choices=TARGETS, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    options.failures.mkdir(parents=True, exist_ok=True)
    if options.one:
        return _guided(options.one, options.seconds, options.seed, options.failures)
    chosen = [options.only] if options.only else list(TARGETS)
    each_s = options.seconds / len(chosen)
    guided = importlib.util.find_spec("atheris") is not None
    report: dict[str, Any] = {"guided": guided, "seed": options.seed}
    for target in chosen:
        if guided:
            command = [sys.executable, "-m", "loadtest.fuzz.parsers", "--one", target]
            command += ["--seconds", str(each_s), "--seed", str(options.seed)]
            command += ["--failures", str(options.failures)]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            last = [line for line in done.stderr.splitlines() if "cov:" in line][-1:]
            report[target] = {"passed": done.returncode == 0, "last": "".join(last)}
            if done.returncode:
                print(done.stdout[-2_000:] + done.stderr[-4_000:], file=sys.stderr)
        else:
            n, failed = at_random(target, options.seed, seconds=each_s)
            report[target] = {"passed": failed is None, "inputs": n}
            if failed is not None:
                (options.failures / f"{target}.bin").write_bytes(failed)
    print(json.dumps(report))
    return int(not all(report[target]["passed"] for target in chosen))


if __name__ == "__main__":
    sys.exit(main())
