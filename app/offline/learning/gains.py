"""Gains of candidates: what a query wants more and less, where it has no single target.

    judged   a person's grades of some items; nobody has judged the others
    alike    the query was written for an item, and other items are more or less like that one

A catalogue that nobody has used tells nothing of what people take. A query drawn from the title of
an item is then no question for exactly this item: learned so, words that match count far too much
(docs/accuracy.md). It is a question for items of its kind, and the item itself gives the answer
away, so it is left out.
"""

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from app.core.types import Matrix, Rows, Vector

UNJUDGED: Final = 20
"""So many candidates of a judged query that nobody has judged are negatives. They are drawn at
random: the best ones of them may well fit."""

_SPREAD: Final = 0.5
"""Gains of likeness fall to 1/e over so many standard deviations of the likeness."""


class Gains(Protocol):
    """The gains of the candidates of one query, from 0 to 1."""

    @property
    def rows(self) -> Rows:
        """Return int64[r] rows that are candidates even where no source brings them."""
        ...

    @property
    def unjudged(self) -> int:
        """Return how many candidates of unknown gain are negatives."""
        ...

    def of(self, rows: Rows) -> Vector:
        """Return float32[c], the gain of each of int64[c] rows; NaN = unknown."""
        ...


@dataclass(frozen=True, slots=True)
class JudgedGains:
    """Gains that people's grades give: int64[r] rows, ascending, with float32[r] gains."""

    rows: Rows
    gains: Vector
    unjudged: int = UNJUDGED

    def of(self, rows: Rows) -> Vector:
        """See `Gains`."""
        if not len(self.rows):
            return np.full(len(rows), np.nan, np.float32)
        at = np.minimum(np.searchsorted(self.rows, rows), len(self.rows) - 1)
        return np.where(self.rows[at] == rows, self.gains[at], np.float32(np.nan))


@dataclass(frozen=True, slots=True)
class AlikeGains:
    """Gains by likeness to the item that a query was written for.

    `vectors`: float32[n, dim], unit rows. `row`: of that item; its own gain is unknown.
    """

    vectors: Matrix
    row: int
    rows: Rows
    unjudged: int = 0

    def of(self, rows: Rows) -> Vector:
        """See `Gains`."""
        likeness = self.vectors.take(rows, axis=0) @ self.vectors[self.row]
        others = rows != self.row
        spread = float(likeness[others].std()) if others.any() else 0.0
        if spread == 0.0:
            return np.full(len(rows), np.nan, np.float32)
        best = likeness[others].max()
        gains: Vector = np.exp(np.minimum(likeness - best, 0.0) / np.float32(_SPREAD * spread))
        gains[~others] = np.nan  # the likeness to itself is above the best
        return gains


def gains_of_grades(grades: Vector, lowest: float, highest: float) -> Vector:
    """Return float32[n], the gains of grades on any scale, as graded NDCG counts them.

    Twice as much for each third of the scale, from 0 to 1.
    """
    if highest <= lowest:
        return np.zeros(len(grades), np.float32)
    relative = (grades - np.float32(lowest)) / np.float32(highest - lowest)
    gains: Vector = (np.exp2(np.float32(3.0) * relative) - 1.0) / np.float32(7.0)
    return gains
