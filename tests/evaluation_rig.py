"""Small research folders with known answers, and engines over a bundle that need no model."""

import argparse
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.bundle.reader import load_arrays, open_bundle
from app.core.ranking import (
    BatchResult,
    RankedItem,
    RankRequest,
    RankResult,
    SourceHit,
    StageTimings,
)
from app.core.types import Context, EngineInfo
from app.evaluation.command import add_arguments
from app.evaluation.evaluate import OpenEngine
from app.evaluation.run_command import catalogue_of

Score = Callable[[RankRequest, Sequence[str], np.ndarray], np.ndarray]
"""(request, item ids in bundle order, their popularity) -> a score per item."""


class ScoreEngine:
    """The port `Engine` over a real bundle, with a plain function as its model."""

    def __init__(self, path: Path, score: Score) -> None:
        bundle = open_bundle(path)
        catalogue = catalogue_of(bundle)
        self.ids = catalogue.ids
        self.titles = catalogue.titles
        self.popularity = load_arrays(bundle, "signals.safetensors")["popularity"]
        self.score = score
        self.closed = 0
        self.info = EngineInfo(
            bundle=bundle.manifest.generation,
            bundle_name=bundle.manifest.name,
            catalogue=0,
            n_items=len(catalogue),
            n_users=bundle.manifest.n_users,
            n_events=bundle.manifest.n_events,
            dim=bundle.manifest.encoder.dim,
            encoder=bundle.manifest.encoder.id,
            index="flat",
            scorer="blend",
            attributes={},
        )

    def cost(self, request: RankRequest) -> int:
        return 1

    def item(self, item_id: str) -> None:
        return None

    def known_context(self, context: Context) -> Context:
        return context

    def close(self) -> None:
        self.closed += 1

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        results = tuple(map(self._one, batch))
        return BatchResult(results, StageTimings(0.0, 1.0, 1.0), self.info.generation)

    def _one(self, request: RankRequest) -> RankResult:
        scores = self.score(request, self.ids, self.popularity)
        allowed = self.ids if request.candidates is None else request.candidates
        inside = {name for name in allowed if name not in request.exclude}
        order = [i for i in np.argsort(-scores, kind="stable") if self.ids[i] in inside]
        return RankResult(
            tuple(
                RankedItem(
                    self.ids[i],
                    float(scores[i]),
                    None,
                    sources=(SourceHit("scores", place, float(scores[i])),),
                )
                for place, i in enumerate(order[: request.k], start=1)
            )
        )


def opener(score: Score, seen: list[ScoreEngine] | None = None) -> OpenEngine:
    """A function that opens bundles as `ScoreEngine`s, and notes each in `seen`."""

    def open_it(path: Path) -> ScoreEngine:
        engine = ScoreEngine(path, score)
        if seen is not None:
            seen.append(engine)
        return engine

    return open_it


def popular(request: RankRequest, ids: Sequence[str], popularity: np.ndarray) -> np.ndarray:
    return popularity


def constant(request: RankRequest, ids: Sequence[str], popularity: np.ndarray) -> np.ndarray:
    return np.zeros(len(ids))


def by_row(request: RankRequest, ids: Sequence[str], popularity: np.ndarray) -> np.ndarray:
    """A model that leans on the order of the catalogue: the row after the newest item first."""
    row = {name: place for place, name in enumerate(ids)}
    newest = row[request.history[-1]] if request.history else 0
    return -np.abs(np.arange(len(ids)) - newest - 1).astype(float)


def sequences_folder(
    folder: Path, sequences: dict[str, list[str]], titles: dict[str, str], header: str = "title"
) -> Path:
    """Write `sequences.txt` and `items.tsv`, with a column that must not be read."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [" ".join([user, *items]) for user, items in sequences.items()]
    (folder / "sequences.txt").write_text("\n".join(lines) + "\n")
    rows = [f"{name}\tB{name}\t{title}" for name, title in titles.items()]
    (folder / "items.tsv").write_text("\n".join([f"item_id\tasin\t{header}", *rows]) + "\n")
    return folder


def pairs_folder(folder: Path, rows: Sequence[tuple[str, str, str, object]]) -> Path:
    """Write `pairs.csv`: query, title, description, grade."""
    folder.mkdir(parents=True, exist_ok=True)
    head = "id,query,product_title,product_description,median_relevance,fold"
    lines = [",".join([str(n), *(f'"{cell}"' for cell in row), "0"]) for n, row in enumerate(rows)]
    (folder / "pairs.csv").write_text("\n".join([head, *lines]) + "\n")
    return folder


def impressions_folder(folder: Path, pages: Sequence[dict[str, object]]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "valid.jsonl").write_text("".join(json.dumps(page) + "\n" for page in pages))
    return folder


def arguments(*flags: str | Path) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args([str(flag) for flag in flags])


def walks(n_users: int, n_items: int, seed: int) -> dict[str, list[str]]:
    """Sequences that mostly step on to the next item of a ring: item-KNN can learn them."""
    rng = np.random.default_rng(seed)
    found = {}
    for user in range(n_users):
        at, items = int(rng.integers(n_items)), []
        for _ in range(int(rng.integers(5, 9))):
            items.append(f"i{at}")
            at = (at + (1 if rng.random() < 0.9 else int(rng.integers(2, 6)))) % n_items
        found[f"u{user}"] = list(dict.fromkeys(items))
    return {user: items for user, items in found.items() if len(items) >= 4}
