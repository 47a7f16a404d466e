"""The source of items that hold all words of a query."""

import numpy as np
import pytest

from app.engine.catalogue.behaviour import Neighbours
from app.engine.kernels.topk import topk_over
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import HolderSource, WeightedTable

TITLES = ["red shoe", "red hat", "blue shoe", "red shoe box", "shoe in red"]
POPULARITY = np.array([0.1, 0.9, 0.8, 0.5, 0.2], np.float32)


def source(size=3, table=None):
    words = LexicalIndex(lexical_arrays(TITLES, TITLES))
    return HolderSource(
        "holders",
        words,
        popularity=POPULARITY,
        table=table,
        size=size,
        topk=topk_over(len(TITLES)),
    )


@pytest.mark.parametrize("size", [2, 3])
def test_the_popular_holders_come_first(size):
    (hits,) = source(size).search([ResolvedRequest(query="red shoe")])
    assert hits.rows.tolist() == [3, 4, 0][:size]


def test_the_history_comes_before_popularity():
    near = Neighbours(np.array([[0], [4]] + [[0]] * 3, np.int32), np.ones((5, 1), np.float32))
    with_table = source(table=WeightedTable(near, 0.5, 1.0))
    recent = ResolvedRequest(query="red shoe", recent=np.array([1]))
    (hits,) = with_table.search([recent])
    assert hits.rows.tolist() == [4, 3, 0]


def test_where_nothing_else_decides_the_nearest_come_first():
    words = LexicalIndex(lexical_arrays(TITLES, TITLES))
    none = np.zeros(len(TITLES), np.float32)
    unknown = HolderSource(
        "holders", words, popularity=none, table=None, size=2, topk=topk_over(len(TITLES))
    )
    cosines = np.array([0.2, 0.9, 0.0, 0.3, 0.4], np.float32)
    (hits,) = unknown.search([ResolvedRequest(query="red shoe", cosines=cosines)])
    assert hits.rows.tolist() == [4, 3]


def test_hidden_and_blocked_rows_do_not_come_back():
    blocked = np.array([True, False, False, False, False])
    request = ResolvedRequest(query="red shoe", hidden=np.array([3]), blocked=blocked)
    hits, nothing = source().search([request, ResolvedRequest()])
    assert hits.rows.tolist() == [4]
    assert nothing is None
