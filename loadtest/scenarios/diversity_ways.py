"""Ways to make answers diverse, compared on films: what each loses for how much distance.

    python -m loadtest.scenarios.diversity_ways --work /tmp/diversity

Of each user of the demo the last positive rating, and all that came after it, is held back. A
bundle is built from the rest, once, in the work folder. Then each user is asked for the 100 best
films, and each way takes ten of them. Prints one JSON line: for each way and weight NDCG@10 and
recall@10 of the film held back, the mean distance (1 - cosine) of the ten, and their highest
cosine.
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow.parquet as pq

from app.core.ranking import RankRequest
from app.core.types import Matrix, Vector
from app.engine.arranging.diversity import POOL, Before, diverse
from app.engine.engine import RankEngine
from app.engine.kernels.topk import Hits
from app.engine.open import open_engine
from app.offline.build import build
from app.offline.demo import write_movielens
from app.offline.input.recipe import load_recipe
from loadtest.runners import machine
from loadtest.runners.services import ROOT

K: Final = 10
WEIGHTS: Final = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
_POSITIVE_FROM: Final = 3.5
_MOST_HISTORY: Final = 50
_FEWEST: Final = 5
_BATCH: Final = 32
_NOTHING: Final = Before(np.empty(0, np.int64))


@dataclass(frozen=True)
class HeldBack:
    """What a user is asked about: what they took, what they know, and the film held back."""

    history: tuple[str, ...]
    known: frozenset[str]
    target: str


Way = Callable[[Vector, Matrix, float], list[int]]
"""Positions of K candidates for their scores, best first, their vectors, and the weight."""


def ours(scores: Vector, vectors: Matrix, weight: float) -> list[int]:
    """Return what the service would return."""
    hits = Hits(np.arange(len(scores)), scores)
    chosen: list[int] = diverse(hits, K, weight, vectors, _NOTHING).rows[:K].tolist()
    return chosen


def mmr(scores: Vector, vectors: Matrix, weight: float) -> list[int]:
    """Return maximal marginal relevance: by the highest cosine alone, and by the score alone."""
    return _greedy(_scaled(scores), vectors @ vectors.T, weight, np.max)


def mmr_of_means(scores: Vector, vectors: Matrix, weight: float) -> list[int]:
    """Return the same by the mean cosine."""
    return _greedy(_scaled(scores), vectors @ vectors.T, weight, np.mean)


def mmr_of_ranks(scores: Vector, vectors: Matrix, weight: float) -> list[int]:
    """Return the first again, by the rank alone."""
    by_rank = 1.0 - np.log1p(np.arange(len(scores))) / np.log1p(len(scores))
    return _greedy(by_rank.astype(np.float32), vectors @ vectors.T, weight, np.max)


def dpp(scores: Vector, vectors: Matrix, weight: float) -> list[int]:
    """Return a greedy determinantal point process (Chen et al. 2018)."""
    cosines, relevance = vectors @ vectors.T, _scaled(scores)
    rest = np.ones(len(scores))
    bases = np.zeros((K, len(scores)))
    chosen: list[int] = []
    for place in range(K):
        gain = (1.0 - weight) * relevance + weight * np.log(np.maximum(rest, 1e-6))
        gain[chosen] = -np.inf
        at = int(gain.argmax())
        chosen.append(at)
        base = cosines[at] - bases[:place].T @ bases[:place, at]
        bases[place] = base / np.sqrt(max(rest[at], 1e-6))
        rest = rest - bases[place] ** 2
    return chosen


WAYS: Final[dict[str, Way]] = {
    "ours": ours,
    "mmr": mmr,
    "mmr of means": mmr_of_means,
    "mmr of ranks": mmr_of_ranks,
    "dpp": dpp,
}


def main(argv: Sequence[str] | None = None) -> None:
    """Build the bundle if there is none, compare, and print."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.diversity_ways", description=__doc__
    )
    parser.add_argument("--work", type=Path, required=True, help="folder for data and bundle")
    options = parser.parse_args(argv)
    options.work.mkdir(parents=True, exist_ok=True)
    items, events = write_movielens(options.work)
    people, rest = _split(events)
    bundle = options.work / "models" / "held-back"
    if not bundle.exists():
        pq.write_table(rest, options.work / "rest.parquet")
        recipe = load_recipe(ROOT / "models" / "demo.toml")
        build(items, options.work / "rest.parquet", recipe, bundle)
    pools = _pools(open_engine(bundle, 1), people)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.diversity_ways",
        "users": len(pools),
        "ways": {
            name: {str(weight): _judged(way, weight, pools) for weight in WEIGHTS}
            for name, way in WAYS.items()
        },
    }
    print(json.dumps(document))


