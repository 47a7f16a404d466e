"""How the time of a query grows when the catalogue has a hundred times as many items.

    python -m loadtest.scenarios.catalogue_size [--copies 110]

It builds two catalogues: the films of the demo, and many varied copies of each film. A copy has the
film's vector with noise, and its title with one more word. The *gap* is the fall of similarity from
the first to the 200th hit. The noise is the smallest one with which the large catalogue has the gap
of the films; with less, the copies of a few films fill the top. All copies with the same number get
the films' vectors, transformed by one orthogonal map, as their noise, so that their distances to
each other are those of the films. `recserve build` builds both; each is opened as in serving, in a
process of its own. The last line is one JSON document.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from app.bundle.reader import load_vectors, open_bundle
from app.core.ports import Encoder
from app.core.ranking import RankRequest
from app.core.types import Mask, Matrix, Rows, TextRole, Vector
from app.engine.encoding.encoder import PackedEncoder
from app.engine.open import index_of, open_engine
from app.engine.retrieval.index import (
    INDEX_FILE,
    LEAST_MERGED,
    MERGED_SHARE,
    FlatIndex,
    VectorIndex,
)
from app.offline.build import build, packed_encoder
from app.offline.input.recipe import Recipe
from loadtest.runners import machine
from loadtest.runners.queries import demo_titles, unique_queries

_QUERIES = 300
_DEPTH = 200
_COPY = re.compile(r"#(\d+) .* v(\d+)\W*$")
_MARKS = re.compile(r"#\d+\s*|\s*\bv\d+\W*$")

_NEAR_ENOUGH = 0.002
"""The gap that the noise gives may differ by at most this from the real one."""


@dataclass
class Copies:
    """An encoder for a catalogue of copies: real vectors, plus noise for the copies of films.

    With independent noise a copy would have no neighbour as near as a real text has. Copies with
    the same number share one orthogonal map, so their neighbours are those of their films
    (`gap_of_items`).
    """

    real: Encoder
    base: Matrix
    noise: float

    def __post_init__(self) -> None:
        self.id, self.dim, self.centre = self.real.id, self.real.dim, None

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        """Return float32[len(texts), dim]; `#17 … v5` is the fifth copy of film 17, v0 the film.

        Other texts are queries: the real encoder reads them, without the marks of copies.
        """
        marks = [(int(found[1]), int(found[2])) for text in texts if (found := _COPY.match(text))]
        if len(marks) < len(texts):
            return self.real.encode([_MARKS.sub("", text) for text in texts], role)
        rows, copies = np.array(marks, np.int64).reshape(-1, 2).T
        return copied(self.base[rows], copies, self.noise)

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return that all texts are known: all are titles of films, or words out of them."""
        return np.ones(len(texts), np.bool_)


def copied(films: Matrix, copies: Rows, noise: float) -> Matrix:
    """Return unit vectors float32[n, dim]: row i is copy number `copies[i]` of row i of `films`.

    Copy 0 is the film itself. Any other copy is the film plus `noise` times the film with its
    dimensions permuted and their signs flipped, in the same way for all copies with one number.
    """
    vectors = films.copy()
    for number in np.unique(copies[copies > 0]).tolist():
        rows = np.flatnonzero(copies == number)
        order, signs = _permutation(number, films.shape[1])
        vectors[rows] += noise * signs * films[rows][:, order]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


@cache
def _permutation(number: int, dim: int) -> tuple[Rows, Vector]:
    rng = np.random.default_rng(number)
    return rng.permutation(dim), rng.choice(np.array([-1, 1], np.float32), dim)


def varied(vectors: Matrix, noise: float, rng: np.random.Generator) -> Matrix:
    """Return unit vectors: each plus a random direction of length `noise`."""
    off = rng.standard_normal(vectors.shape, np.float32)
    off *= noise / np.linalg.norm(off, axis=1, keepdims=True)
    moved: Matrix = vectors + off
    moved /= np.linalg.norm(moved, axis=1, keepdims=True)
    return moved


