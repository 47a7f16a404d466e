import numpy as np

from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.offline.learning.holders import holders_of


def index_of(titles):
    return LexicalIndex(lexical_arrays(titles, titles))


def test_holders_are_the_other_items_that_have_all_words():
    index = index_of(["red shoe", "red hat", "blue shoe", "red shoe big", ""])
    targets = np.array([0, 3, 1, 1, 4])

    found = holders_of(index, ["red shoes", "red", "red hat", "hta", ""], targets, most=9, seed=0)

    assert [rows.tolist() for rows in found] == [[3], [0, 1], [], [], []]


def test_of_many_holders_a_seeded_sample_is_taken():
    index = index_of([f"soap {n}" for n in range(500)])
    targets = np.array([7, 8])

    first, second = holders_of(index, ["soap", "soap"], targets, most=20, seed=1)
    again = holders_of(index, ["soap"], targets[1:], most=20, seed=1)[0]

    assert len(set(first.tolist()) - {7}) == 20
    assert first.tolist() == sorted(first.tolist())
    assert first.tolist() != second.tolist()
    assert second.tolist() == again.tolist()