def _split(events: Path) -> tuple[list[HeldBack], "pq.Table"]:
    """Return the users with a film held back, and all events before it."""
    table = pq.read_table(events)
    rows = table.to_pylist()
    by_user = defaultdict(list)
    for number, row in enumerate(rows):
        by_user[row["userId"]].append(number)
    people, kept = [], []
    for numbers in by_user.values():
        numbers.sort(key=lambda number: (rows[number]["timestamp"], number))
        positive = [n for n in numbers if rows[n]["rating"] >= _POSITIVE_FROM]
        before = numbers
        if len(positive) >= _FEWEST:
            before = numbers[: numbers.index(positive[-1])]
            history = [str(rows[n]["movieId"]) for n in positive[:-1]]
            people.append(
                HeldBack(
                    history=tuple(history[-_MOST_HISTORY:]),
                    known=frozenset(str(rows[n]["movieId"]) for n in before),
                    target=str(rows[positive[-1]]["movieId"]),
                )
            )
        kept += before
    return people, table.take(kept)


Pool = tuple[Vector, Matrix, int]
"""Scores and vectors of the candidates, and the position of the film held back; -1 = not there."""


def _pools(engine: RankEngine, people: Sequence[HeldBack]) -> list[Pool]:
    parts = engine._parts  # noqa: SLF001 - the vectors of its items
    pools = []
    for start in range(0, len(people), _BATCH):
        some = people[start : start + _BATCH]
        requests = [RankRequest(history=p.history, exclude=p.known, k=POOL) for p in some]
        for person, result in zip(some, engine.rank(requests).results, strict=True):
            ids = [item.id for item in result.items]
            scores = np.array([item.score for item in result.items], np.float32)
            at = ids.index(person.target) if person.target in ids else -1
            pools.append((scores, parts.texts.vectors[parts.catalogue.rows(ids)], at))
    return pools


def _judged(way: Way, weight: float, pools: Sequence[Pool]) -> dict[str, float]:
    found = []
    for scores, vectors, target in pools:
        chosen = way(scores, vectors, weight)
        hit = target in chosen
        cosines = (vectors[chosen] @ vectors[chosen].T)[np.triu_indices(len(chosen), 1)]
        found.append(
            (
                1.0 / np.log2(chosen.index(target) + 2) if hit else 0.0,
                float(hit),
                1.0 - cosines.mean(),
                cosines.max(),
            )
        )
    names = ("ndcg@10", "recall@10", "distance", "highest_cosine")
    return {
        name: round(float(value), 4)
        for name, value in zip(names, np.mean(found, axis=0), strict=True)
    }


def _scaled(scores: Vector) -> Vector:
    """Return the scores on a scale from 0 to 1."""
    scaled: Vector = (scores - scores.min()) / max(float(np.ptp(scores)), 1e-9)
    return scaled


def _greedy(
    relevance: Vector, cosines: Matrix, weight: float, likeness: Callable[..., Vector]
) -> list[int]:
    chosen = [int(relevance.argmax())]
    while len(chosen) < K:
        gain = (1.0 - weight) * relevance - weight * likeness(cosines[chosen], axis=0)
        gain[chosen] = -np.inf
        chosen.append(int(gain.argmax()))
    return chosen


if __name__ == "__main__":
    main()