def gap(base: Matrix, probes: Matrix, copies: int, noise: float) -> float:
    """Return the expected mean fall of similarity from the first to the 200th hit.

    It makes no vectors. Of the noise u only its products with the probe q and the film v count:
    √dim · (q·u, v·u) are nearly normal, and the cosine of q and v is their correlation.
    """
    rng, falls = np.random.default_rng(1), []
    for cosines in np.clip(probes @ base.T, -1.0, 1.0):
        shape, scale = (copies - 1, len(base)), noise / np.sqrt(base.shape[1], dtype=np.float32)
        with_probe = rng.standard_normal(shape, np.float32)
        with_film = rng.standard_normal(shape, np.float32)
        with_film = cosines * with_probe + np.sqrt(1 - cosines**2) * with_film
        length = np.sqrt(1 + noise**2 + 2 * scale * with_film)
        scores = np.append((cosines + scale * with_probe) / length, cosines)
        best = np.partition(scores, -_DEPTH)[-_DEPTH:]
        falls.append(float(best.max() - best[0]))
    return float(np.mean(falls))


def noise_for(base: Matrix, probes: Matrix, copies: int) -> tuple[float, float, float]:
    """Return the least noise that keeps the real gap, the gap with it, and the real gap."""
    real = gap(base, probes, 1, 0.0)
    for noise in np.arange(0.5, 10.0, 0.25).tolist():
        got = gap(base, probes, copies, noise)
        if abs(got - real) <= _NEAR_ENOUGH:
            return noise, got, real
    raise SystemExit(f"no noise gives the gap of {real:.3f}")


def measure(bundle: Path, queries: Sequence[str]) -> dict[str, float]:
    """Open a bundle and rank one query at a time, as an idle service does."""
    before, private_before = _resident("VmRSS"), _resident("RssAnon")
    start = perf_counter()
    engine = open_engine(bundle, 2)
    opened = perf_counter() - start
    times: dict[str, list[float]] = {"encode": [], "retrieve": [], "rerank": []}
    for query in queries:
        timings = engine.rank([RankRequest(query=query, k=10)]).timings
        times["encode"].append(timings.encode_ms)
        times["retrieve"].append(timings.retrieve_ms)
        times["rerank"].append(timings.rerank_ms)
    sums = [sum(parts) for parts in zip(*times.values(), strict=True)]
    folder = open_bundle(bundle)
    index = folder.path / INDEX_FILE
    return {
        "items": len(load_vectors(folder)),
        "open_s": round(opened, 2),
        "p50_ms": round(median(sums), 3),
        "p99_ms": round(float(np.percentile(sums, 99)), 3),
        **{f"{stage}_p50_ms": round(median(ms), 3) for stage, ms in times.items()},
        "rss_bytes": _resident("VmRSS") - before,
        "private_bytes": _resident("RssAnon") - private_before,
        "index_bytes": index.stat().st_size if index.exists() else 0,
        **_recalls(bundle, queries[:100]),
    }


