"""Reads the data of an evaluation: research folders of three kinds, and item and event files.

    sequences.txt + items.tsv    a line: user, then items, oldest first
    pairs.csv                    query, product_title, product_description, median_relevance
    valid.jsonl                  impressions: history, candidates, clicked

The kind of a folder is recognised by its files. Of items.tsv only the first column (the id) and the
text are read: `title`, else `name`, else `short_text`, decided per row. No other column may reach a
model. This module does not know which part of the data is held out.
"""

import csv
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import Any, Literal, TypeAlias

import orjson

from app.core.errors import BadDataError, UsageError
from app.core.store_ports import user_key
from app.evaluation.eval_catalogue import Anonymiser, EvalCatalogue, events_of
from app.offline.input.events import Events, read_events
from app.offline.input.items import read_items
from app.offline.input.recipe import Recipe

Kind: TypeAlias = Literal["sequences", "pairs", "impressions"]

_FILES: dict[str, Kind] = {
    "sequences.txt": "sequences",
    "pairs.csv": "pairs",
    "valid.jsonl": "impressions",
}
_TEXTS = ("title", "name", "short_text")
_PAIR_COLUMNS = {"query", "product_title", "product_description", "median_relevance"}
_MAX_UNUSABLE_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class Impression:
    """A page that was shown to a reader.

    `history`: ids, oldest first. `candidates`: ids of the page, sorted. `clicked`: one of them.
    """

    key: str
    history: tuple[str, ...]
    candidates: tuple[str, ...]
    clicked: str


def kind_of(folder: Path) -> Kind:
    """Return the kind of a folder.

    Raises:
        UsageError: it is not a folder, or contains none of the known files.
    """
    if not folder.is_dir():
        raise UsageError(f"--dataset: {folder.name!r} is not a folder")
    for name, kind in _FILES.items():
        if (folder / name).is_file():
            return kind
    raise UsageError(f"--dataset: {folder.name!r} holds none of {', '.join(_FILES)}")


def read_sequences(folder: Path, seed: int) -> tuple[EvalCatalogue, Events]:
    """Read `sequences.txt` and `items.tsv`; `seed` decides the new ids and order of the items.

    Raises:
        BadDataError: a file is missing or unreadable, or most items of the sequences are unknown.
    """
    texts, anonymiser = _item_texts(folder / "items.tsv"), Anonymiser(seed)
    lines = [line.split() for line in _lines(folder / "sequences.txt")]
    sequences = [(line[0], line[1:]) for line in lines if len(line) > 1]
    total = sum(len(items) for _, items in sequences)
    if not total:
        raise BadDataError("sequences.txt holds no events")
    unknown = sum(item not in texts for _, items in sequences for item in items)
    if unknown > total * _MAX_UNUSABLE_SHARE:
        raise BadDataError(f"sequences.txt: {unknown} of {total} items are not in items.tsv")
    events = events_of(
        (str(user_key(user, None)), [anonymiser(item) for item in items])
        for user, items in sequences
    )
    return anonymiser.catalogue(texts), events


def _item_texts(path: Path) -> dict[str, dict[str, Any]]:
    """Return {id: {"title": …}}. Quotes are plain characters in a .tsv file."""
    lines = _lines(path)
    header = lines[0].split("\t") if lines else []
    if not set(_TEXTS) & set(header[1:]):
        raise BadDataError(f"{path.name} has none of the columns {', '.join(_TEXTS)}")
    texts: dict[str, dict[str, Any]] = {}
    for line in lines[1:]:
        cells = line.split("\t")
        if cells[0].strip():
            by_name = dict(zip(header[1:], map(str.strip, cells[1:]), strict=False))
            titles = (by_name[name] for name in _TEXTS if by_name.get(name))
            texts[cells[0].strip()] = {"title": next(titles, None)}
    if not texts:
        raise BadDataError(f"{path.name} holds no items")
    return texts


