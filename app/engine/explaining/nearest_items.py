"""Which of the user's own items lie nearest to an item of the answer, and by what.

    behaviour   a neighbour in a table that was learned from what people took
    content     a neighbour by its words; or the texts are alike, where nothing was learned
    taste       near in the learned space of taste
    both        similar by content and behaviour together, as `like` reads them

It reads the same tables and vectors as the sources and the features do.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

import numpy as np

from app.core.types import Matrix, Rows
from app.engine.arranging.posed import Posed
from app.engine.catalogue.behaviour import RECENT, Behaviour, Neighbours
from app.engine.parts import EngineParts
from app.engine.retrieval.resolve import TASTE_DECAY

_CONTENT_TABLE: Final = "content_knn"


class NearItem(NamedTuple):
    """An item of the user: its row, who gave it (history, like, intent), and what makes it near."""

    row: int
    given: str
    by: str


def nearest_items(parts: EngineParts, posed: Posed, rows: Rows) -> list[list[NearItem]]:
    """Return for each of int64[m] rows the nearest of the user's items, one for each kind."""
    found: list[list[NearItem]] = [[] for _ in rows]
    for given, by, items, strength in _strengths(parts, posed, rows):
        strength[items[:, None] == rows] = 0.0  # an item is no reason for itself
        best = strength.argmax(axis=0)
        near = strength[best, np.arange(len(rows))] > 0.0
        for place in np.flatnonzero(near).tolist():
            row = int(items[best[place]])
            if by not in {item.by for item in found[place]}:
                found[place].append(NearItem(row, given or _giver(parts, posed, row), by))
    return found


def _strengths(
    parts: EngineParts, posed: Posed, rows: Rows
) -> Iterator[tuple[str, str, Rows, Matrix]]:
    """Yield who gave some items, what makes them near, int64[r] items, float32[r, m] how near."""
    request = posed.resolved
    recent = request.recent[:RECENT]
    if recent.size and parts.learned is not None:
        for by, strength in _learned(parts.learned.behaviour, recent, rows):
            yield "history", by, recent[: len(strength)], strength
    elif recent.size:
        vectors = parts.texts.vectors
        fading = (TASTE_DECAY ** np.arange(len(recent))).astype(np.float32)[:, None]
        yield "history", "content", recent, fading * (vectors[recent] @ vectors[rows].T)
    if request.liked is not None:
        by = request.by if parts.learned is not None else "content"
        yield "", by, request.liked.rows, parts.similarity.pairs(request.liked, rows, request.by)


def _learned(behaviour: Behaviour, recent: Rows, rows: Rows) -> Iterator[tuple[str, Matrix]]:
    ages = np.arange(len(recent))
    tables = behaviour.tables
    weights = _weights(list(tables.values()), recent, rows)
    for name, near in zip(tables, weights, strict=True):
        fading = (behaviour.decays[name] ** ages).astype(np.float32)[:, None]
        yield "content" if name == _CONTENT_TABLE else "behaviour", fading * near
    taste = behaviour.taste
    newest = recent[: len(taste.recency)]
    yield (
        "taste",
        taste.recency[: len(newest), None] * (taste.inputs[newest] @ taste.targets[rows].T),
    )


def _weights(tables: Sequence[Neighbours], recent: Rows, rows: Rows) -> Matrix:
    """Return float32[t, r, m]: in each table the weight of each row as a neighbour of each item."""
    found = np.zeros((len(tables), len(recent), len(rows)), np.float32)
    near = [table.of(recent) for table in tables]
    # One comparison for all tables: each call of numpy takes longer than its few numbers do.
    neighbours = np.concatenate([each.ravel() for each, _ in near])
    weights = np.concatenate([each.ravel() for _, each in near])
    lines = np.repeat(
        np.arange(len(tables) * len(recent)), [each.shape[1] for each, _ in near for _ in recent]
    )
    equal = np.flatnonzero(neighbours == rows.astype(neighbours.dtype)[:, None])
    places, at = np.divmod(equal, len(neighbours))
    np.maximum.at(found.reshape(-1, len(rows)), (lines[at], places), weights[at])
    return found


def _giver(parts: EngineParts, posed: Posed, row: int) -> str:
    """Return who gave a liked item: the caller's likes, the intent, or the history."""
    item, request = parts.catalogue.id(row), posed.asked.request
    if item in request.like:
        own = request.like[: len(request.like) - len(posed.asked.intent.like)]
        return "like" if item in own else "intent"
    return "history"


def ids_of(parts: EngineParts, items: Sequence[NearItem]) -> list[dict[str, str | None]]:
    """Return near items as the evidence of an answer shows them."""
    catalogue = parts.catalogue
    return [
        {"id": catalogue.id(row), "title": catalogue.title(row), "given": given, "by": by}
        for row, given, by in items
    ]
