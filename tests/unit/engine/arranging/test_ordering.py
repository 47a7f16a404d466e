"""The order of an answer: titles come first, whatever they score."""

import numpy as np
import pytest

from app.domain.columns import decode_column, encode_column
from app.engine.arranging.ordering import Ordering, is_ordered, ordered
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Hits

ROWS = np.array([7, 3, 5, 9])
SCORES = np.array([0.1, 0.9, 0.5, 0.5], np.float32)
BEST = Hits(np.array([3, 5, 9]), np.array([0.9, 0.5, 0.5], np.float32))
EMPTY = decode_column("string", encode_column("string", []))
CATALOGUE = Catalogue({"id": EMPTY, "title": EMPTY}, {})
NONE = np.empty(0, np.int64)


def order_of(*first: int) -> Ordering:
    return Ordering(key=None, first=np.array(first, np.int64), max_per=(), counted=NONE)


@pytest.mark.parametrize(
    ("first", "is_already", "rows"),
    [
        ((), True, [3, 5, 9]),
        ((3,), True, [3, 5, 9]),
        ((5, 3), True, [3, 5, 9]),
        ((9, 3), False, [3, 9, 5]),
        ((7,), False, [7, 3, 5]),
        ((7, 9, 5, 3), False, [3, 5, 9]),
    ],
)
def test_titles_come_first_by_their_scores(
    first: tuple[int, ...],
    rows: list[int],
    *,
    is_already: bool,
) -> None:
    order = order_of(*first)
    hits = ordered(ROWS, SCORES, 3, order, CATALOGUE)
    assert hits.rows.tolist() == rows
    assert is_ordered(BEST, order) is is_already


def test_an_order_by_more_than_score_is_made_anew() -> None:
    by_key = Ordering(key=np.zeros(10), first=NONE, max_per=(), counted=NONE)
    capped = Ordering(key=None, first=NONE, max_per=(("brand", 1),), counted=NONE)
    assert not is_ordered(BEST, by_key)
    assert not is_ordered(BEST, capped)
