"""What a request costs in the engine after its query is encoded, stage by stage.

    python -m loadtest.scenarios.engine_pass --bundle models/demo --json -

The texts are encoded before the clock starts. The histories are those of the bundle's users, cut at
random. Prints one JSON line. It reads private parts of the engine, so it fits only its own commit.
"""

# ruff: noqa: SLF001 - it looks inside the engine

import argparse
import json
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from statistics import mean, median
from typing import Final

import numpy as np
from threadpoolctl import threadpool_limits

from app.bundle.reader import load_arrays, open_bundle
from app.core.ports import Encoder
from app.core.ranking import RankRequest
from app.core.types import Mask, Matrix, TextRole
from app.engine.engine import RankEngine
from app.engine.open import engine_of
from loadtest.runners import machine
from loadtest.runners.queries import unique_queries

BATCHES: Final = (1, 8, 32)


class PrecomputedEncoder:
    """Returns vectors that were computed before. Implements the port `Encoder`."""

    def __init__(self, encoder: Encoder, texts: Sequence[str]) -> None:
        """Encode all texts that will be requested."""
        self.id, self.dim, self.centre = encoder.id, encoder.dim, encoder.centre
        self._vectors = encoder.encode(texts, "query")
        self._rows = {text: row for row, text in enumerate(texts)}

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:  # noqa: ARG002
        """Return the vectors of known texts."""
        return self._vectors[[self._rows[text] for text in texts]]

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return that all texts are known: so are the queries of this measurement."""
        return np.ones(len(texts), np.bool_)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.engine_pass", description=__doc__
    )
    parser.add_argument("--bundle", type=Path, default=Path("models/demo"))
    parser.add_argument("--requests", type=int, default=480, help="of each kind (default: 480)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, default=Path("-"), help="file, or - (default)")
    options = parser.parse_args(argv)
    threadpool_limits(limits=1, user_api="blas")  # as the service does
    engine, requests_by_kind = prepared(options.bundle, options.requests, options.seed)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.engine_pass",
        "machine": machine.describe(),
        "bundle": {"name": engine.info.bundle_name, "items": engine.info.n_items},
        "candidates": {
            kind: _candidates(engine, requests) for kind, requests in requests_by_kind.items()
        },
        "ms_per_request": {
            kind: {str(size): _measured(engine, requests, size) for size in BATCHES}
            for kind, requests in requests_by_kind.items()
        },
    }
    line = json.dumps(document) + "\n"
    if str(options.json) == "-":
        sys.stdout.write(line)
    else:
        options.json.write_text(line)


def prepared(path: Path, n: int, seed: int) -> tuple[RankEngine, dict[str, list[RankRequest]]]:
    """Return an engine with precomputed query vectors, and the requests of each kind."""
    bundle = open_bundle(path)
    engine = engine_of(bundle, 1)
    catalogue, rng = engine._parts.catalogue, random.Random(seed)
    titles = [catalogue.title(row) or "" for row in range(len(catalogue))]
    texts = unique_queries(n, seed, titles)
    users = load_arrays(bundle, "users.safetensors")
    offsets, items = users["history/offsets"].tolist(), users["history/items"].tolist()
    histories: list[tuple[str, ...]] = []
    while len(histories) < n:
        user = rng.randrange(len(offsets) - 1)
        taken = items[offsets[user] : rng.randint(offsets[user], offsets[user + 1])]
        known = tuple(catalogue.id(row) for row in taken if row < len(catalogue))
        if known:
            histories.append(known)
    queries = [RankRequest(query=text) for text in texts]
    people = [RankRequest(history=taken, exclude=frozenset(taken)) for taken in histories]
    both = [who._replace(query=text) for who, text in zip(people, texts, strict=True)]
    intents = engine.encode(queries).intents
    searched = list(dict.fromkeys(intent.residual_text for intent in intents))
    parts = replace(engine._parts, encoder=PrecomputedEncoder(engine._parts.encoder, searched))
    requests_by_kind = {"query": queries, "history": people, "query and history": both}
    return RankEngine(parts, engine.info), requests_by_kind


def _candidates(engine: RankEngine, requests: Sequence[RankRequest]) -> float:
    """Return the mean number of candidates of a request."""
    posed = engine._posed(requests, engine.encode(requests))
    _, rows = engine._retrieve([each.resolved for each in posed])
    return round(mean(map(len, rows)), 1)


def _measured(engine: RankEngine, requests: Sequence[RankRequest], size: int) -> dict[str, float]:
    """Return the median over all batches of this size, in milliseconds per request."""
    passes = [
        engine.rank(requests[start : start + size]).timings
        for start in range(0, len(requests), size)
    ]
    stages = {
        "retrieve": [timings.retrieve_ms for timings in passes],
        "rerank": [timings.rerank_ms for timings in passes],
        "both": [timings.retrieve_ms + timings.rerank_ms for timings in passes],
    }
    return {name: round(median(times) / size, 4) for name, times in stages.items()}


if __name__ == "__main__":
    main()