def read_pairs(folder: Path, seed: int) -> tuple[EvalCatalogue, dict[str, dict[str, float]]]:
    """Read `pairs.csv`: the products, one per title, and query -> product -> mean grade.

    Raises:
        BadDataError: unreadable, a column is missing, or most rows have no grade.
    """
    try:
        rows = list(csv.DictReader(StringIO(_text(folder / "pairs.csv"))))
    except csv.Error as error:
        raise BadDataError("pairs.csv is not CSV") from error
    if not rows or not set(rows[0]) >= _PAIR_COLUMNS:
        raise BadDataError(f"pairs.csv needs rows with {', '.join(sorted(_PAIR_COLUMNS))}")
    texts: dict[str, dict[str, Any]] = {}
    grades: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    anonymiser, n_unusable = Anonymiser(seed), 0
    for row in rows:
        title, grade = row["product_title"] or "", _number(row["median_relevance"])
        if grade is None or not (row["query"] or "").strip() or not title.strip():
            n_unusable += 1
            continue
        product = texts.setdefault(title, {"title": title, "text": None})
        product["text"] = product["text"] or (row["product_description"] or "").strip() or None
        grades[row["query"]][anonymiser(title)].append(grade)
    if n_unusable > len(rows) * _MAX_UNUSABLE_SHARE:
        raise BadDataError(
            f"pairs.csv: {n_unusable} of {len(rows)} rows lack query, title or grade"
        )
    judged = {
        query: {item: fmean(values) for item, values in of_query.items()}
        for query, of_query in grades.items()
    }
    return anonymiser.catalogue(texts), judged


def read_impressions(folder: Path, seed: int) -> tuple[EvalCatalogue, list[Impression]]:
    """Read `valid.jsonl`: the catalogue is all articles in it, under new ids.

    Raises:
        BadDataError: unreadable, or a line is not an impression with one click.
    """
    anonymiser, articles = Anonymiser(seed), dict[str, dict[str, Any]]()
    impressions = []
    for number, line in enumerate(_lines(folder / "valid.jsonl"), start=1):
        if not line.strip():
            continue
        try:
            page = orjson.loads(line)
            for article in (*page["history"], *page["candidates"]):
                articles[article["id"]] = _article(article)
            shown = [anonymiser(article["id"]) for article in page["candidates"]]
            (clicked,) = page["clicked"]
            impressions.append(
                Impression(
                    key=str(page["impression_id"]),
                    history=tuple(anonymiser(article["id"]) for article in page["history"]),
                    candidates=tuple(sorted(shown)),
                    clicked=shown[clicked],
                )
            )
        except (orjson.JSONDecodeError, KeyError, TypeError, ValueError, IndexError) as error:
            raise BadDataError(f"valid.jsonl: line {number} is not an impression") from error
    if not impressions:
        raise BadDataError("valid.jsonl holds no impressions")
    return anonymiser.catalogue(articles), impressions


def _article(article: Mapping[str, Any]) -> dict[str, Any]:
    categories = [article[key] for key in ("category", "subcategory") if article.get(key)]
    return {
        "title": article["title"],
        "text": article.get("abstract") or None,
        "categories": categories,
    }


def read_files(items: Path, events: Path, recipe: Recipe) -> tuple[EvalCatalogue, Events]:
    """Read a catalogue and an event log as a build does.

    Raises:
        UsageError, BadDataError: as a build of these files would.
    """
    catalogue, log = read_items(items, recipe), read_events(events, recipe)
    titles = [title or "" for title in catalogue.columns["title"]]
    kinds = {k: v for k, v in catalogue.kinds.items() if k not in {"id", "title"}}
    return EvalCatalogue(catalogue.ids, titles, items, catalogue.report, kinds), log


def _lines(path: Path) -> list[str]:
    # `splitlines` would also split at characters that titles contain (NEL, U+2028).
    return _text(path).split("\n")


def _text(path: Path) -> str:
    try:
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise BadDataError(f"{path.name} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise BadDataError(f"{path.name} is not UTF-8") from error


def _number(cell: str | None) -> float | None:
    try:
        return float(cell or "")
    except ValueError:
        return None
