"""The quality of an encoder's vectors beside those of `SentenceTransformer.encode` in float32.

`fidelity` compares the vectors. `ranking` compares their purpose: the order in which they put
products that people have graded.
"""

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from app.evaluation.dataset_readers import read_pairs
from app.offline.metrics.ranking import gain_of, graded_ndcg_at

#: The folder of the graded set below `RECSERVE_SHARED`.
PAIRS = Path("data") / "crowdflower-search"
_TOP, _BATCH = 10, 32

#: Texts -> float32[n, dim] of unit norm.
Encode = Callable[[Sequence[str]], np.ndarray]


@dataclass(frozen=True)
class Graded:
    """Graded queries and titles.

    `judged`: for each query, row of a title -> its gain. `of_queries`: number of queries in the
    whole set.
    """

    queries: Sequence[str]
    titles: Sequence[str]
    judged: Sequence[Mapping[int, float]]
    of_queries: int


def fidelity(reference: Encode, encode: Encode, texts: Sequence[str]) -> dict[str, float]:
    """Compare vectors with the reference, and a text in a batch with the same text alone."""
    expected = reference(texts)
    single = np.concatenate([encode([text]) for text in texts])
    batched = _in_batches(encode, texts)
    cosine = (batched * expected).sum(axis=1)
    return {
        "texts": len(texts),
        "cosine_mean": round(float(cosine.mean()), 6),
        "cosine_min": round(float(cosine.min()), 6),
        "batched_against_single": float(np.abs(batched - single).max()),
    }


def read_graded(shared: Path, n: int, seed: int) -> Graded | None:
    """Read `n` queries of the graded set, drawn by the seed, with all their titles.

    Returns None if the set is not there.
    """
    folder = shared / PAIRS
    if not (folder / "pairs.csv").is_file():
        return None
    catalogue, grades = read_pairs(folder, seed)
    queries = sorted(grades)
    chosen = random.Random(seed).sample(queries, min(n, len(queries)))
    return graded(
        chosen, grades, dict(zip(catalogue.ids, catalogue.titles, strict=True)), len(queries)
    )


def graded(
    queries: Sequence[str],
    grades: Mapping[str, Mapping[str, float]],
    titles: Mapping[str, str],
    of_queries: int,
) -> Graded:
    """Return the queries with a row for each of their titles, the shortest titles first.

    Titles of similar length make good batches.

    `grades`: query -> id -> grade from 1 upwards; `titles`: id -> title.
    """
    needed = {item for query in queries for item in grades[query]}
    ids = sorted(needed, key=lambda item: (len(titles[item]), item))
    rows = {item: row for row, item in enumerate(ids)}
    judged = [
        {rows[item]: gain_of(grade) for item, grade in grades[query].items()} for query in queries
    ]
    return Graded(queries, [titles[item] for item in ids], judged, of_queries)


def ranking(reference: Encode, encoders: Mapping[str, Encode], graded: Graded) -> dict[str, Any]:
    """Return the mean NDCG@10 of the reference and of each encoder, and their ratio (`kept`)."""
    original = ndcg(reference, graded)
    ours = {name: ndcg(encode, graded) for name, encode in encoders.items()}
    return {
        "queries": len(graded.queries),
        "of_queries": graded.of_queries,
        "titles": len(graded.titles),
        "ndcg@10": {"sentence-transformers": round(original, 6)}
        | {name: round(value, 6) for name, value in ours.items()},
        "kept": {name: round(value / original, 6) for name, value in ours.items()},
    }


def ndcg(encode: Encode, graded: Graded) -> float:
    """Return the mean NDCG@10 over all queries; titles are ranked by cosine."""
    queries, titles = _in_batches(encode, graded.queries), _in_batches(encode, graded.titles)
    values = []
    for query, judged in zip(queries, graded.judged, strict=True):
        gains = list(judged.values())
        values.append(graded_ndcg_at(titles[list(judged)] @ query, gains, gains, _TOP))
    return fmean(values)


def _in_batches(encode: Encode, texts: Sequence[str]) -> np.ndarray:
    parts = [encode(texts[i : i + _BATCH]) for i in range(0, len(texts), _BATCH)]
    return np.concatenate(parts)
