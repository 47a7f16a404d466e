"""The four catalogues of the labelled queries: built, and as they are judged.

The made catalogues are built into a folder without training. The films are the demo bundle if there
is one that this version can serve, else they are built too.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow.parquet as pq

from app.bundle.reader import Bundle, load_arrays, open_bundle
from app.core.errors import BundleError
from app.engine.open import check_versions, columns_of
from app.evaluation.intents.results import (
    ItemValues,
    JudgedCatalogue,
    date_key,
    number_key,
)
from app.offline.build import build
from app.offline.demo import build_demo, write_movielens
from app.offline.input.recipe import load_recipe
from loadtest.runners.services import BUNDLE

FILMS: Final = "films"
_SIGNALS: Final = {"popular": "popularity", "rated": "rated"}


@dataclass(frozen=True, slots=True)
class BuiltCatalogue:
    """A catalogue of the labelled queries: its bundle, and its items as they are judged."""

    name: str
    bundle: Path
    judged: JudgedCatalogue


def built(names: Sequence[str], labels: Path, work: Path) -> list[BuiltCatalogue]:
    """Build these catalogues. `labels`: the folder of the set; `work`: an empty folder."""
    return [_films(work) if name == FILMS else _made(name, labels, work) for name in names]


def _made(name: str, labels: Path, work: Path) -> BuiltCatalogue:
    items = labels / f"{name}.jsonl"
    out = work / "models" / name
    bundle = build(items, None, load_recipe(labels / f"{name}.toml"), out, learning=False).bundle
    rows = [orjson.loads(line) for line in items.read_bytes().splitlines()]
    return BuiltCatalogue(name, out, _judged(rows, bundle))


def _films(work: Path) -> BuiltCatalogue:
    out = BUNDLE
    try:
        check_versions(bundle := open_bundle(out))
    except BundleError:
        out = work / "models" / FILMS
        bundle = build_demo(out, learning=False).bundle
    items, _ = write_movielens(work)
    rows = [
        {
            "id": str(row["movieId"]),
            "title": row["title"],
            "categories": (row["genres"] or "").split("|"),
            "published_at": None if row["year"] is None else int(row["year"]),
        }
        for row in pq.read_table(items).to_pylist()
    ]
    return BuiltCatalogue(FILMS, out, _judged(rows, bundle))


def _judged(rows: Sequence[dict[str, Any]], bundle: Bundle) -> JudgedCatalogue:
    roles = bundle.manifest.roles
    keys: dict[str, Callable[[ItemValues], float | None]] = {
        "newest": date_key,
        "oldest": lambda item: None if (moment := date_key(item)) is None else -moment,
    }
    if "price" in roles:
        keys["cheapest"] = number_key(roles["price"], -1)
        keys["dearest"] = number_key(roles["price"], 1)
    for sort, signal in _SIGNALS.items():
        if by_id := _signal(bundle, signal):
            keys[sort] = lambda item, by_id=by_id: by_id.get(item["id"])  # type: ignore[misc]
    if "rating" in roles:
        keys["rated"] = number_key(roles["rating"], 1)
    return JudgedCatalogue({row["id"]: row for row in rows}, keys)


def _signal(bundle: Bundle, name: str) -> Mapping[str, float]:
    """Return a signal of a bundle by id; empty if it has none, or says the same of all items."""
    values = load_arrays(bundle, "signals.safetensors").get(name)
    if values is None or np.ptp(np.nan_to_num(values)) == 0:
        return {}
    ids = columns_of(bundle)["id"]
    return {str(ids.value(row)): float(value) for row, value in enumerate(values)}
