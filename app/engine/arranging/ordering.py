"""The order of an answer where not the score alone decides it: sort, titles first, `max_per`.

    scored candidates ▸ sort ▸ titles that the query is come first ▸ at most so many a value ▸ k

A sort is strict: the best by date, price, rating or popularity come first, and the score breaks
ties. Items without the value come last.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from app.core.types import Rows, Vector
from app.domain.columns import Floats
from app.domain.intent import Sort
from app.engine.arranging.capping import capped
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Hits

MOST_RELEVANT: Final = 50
"""So many candidates are sorted where too few items hold all words of the query; behind them the
next so many, and so on, over all pages: else an old item might never have its turn.
"""

_MOST_POOLED: Final = 1000
"""Most rows of one sort that are scored: those before them, and ties among them."""

_ROLES: Final[Mapping[Sort, tuple[str, float]]] = {
    "rated": ("rating", 1.0),
    "cheapest": ("price", -1.0),
    "dearest": ("price", 1.0),
}
_SIGNALS: Final[Mapping[Sort, str]] = {"popular": "popularity", "trending": "trending"}
_DATES: Final[Mapping[Sort, float]] = {"newest": 1.0, "oldest": -1.0}
_DATE_FIELD: Final = "published_at"


@dataclass(frozen=True, slots=True)
class Ordering:
    """How the candidates of one request are ordered, if not by score alone.

    Attributes:
        key: float64[n], the higher the earlier, -inf = last; None = by score.
        first: int64[f] rows that come first: the query is their title.
        max_per: field -> how many items may share a value of it.
        counted: int64[c] rows that count towards `max_per`, but are not in the answer.
        window: how many of the most relevant candidates are sorted, before the next
            `MOST_RELEVANT`; None = all are sorted together.
        before: int64[b] rows that are sorted before the first window.
    """

    key: Floats | None
    first: Rows
    max_per: tuple[tuple[str, int], ...]
    counted: Rows
    window: int | None = None
    before: Rows = field(default_factory=lambda: np.empty(0, np.int64))


def sort_key(
    sort: Sort, catalogue: Catalogue, signals: Mapping[str, Vector], roles: Mapping[str, str]
) -> Floats | None:
    """Return float64[n] for a sort, the higher the earlier, -inf where the value is missing.

    None for "relevance", and where no item has such a value.
    """
    if sort == "relevance":
        return None
    if sort in _SIGNALS:
        values = np.asarray(signals[_SIGNALS[sort]], np.float64)
    elif sort in _DATES:
        values = _DATES[sort] * catalogue.numbers(_DATE_FIELD)
    else:
        role, sign = _ROLES[sort]
        values = sign * catalogue.numbers(roles.get(role, ""))
        if sort == "rated" and np.isnan(values).all():
            values = np.asarray(signals.get("rated", values), np.float64)
    key = np.where(np.isnan(values), -np.inf, values)
    return key if np.isfinite(key).any() else None


def field_of(sort: Sort, catalogue: Catalogue, roles: Mapping[str, str]) -> str | None:
    """Return the field that a sort reads; None where it reads what is known from events."""
    field = _DATE_FIELD if sort in _DATES else roles.get(_ROLES.get(sort, ("", 1.0))[0], "")
    if sort == "rated" and np.isnan(catalogue.numbers(field)).all():
        return None
    return field or None


def pool_of(key: Floats, rows: Rows, size: int, popularity: Vector) -> Rows:
    """Return those of int64[m] rows that may be among the first `size` by the key.

    Rows that tie with the last of them are there too, as the score decides between them: at most
    1,000, the popular ones first.
    """
    if len(rows) > size:
        keys = key[rows]
        edge = np.partition(keys, len(keys) - size)[len(keys) - size]
        rows = rows[keys >= edge]
    if len(rows) > _MOST_POOLED:
        order = np.lexsort((-popularity[rows], -key[rows]))
        rows = rows[order[:_MOST_POOLED]]
    return rows


def is_ordered(best: Hits, order: Ordering) -> bool:
    """Tell whether the best candidates by score, best first, are in this order already.

    That is so where only titles come first, and score best.
    """
    if order.key is not None or order.max_per:
        return False
    first = order.first.tolist()
    return sorted(first) == sorted(best.rows[: len(first)].tolist())


def ordered(rows: Rows, scores: Vector, size: int, order: Ordering, catalogue: Catalogue) -> Hits:
    """Return the first `size` of int64[c] candidates with float32[c] scores, in their order."""
    by_score = np.argsort(-scores, kind="stable")
    if order.key is not None:
        best = rows[by_score]
        keys = -order.key[best]
        by_key = np.argsort(keys, kind="stable")
        if order.window is not None:
            by_key = np.lexsort((keys, _windows(best, order.before, order.window)))
        by_score = by_score[by_key]
    if order.first.size:
        is_first = np.isin(rows[by_score], order.first)
        by_score = np.concatenate([by_score[is_first], by_score[~is_first]])
    if order.max_per:
        kept = capped(
            rows[by_score],
            size,
            max_per=order.max_per,
            counted=order.counted,
            catalogue=catalogue,
        )
        by_score = by_score[kept]
    by_score = by_score[:size]
    return Hits(rows[by_score], scores[by_score])


def _windows(rows: Rows, before: Rows, first: int) -> Rows:
    """Return int64[c]: the window in which each of the rows is sorted, most relevant row first."""
    early = np.isin(rows, before)
    windows = (np.cumsum(~early) - 1 - first) // MOST_RELEVANT
    return np.where(early, -2, windows)
