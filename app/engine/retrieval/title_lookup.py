"""Finds the item that somebody means by a title: "alien", "the godfather", "toy stroy".

Used for the titles that a query names ("movies like Alien"). A title may be typed without its
articles, in another order, with typos, or in part.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.types import Rows, Vector
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Exclusion, TopK
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.word_cutting import query_words

LEAST_COVERAGE: Final = 0.7
"""How much of the typed title the words of a title must cover, by idf."""

_LOOKED_AT: Final = 64


def titled(query: str, words: LexicalSearch) -> Rows:
    """Return int64[m]: the rows whose title has the words of a query, and no others."""
    rows = words.rows_with(query)
    matches: Rows = rows[words.with_title(query, rows)]
    return matches


def row_of_title(
    text: str, words: LexicalSearch, catalogue: Catalogue, popularity: Vector, topk: TopK
) -> int:
    """Return the row of the item that a typed title means best; -1 if none is near enough.

    An item with exactly these words comes before one with more; of equals, the popular one.

    Args:
        text: the title as typed.
        words: finds items by their titles.
        catalogue: knows the titles.
        popularity: float32[n].
        topk: over the rows of the catalogue.
    """
    exact = titled(text, words)
    blocked = catalogue.blocked()
    if blocked is not None:
        exact = exact[~blocked[exact]]
    if exact.size:
        return _best(text, exact, np.ones(len(exact), np.float32), catalogue, popularity)
    (hits,) = topk.best_sums([words.titles(text)], [Exclusion(blocked=blocked)], _LOOKED_AT)
    near = hits.scores >= LEAST_COVERAGE
    if not near.any():
        return -1
    return _best(text, hits.rows[near], hits.scores[near], catalogue, popularity)


def _best(text: str, rows: Rows, coverage: Vector, catalogue: Catalogue, popularity: Vector) -> int:
    typed = text.casefold()
    n_typed = len(query_words(text))

    def rank(position: int) -> tuple[float, bool, float]:
        row = int(rows[position])
        title = catalogue.title(row) or ""
        extra = max(len(query_words(title)) - n_typed, 0)
        # Each word too many weighs as much as a tenth of the typed words left uncovered.
        near = float(coverage[position]) - 0.1 * extra
        return round(near, 2), title.casefold() == typed, float(popularity[row])

    return int(rows[max(range(len(rows)), key=rank)])


def rows_of_titles(
    titles: Sequence[str],
    words: LexicalSearch,
    catalogue: Catalogue,
    popularity: Vector,
    topk: TopK,
) -> list[int]:
    """Return the rows of those titles that stand for an item, each once, in their order."""
    rows = [row_of_title(title, words, catalogue, popularity, topk) for title in titles]
    return [row for row in dict.fromkeys(rows) if row >= 0]
