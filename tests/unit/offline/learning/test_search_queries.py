"""Which queries with words are learned from: real ones in place of written ones."""

import numpy as np
import pytest

from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.search_examples import SearchSide
from app.offline.learning.search_log import JudgedList, Searches
from app.offline.learning.search_queries import (
    QUERIES_PER_ITEM,
    Search,
    asked_by_mode,
    written_for_items,
)
from app.offline.learning.synthetic_queries import QueryWriter
from app.testing.encoder import HashEncoder

pytestmark = pytest.mark.learning

TITLES = ["red sofa", "blue lamp", "green table"]
NONE = np.empty(0, np.int64)


def search_over(titles):
    encoder = HashEncoder(8)
    side = SearchSide(
        words=LexicalIndex(lexical_arrays(titles, titles)),
        index=None,
        vectors=encoder.encode(titles),
        freshness=np.zeros(len(titles), np.float32),
        encode=encoder.encode,
    )
    judged = [JudgedList("seat", np.array([0, 1]), np.array([4.0, 1.0], np.float32))]
    writer = QueryWriter(titles, titles, {}, 0)
    return Search(side, writer, Searches([], NONE, NONE), judged)


@pytest.fixture
def search():
    return search_over(TITLES)


def taken(target, recent, query="", kind="history"):
    return TrainingQuery(np.array(recent, np.int64), target, 1.0, NONE, query=query, kind=kind)


def test_a_logged_search_stands_in_place_of_a_written_one(search):
    events = [taken(0, [1]), taken(2, [0, 1])]
    logged = [(7, taken(0, [1], "couch", "logged")), (9, taken(1, [], "light", "logged"))]
    asked = asked_by_mode(search, [7, 8], events, logged, 0)
    words = [(query.kind, query.target) for query in asked["words"]]
    assert words == [("logged", 0), ("logged", 1), ("synthetic", 2), ("judged", -1)]
    (written,) = [query for query in asked["words"] if query.kind == "synthetic"]
    assert written.query
    assert written.recent.tolist() == [0, 1]
    # Nothing is known of the one who searched for "light", or of the judges.
    assert [query.kind for query in asked["both"]] == ["logged", "synthetic"]


def test_most_written_queries_leave_a_choice():
    # Each title has a word of its own, a word of ten titles, and a word of a hundred.
    titles = [f"own{row} some{row // 10}x all{row // 100}y" for row in range(1000)]
    search = search_over(titles)
    events = [taken(row, [(row + 1) % 1000]) for row in range(1000)]
    asked = asked_by_mode(search, list(range(1000)), events, [], 0)["both"]
    assert [query.target for query in asked] == sorted(query.target for query in asked)
    assert len(asked) == 1000  # one an event
    plain = search.writer.write(np.arange(1000))
    alone = [
        np.mean([len(search.side.words.rows_with(text)) == 1 for text in texts])
        for texts in (plain, [query.query for query in asked])
    ]
    misspelt = [
        np.mean([len(search.side.words.rows_with(text)) == 0 for text in texts])
        for texts in (plain, [query.query for query in asked])
    ]
    assert alone[0] > 0.4
    assert alone[1] < alone[0] / 2
    assert misspelt[1] == pytest.approx(misspelt[0], rel=0.5)


def test_queries_for_items_ask_for_what_is_like_them(search):
    queries = written_for_items(search, 0)
    assert len(queries) == QUERIES_PER_ITEM * len(TITLES)
    assert {query.kind for query in queries} == {"synthetic"}
    for query in queries:
        assert np.isnan(query.gains.of(np.array([query.target]))).all()
        assert len(query.recent) == 0
