"""Judges similarity on films of the demo: which films must be alike, and which must not.

    python -m tests.similar_pairs models/demo    # prints the table of docs/accuracy.md

`data/similar-pairs.jsonl` was written from knowledge of films, before anything was tuned. A line
names a film, films that must be among the first 20, and films that must not. The parameters were
chosen on the lines of the fold "tune"; those of "report" took no part in the choice.
"""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np

from app.core.ranking import By, RankRequest
from app.engine.engine import RankEngine
from app.engine.kernels.topk import Exclusion
from app.engine.open import open_engine
from app.engine.retrieval.similar import Liked

FIRST = 20


def pairs_of(fold: str) -> list[dict]:
    """Return the pairs of a fold."""
    text = (Path(__file__).parent / "data/similar-pairs.jsonl").read_text("utf-8")
    pairs = [json.loads(line) for line in text.splitlines()]
    return [pair for pair in pairs if pair["fold"] == fold]


@dataclass(frozen=True)
class Judged:
    """Share of the near films among the first, how many far ones are, and films without fault."""

    near: float
    far: int
    faultless: int


def judge(answers: Sequence[Sequence[str]], pairs: Sequence[dict]) -> Judged:
    """Judge the ids that were answered for each pair."""
    near, far, faultless = list[bool](), 0, 0
    for answer, pair in zip(answers, pairs, strict=True):
        first = set(answer[:FIRST])
        found, wrong = [name in first for name in pair["near"]], len(first & pair["far"].keys())
        near, far = near + found, far + wrong
        faultless += all(found) and not wrong
    return Judged(float(np.mean(near)), far, faultless)


def similar(engine: RankEngine, by: By, pairs: Sequence[dict]) -> list[list[str]]:
    """Return for the item of each pair the ids of the most similar ones."""
    parts = engine._parts
    rows = [parts.catalogue.rows([pair["item"]]) for pair in pairs]
    liked = [Liked.equally(each) for each in rows]
    found = parts.similarity.similar(liked, [Exclusion(each) for each in rows], FIRST, by)
    return [[parts.catalogue.id(row) for row in hits.rows.tolist()] for hits in found]


def answered(engine: RankEngine, pairs: Sequence[dict], field: str) -> list[list[str]]:
    """Return the ids of the answers to requests that name the item of each pair in a field."""
    requests = [
        RankRequest(exclude=frozenset({pair["item"]}), k=FIRST, **{field: (pair["item"],)})
        for pair in pairs
    ]
    return [[item.id for item in result.items] for result in engine.rank(requests).results]


def main(bundle: Path) -> None:
    """Print the table."""
    engine = open_engine(bundle, 1)
    print("| | near, tune | far, tune | near, report | far, report | faultless |")
    print("|---|---|---|---|---|---|")
    for name in ("history", "like", *get_args(By)):
        cells, faultless = [], 0
        for pairs in map(pairs_of, ("tune", "report")):
            if name in get_args(By):
                judged = judge(similar(engine, name, pairs), pairs)
            else:
                judged = judge(answered(engine, pairs, name), pairs)
            cells += [f"{judged.near:.3f}", f"{judged.far} of {2 * len(pairs)}"]
            faultless += judged.faultless
        print(f"| {name} | {' | '.join(cells)} | {faultless} of 30 |")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
