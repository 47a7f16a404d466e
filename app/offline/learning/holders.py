"""Finds the hard negatives of drawn queries: the other items that hold all words of a query.

A query that is drawn from an item matches it always. A scorer that saw only other negatives would
learn that alone; among items that hold all words it must learn which one is meant.
"""

from collections.abc import Sequence

import numpy as np

from app.core.types import Rows
from app.engine.retrieval.lexical import LexicalSearch


def holders_of(
    search: LexicalSearch, queries: Sequence[str], targets: Rows, most: int, seed: int
) -> list[Rows]:
    """Return for each query int64[≤ most], ascending: other rows whose text has all its words.

    Of more than `most` a sample, which depends on nothing but the seed and the target. A query
    without words, or with one that no item has (a typo), has none.

    Args:
        search: the lexical index of the catalogue.
        queries: m queries.
        targets: int64[m], the row that each is drawn for, which is left out.
        most: rows a query.
        seed: of the samples, ≥ 0.
    """
    found = []
    for query, target in zip(queries, targets.tolist(), strict=True):
        rows = search.rows_with(query)
        rows = rows[rows != target]
        if len(rows) > most:
            rng = np.random.default_rng((seed, target))
            rows = np.sort(rng.choice(rows, most, replace=False, shuffle=False))
        found.append(rows)
    return found