def _recalls(bundle: Path, queries: Sequence[str]) -> dict[str, float]:
    """Return which share of the exact 200 nearest the index returns: as built, and after a merge.

    For the merge as many rows as it needs get other vectors. The figures also have the time of the
    merge, and the real gaps of the vectors: for queries, and for items as queries.
    """
    folder = open_bundle(bundle)
    vectors, rng = np.array(load_vectors(folder)), np.random.default_rng(2)
    probes = PackedEncoder(folder.path / "encoder", 2).encode(queries)
    index = index_of(folder, vectors, 2)
    items = vectors[rng.permutation(len(vectors))[: len(queries)]]
    figures = {
        "gap": _gap(vectors, probes, 0),
        "gap_of_items": _gap(vectors, items, 1),  # the first is the item itself
        "lists_searched": folder.manifest.index.probes,
        "recall_at_200": _recall(index, vectors, probes),
    }
    rows = rng.permutation(len(vectors))[: max(LEAST_MERGED, len(vectors) // MERGED_SHARE)]
    vectors[rows] = varied(vectors[rows], 0.5, rng)
    index.put(rows)
    start = perf_counter()
    use = index.merge()
    if use is None:
        return figures
    merged = perf_counter()
    use()
    swapped = perf_counter()
    return figures | {
        "merged_rows": len(rows),
        "merge_s": round(merged - start, 2),
        "swap_ms": round((swapped - merged) * 1e3, 2),
        "recall_at_200_merged": _recall(index, vectors, probes),
    }


def _gap(vectors: Matrix, probes: Matrix, first: int) -> float:
    scores, _ = FlatIndex(vectors).search(probes, _DEPTH)
    return round(float(np.mean(scores[:, first] - scores[:, -1])), 4)


def _recall(index: VectorIndex, vectors: Matrix, probes: Matrix) -> float:
    _, approximate = index.search(probes, _DEPTH)
    _, exact = FlatIndex(vectors).search(probes, _DEPTH)
    shares = [np.isin(best, rows).mean() for best, rows in zip(exact, approximate, strict=True)]
    return round(float(np.mean(shares)), 4)


def main(argv: Sequence[str] | None = None) -> None:
    """Build both catalogues, measure each in a fresh process, and print the document."""
    options = _options(argv)
    queries = unique_queries(_QUERIES + 64, 3, demo_titles())
    if options.measure is not None:
        print(json.dumps(measure(options.measure, queries[64:])))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        titles = demo_titles()
        small = _build(work, "small", titles, packed_encoder)
        base = np.array(load_vectors(open_bundle(small)))
        real = packed_encoder("all-MiniLM-L6-v2", work)
        noise, expected, real_gap = noise_for(base, real.encode(queries[:64]), options.copies)
        print(f"noise {noise:.2f}: gap {expected:.3f}, real {real_gap:.3f}", flush=True)

        def copying(model: str, at: Path) -> Encoder:
            return Copies(packed_encoder(model, at), base, noise)

        names = [
            f"#{row} {title} v{n}"
            for n in range(options.copies)
            for row, title in enumerate(titles)
        ]
        large = _build(work, "large", names, copying)
        rounds = [
            {"small": _measure_in_process(small), "large": _measure_in_process(large)}
            for _ in range(3)
        ]
    one, many = (
        {k: median(r[side][k] for r in rounds) for k in rounds[0][side]}
        for side in ("small", "large")
    )
    document = {
        "command": f"python -m loadtest.scenarios.catalogue_size --copies {options.copies}",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "gap": {"real": round(real_gap, 4), "expected": round(expected, 4), "noise": noise},
        "small": one,
        "large": many,
        "p50_growth": round(many["p50_ms"] / one["p50_ms"], 2),
        "index_bytes_per_item": round(many["index_bytes"] / many["items"]),
        **{
            f"{kind}_per_item": round((many[kind] - one[kind]) / (many["items"] - one["items"]))
            for kind in ("rss_bytes", "private_bytes")
        },
    }
    print(json.dumps(document))


def _build(work: Path, name: str, titles: Sequence[str], make_encoder: object) -> Path:
    path = work / f"{name}.jsonl"
    with path.open("w", encoding="utf-8") as out:
        for row, title in enumerate(titles):
            out.write(json.dumps({"id": str(row), "title": title}) + "\n")
    start = perf_counter()
    build(path, None, Recipe(), work / name, make_encoder)  # type: ignore[arg-type]
    print(f"{name}: {len(titles):,} items built in {perf_counter() - start:.0f} s", flush=True)
    return work / name


def _measure_in_process(bundle: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "loadtest.scenarios.catalogue_size", "--measure", str(bundle)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _resident(kind: str) -> int:
    """Return bytes: `VmRSS` is all memory, `RssAnon` excludes pages of files."""
    text = Path("/proc/self/status").read_text()
    return int(text.split(f"{kind}:")[1].split()[0]) * 1024


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.catalogue_size", description=__doc__
    )
    parser.add_argument("--copies", type=int, default=110, help="of each film (110: a million)")
    parser.add_argument("--measure", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
