"""The presets of models/presets, each on the first rows of a real data set of its domain."""

import csv
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import pytest

from app.bundle.reader import load_arrays
from app.offline.build import build
from app.offline.input.recipe import load_recipe
from tests.bundles import fake_encoder, write_jsonl

PRESETS = Path(__file__).parents[3] / "models" / "presets"
N_ITEMS, N_USERS = 400, 200

Rows = tuple[list[dict[str, Any]], list[dict[str, Any]]]


def data(name: str) -> Path:
    folder = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "data" / name
    if not folder.is_dir() and os.environ.get("RECSERVE_REQUIRE_DATA") != "1":
        pytest.skip(f"no {folder}: set RECSERVE_SHARED to the folder that holds data/{name}")
    return folder


def sequences(name: str, title: str) -> Rows:
    """Items and events, without kinds or times, of a folder with sequences.txt and items.tsv."""
    folder = data(name)
    with (folder / "items.tsv").open() as file:
        rows = islice(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE), N_ITEMS)
        items = [{"id": row["item_id"], "title": row[title]} for row in rows]
    lines = (folder / "sequences.txt").read_text().splitlines()[:N_USERS]
    users = [line.split() for line in lines]
    return items, [{"user_id": user, "item_id": item} for user, *taken in users for item in taken]


def films() -> Rows:
    folder = data("ml-latest-small")
    with (folder / "movies.csv").open() as file:
        rows = islice(csv.DictReader(file), N_ITEMS)
        items = [{"id": r["movieId"], "title": r["title"], "categories": r["genres"]} for r in rows]
    with (folder / "ratings.csv").open() as file:
        events = [
            {
                "user_id": row["userId"],
                "item_id": row["movieId"],
                "event": "rating",
                "value": float(row["rating"]),
                "timestamp": int(row["timestamp"]),
            }
            for row in islice(csv.DictReader(file), 5000)
        ]
    return items, events


def news() -> Rows:
    items: dict[str, dict[str, Any]] = {}
    events = []
    for line in (data("mind-sample") / "valid.jsonl").read_text().splitlines():
        impression = json.loads(line)
        for article in impression["history"]:
            text, category = article["abstract"], article["category"]
            items[article["id"]] = {"id": article["id"], "title": article["title"], "text": text}
            items[article["id"]]["categories"] = [category]
            events.append({"user_id": impression["impression_id"], "item_id": article["id"]})
    return list(items.values()), events


def people() -> Rows:
    """Listeners as items, described by the artists they listen to, and who is a friend of whom."""
    artists, _ = sequences("lastfm", "name")
    names = {artist["id"]: artist["title"] for artist in artists}
    ids = json.loads((data("lastfm") / "user_id_to_hetrec_userID.json").read_text())
    lines = (data("lastfm") / "sequences.txt").read_text().splitlines()[:N_ITEMS]
    items = [
        {
            "id": ids[user],
            "title": f"Listener {user}",
            "text": ", ".join(names[artist] for artist in taken if artist in names),
        }
        for user, *taken in map(str.split, lines)
    ]
    known = {item["id"] for item in items}
    friends = (data("lastfm") / "user_friends.dat").read_text().splitlines()[1:]
    edges = [(one, other) for one, other in map(str.split, friends) if {one, other} <= known]
    return items, [{"user_id": one, "item_id": other} for one, other in edges]


DOMAINS: dict[str, tuple[Callable[[], Rows], str, dict[str, Any]]] = {
    "shop": (lambda: sequences("amazon-beauty", "title"), "purchase", {"event": "return"}),
    "video": (films, "rating", {"event": "watch", "value": 0.1}),
    "news": (news, "click", {"event": "read", "value": 2}),
    "social": (lambda: sequences("lastfm", "name"), "listen", {"event": "block"}),
    "people": (people, "follow", {"event": "block"}),
}


def test_every_preset_has_a_domain() -> None:
    assert {path.stem for path in PRESETS.glob("*.toml")} == set(DOMAINS)


@pytest.mark.parametrize("domain", DOMAINS)
def test_what_a_preset_proposes_in_its_comments_is_a_recipe(domain: str, tmp_path: Path) -> None:
    text = (PRESETS / f"{domain}.toml").read_text()
    proposed = re.sub(r"^# (?=\[\w+\]$|\w+ = )", "", text, flags=re.MULTILINE)
    (tmp_path / "r.toml").write_text(proposed)
    recipe = load_recipe(tmp_path / "r.toml")
    assert recipe.roles.attributes()
    assert recipe.weights == load_recipe(PRESETS / f"{domain}.toml").weights


@pytest.mark.parametrize("domain", DOMAINS)
def test_a_preset_builds_from_real_data(domain: str, tmp_path: Path) -> None:
    rows, kind, unwanted = DOMAINS[domain]
    items, events = rows()
    recipe = load_recipe(PRESETS / f"{domain}.toml")
    hated = [{"user_id": "critic", "item_id": items[0]["id"], **unwanted}]
    report = _built(tmp_path, items, [*events, *hated], recipe)
    manifest = report.bundle.manifest

    assert manifest.n_items == len(items)
    assert manifest.n_events == len(events) + 1
    assert recipe.weights[kind].sign(5.0) == 1
    # What somebody turned away from makes nobody's history.
    keys = load_arrays(report.bundle, "users.safetensors")
    lengths = dict(
        zip(_names(keys), keys["history/offsets"][1:] - keys["history/offsets"][:-1], strict=True)
    )
    assert lengths["u:critic"] == 0
    assert max(lengths.values()) > 5


def _built(folder: Path, items: Iterable[Any], events: Iterable[Any], recipe: Any) -> Any:
    files = write_jsonl(folder / "i.jsonl", items), write_jsonl(folder / "e.jsonl", events)
    return build(*files, recipe, folder / "out", fake_encoder, learning=False)


def _names(arrays: Any) -> Iterator[str]:
    data, offsets = arrays["user/data"].tobytes(), arrays["user/offsets"].tolist()
    for first, last in pairwise(offsets):
        yield data[first:last].decode()
