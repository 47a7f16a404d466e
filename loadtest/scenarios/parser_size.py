"""What the parser of queries costs over a large made catalogue: to build, to keep, and to ask.

    python -m loadtest.scenarios.parser_size [--items 1000000]

The items are a made shop: titles of made words, categories, brands, colours, prices and dates. The
vocabulary is built twice, once for the time and once for the memory, which `tracemalloc` counts and
slows. The queries are those of `RECSERVE_SHARED/data/wands-queries`, where it is there, and those
that the unit tests parse. The output is one JSON document.
"""

import argparse
import json
import os
import random
import sys
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from app.bench.parsing import parse_times
from app.domain.columns import Instant, Kind, decode_column, encode_column
from app.engine.catalogue.catalogue import Catalogue
from app.engine.intent.parser import QueryParser
from app.engine.intent.vocabulary import vocabulary_of
from loadtest.runners.services import ROOT

KINDS: dict[str, Kind] = {
    "categories": "strings",
    "brand": "string",
    "color": "string",
    "description": "string",
    "price": "number",
    "published_at": "time",
}
COLORS = ("red", "blue", "black", "white", "navy blue", "gray", "brown", "turquoise")
#: Different words of titles, brands, categories.
WORDS, BRANDS, CATEGORIES = 200_000, 9_000, 1_500
_NOW = 1_781_524_800.0
_SYLLABLES = ("ka", "lo", "mi", "ru", "te", "sa", "no", "vi", "pel", "dor", "an", "es", "tri", "mo")


def made_catalogue(n: int, seed: int) -> Catalogue:
    """Return a catalogue of `n` made items."""
    rng = random.Random(seed)

    def word() -> str:
        return "".join(rng.choice(_SYLLABLES) for _ in range(rng.randint(2, 5)))

    words, brands = [word() for _ in range(WORDS)], [f"{word()} {word()}" for _ in range(BRANDS)]
    categories = [f"{word()}s" for _ in range(CATEGORIES)]
    values: dict[str, tuple[Kind, Sequence[Any]]] = {
        "id": ("string", [str(row) for row in range(n)]),
        # The square: some words are common, most are rare.
        "title": (
            "string",
            [
                " ".join(words[int(WORDS * rng.random() ** 2)] for _ in range(rng.randint(2, 8)))
                for _ in range(n)
            ],
        ),
        "categories": ("strings", [rng.sample(categories, 2) for _ in range(n)]),
        "brand": ("string", [rng.choice(brands) for _ in range(n)]),
        "color": ("string", [rng.choice(COLORS) for _ in range(n)]),
        "description": ("string", ["Made of what it is made of, for what it is for."] * n),
        "price": ("number", [rng.uniform(1, 900) for _ in range(n)]),
        "published_at": ("time", [Instant(1.4e9 + 300.0 * row) for row in range(n)]),
    }
    columns = {
        name: decode_column(kind, encode_column(kind, v)) for name, (kind, v) in values.items()
    }
    return Catalogue(columns, KINDS)


def wands_queries() -> list[str]:
    """Return the queries of the data set; none where it is not there."""
    folder = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "data" / "wands-queries"
    lines = [line for file in folder.glob("*") for line in file.read_text("utf-8").splitlines()]
    rows = [line.split("\t") for line in lines[1:]]
    return [row[1] for row in rows if len(row) > 1]


def parsed_queries() -> list[str]:
    """Return the queries of the unit tests, most of which carry demands."""
    files = sorted(Path(ROOT, "tests", "parsed_queries").glob("*.txt"))
    lines = [line for file in files for line in file.read_text("utf-8").splitlines()]
    return [line.split(" | ")[1] for line in lines]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.parser_size", description=__doc__
    )
    parser.add_argument("--items", type=int, default=1_000_000, help="default: 1,000,000")
    parser.add_argument("--seed", type=int, default=7, help="of the items (default: 7)")
    options = parser.parse_args(argv)
    catalogue = made_catalogue(options.items, options.seed)
    start = time.perf_counter()
    understood = QueryParser(vocabulary_of(catalogue, {}))
    seconds = time.perf_counter() - start
    times = {
        name: times_of(understood, queries)
        for name, queries in (("wands", wands_queries()), ("demands", parsed_queries()))
        if queries
    }
    tracemalloc.start()
    traced = vocabulary_of(catalogue, {})
    mib = tracemalloc.get_traced_memory()[0] / 2**20
    document = {
        "items": options.items,
        "build_seconds": round(seconds, 2),
        "mib": round(mib, 1),
        "mib_of_hashes": round(traced.n_bytes() / 2**20, 1),
        "names": len(traced.names.by_name),
        "queries": times,
    }
    sys.stdout.write(json.dumps(document, indent=2) + "\n")


def times_of(understood: QueryParser, queries: Sequence[str]) -> dict[str, float]:
    """Return what parsing queries takes, in milliseconds."""
    times = parse_times(lambda query: understood.parse(query, _NOW), queries, time.perf_counter)
    return {
        "n": times.n,
        "median_ms": round(times.median_ms, 4),
        "p99_ms": round(times.p99_ms, 4),
    }


if __name__ == "__main__":
    main()
