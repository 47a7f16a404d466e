"""Queries asked again are not encoded again, whatever else is asked with them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.core.ranking import RankRequest
from app.core.types import Change, Matrix, TextRole
from app.engine.encoding.query_cache import RememberedQueries
from app.engine.engine import RankEngine
from app.testing.encoder import HashEncoder
from tests.small_engine import small_engine


class Counted(HashEncoder):
    """Remembers what it was asked to encode."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[list[str]] = []
        self.roles: set[TextRole] = set()

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        self.asked.append(list(texts))
        self.roles.add(role)
        return super().encode(texts, role)


def test_only_what_is_new_is_encoded_and_the_order_is_kept() -> None:
    encoder = Counted()
    queries = RememberedQueries(encoder, 9)
    first = queries.encode(["a", "b"])
    second = queries.encode(["c", "b", "a"])

    assert encoder.asked == [["a", "b"], ["c"]]
    assert np.array_equal(np.stack(second), HashEncoder().encode(["c", "b", "a"]))
    assert np.array_equal(second[1], first[1])


def test_what_was_asked_longest_ago_goes_first() -> None:
    encoder = Counted()
    queries = RememberedQueries(encoder, most=2)
    for query in ("a", "b", "a", "c", "a", "b"):
        queries.encode([query])

    assert encoder.asked == [["a"], ["b"], ["c"], ["b"]]
    assert len(queries) == 2
    assert len(queries.encode(["d", "e", "f"])) == 3  # more than it remembers


def test_a_failed_encoding_leaves_nothing_behind() -> None:
    class Failing(HashEncoder):
        def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
            raise ValueError(texts)

    queries = RememberedQueries(Failing(), 9)
    with pytest.raises(ValueError, match="a"):
        queries.encode(["a"])
    assert len(queries) == 0


def test_an_engine_encodes_a_query_once() -> None:
    encoder = Counted()
    parts = replace(small_engine()._parts, encoder=encoder)
    engine = RankEngine(parts, small_engine().info)
    request = RankRequest(query="space")
    first = engine.rank([request]).results

    assert engine.rank([request]).results == first
    engine.rank([RankRequest(query="space", k=3), RankRequest(query="heist")])
    assert encoder.asked == [["space"], ["heist"]]
    assert encoder.roles == {"query"}


def test_an_item_that_is_put_is_encoded_as_an_item() -> None:
    encoder = Counted()
    engine = RankEngine(replace(small_engine()._parts, encoder=encoder), small_engine().info)
    engine.plan([Change(seq=1, item="new", record={"title": "A new film"})], now=0.0)()

    assert (encoder.asked, encoder.roles) == ([["A new film"]], {"item"})
