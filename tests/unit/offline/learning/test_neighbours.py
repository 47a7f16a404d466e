"""Neighbours by words and by behaviour against matrices that are really built."""

import math
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
import scipy.sparse as sp

from app.domain.columns import offsets_of
from app.offline.learning import neighbours
from app.offline.learning import tfidf as text_weights
from app.offline.learning.neighbours import content_knn, cooccurrence, fits_dense, sequential_ridge
from app.offline.learning.sequences import Sequences
from app.offline.learning.tfidf import word_weights

N_ITEMS = 40


def sequences_of_lists(lists, weights=None):
    items = np.array([item for one in lists for item in one], np.int64)
    weights = np.ones(len(items), np.float32) if weights is None else weights
    offsets = offsets_of([len(one) for one in lists])
    return Sequences(users=np.arange(len(lists)), items=items, weights=weights, offsets=offsets)


def random_sequences(longest=20, seed=0, users=60):
    """Items 0 … 37 with many repeats; 38 and 39 are never seen; each event has a weight."""
    rng = np.random.default_rng(seed)
    lists = [rng.integers(0, 38, rng.integers(1, longest + 1)).tolist() for _ in range(users)]
    weights = rng.uniform(0.5, 2.0, sum(map(len, lists))).astype(np.float32)
    return sequences_of_lists(lists, weights)


def past_and_future(sequences):
    """Build X and Y, a row a place, as the docstring of the module defines them."""
    past, future = [], []
    for user in range(len(sequences)):
        span = slice(*sequences.offsets[user : user + 2])
        items, weights = sequences.items[span][-50:], sequences.weights[span][-50:]
        for place in range(1, len(items)):
            x, y = np.zeros(N_ITEMS), np.zeros(N_ITEMS)
            for a in range(place):
                x[items[a]] += math.exp(-(place - 1 - a) / 2)
            for b in range(place, len(items)):
                y[items[b]] += weights[b] * math.exp(-(b - place))
            past.append(x)
            future.append(y)
    return np.array(past), np.array(future)


def dense(table):
    full = np.zeros((len(table.rows), len(table.rows)))
    for row, (columns, values) in enumerate(zip(table.rows, table.weights, strict=True)):
        np.add.at(full[row], columns, values)
    return full


def positive(matrix):
    matrix = np.maximum(matrix, 0)
    np.fill_diagonal(matrix, 0)
    return matrix


def by_ridge(sequences):
    x, y = past_and_future(sequences)
    return positive(np.linalg.solve(x.T @ x + 50 * np.eye(N_ITEMS), x.T @ y))


def by_cosine(sequences):
    x, y = past_and_future(sequences)
    norms = [np.linalg.norm(matrix, axis=0) + 1 for matrix in (x, y)]
    return positive(x.T @ y / norms[0][:, None] / norms[1][None, :])


@pytest.mark.parametrize("longest", [2, 20, 120])
def test_sequential_ridge_regresses_the_future_on_the_past(longest):
    sequences = random_sequences(longest)
    np.testing.assert_allclose(
        dense(sequential_ridge(sequences, N_ITEMS)), by_ridge(sequences), rtol=1e-4, atol=2e-7
    )


@pytest.mark.parametrize("longest", [2, 20, 120])
def test_cooccurrence_is_the_damped_cosine_of_past_and_future(longest):
    sequences = random_sequences(longest)
    np.testing.assert_allclose(
        dense(cooccurrence(sequences, N_ITEMS)), by_cosine(sequences), rtol=1e-4
    )


def test_sequential_ridge_over_several_blocks_of_columns():
    # More items than one block solves, and so few pairs that X'Y stays sparse.
    sequences = random_sequences()
    apart = Sequences(
        users=sequences.users,
        items=sequences.items * 15,
        weights=sequences.weights,
        offsets=sequences.offsets,
    )
    table = dense(sequential_ridge(apart, N_ITEMS * 15))
    expected = by_ridge(sequences)
    np.testing.assert_allclose(table[::15, ::15], expected, rtol=1e-4, atol=2e-7)
    assert table.sum() == pytest.approx(expected.sum(), rel=1e-4)


@pytest.mark.parametrize("block", [1, 50, 300])
def test_blocks_change_nothing(block):
    sequences, words = random_sequences(), word_weights(TITLES * 5)
    pairs = [
        (cooccurrence(sequences, N_ITEMS), cooccurrence(sequences, N_ITEMS, block=block)),
        (content_knn(words), content_knn(words, block=block)),
    ]
    for whole, cut in pairs:
        assert (whole.rows == cut.rows).all()
        assert (whole.weights == cut.weights).all()


@pytest.mark.parametrize("maker", [sequential_ridge, cooccurrence])
def test_a_row_holds_the_best_first_then_padding(maker):
    sequences = random_sequences()
    whole, cut = maker(sequences, N_ITEMS), maker(sequences, N_ITEMS, 5)
    assert whole.rows.shape == whole.weights.shape == (N_ITEMS, 300)
    assert cut.rows.dtype == np.int32
    assert cut.weights.dtype == np.float32
    assert (cut.rows == whole.rows[:, :5]).all()
    assert (cut.weights == whole.weights[:, :5]).all()
    assert (np.diff(whole.weights, axis=1) <= 0).all()
    assert (whole.weights[:, N_ITEMS - 1 :] == 0).all()
    assert (whole.weights[38:] == 0).all()  # never seen
    own = (whole.rows == np.arange(N_ITEMS)[:, None]) & (whole.weights > 0)
    assert not own.any()
    assert 0 <= whole.rows.min() <= whole.rows.max() < N_ITEMS


@pytest.mark.parametrize("maker", [sequential_ridge, cooccurrence])
def test_equals_are_ordered_by_row_and_runs_agree(maker):
    sequences = sequences_of_lists([[0, item] for item in (5, 3, 4, 2, 6)])
    table = maker(sequences, 8, 3)
    assert table.rows[0].tolist() == [2, 3, 4]
    again = maker(sequences, 8, 3)
    assert (table.rows == again.rows).all()
    assert (table.weights == again.weights).all()


@pytest.mark.parametrize("maker", [sequential_ridge, cooccurrence])
@pytest.mark.parametrize("lists", [[], [[3]], [[3], [4]]])
def test_without_pairs_there_are_no_neighbours(maker, lists):
    assert not maker(sequences_of_lists(lists), 6, 4).weights.any()


def test_a_pair_of_steps_by_hand():
    # One place: X = item 1, Y = item 2; both norms are 1.
    table = cooccurrence(sequences_of_lists([[1, 2]]), 3, 2)
    assert table.weights.tolist() == [[0, 0], [0.25, 0], [0, 0]]
    assert table.rows[1, 0] == 2
    assert sequential_ridge(sequences_of_lists([[1, 2]]), 3, 2).weights[1, 0] == pytest.approx(
        1 / 51
    )


def test_only_what_fits_is_inverted():
    assert fits_dense(38_729)
    assert not fits_dense(38_730)
    with pytest.raises(ValueError, match="38730 items are too many"):
        sequential_ridge(random_sequences(), 38_730)


def test_what_float32_cannot_invert_is_refused():
    # What rounding may leave of two items that always stand together: no longer definite.
    heavy = np.array([[1e9, 0], [1.01e9, 1e9]], np.float32, order="F")
    with pytest.raises(ValueError, match="float32 cannot invert"):
        neighbours.inverse_of(heavy)


TITLES = [
    "OPI Nail Lacquer, red red",
    "opi nail lacquer BLUE",
    "OPI nail file",
    "",
    "Essie polish red",
    "手机壳 red",
    "新手机壳",
    "lonely",
]


def weights_by_hand(texts):
    """Return {(row, word): weight} by plain loops."""
    counts = []
    for text in texts:
        words = text_weights.tokens(text)
        counts.append(Counter([*words, *(f"{a}_{b}" for a, b in pairwise(words[:4]))]))
    df = Counter(word for count in counts for word in count)
    rows = []
    for count in counts:
        row = {
            word: (1 + math.log(times)) * math.log(1 + len(texts) / df[word])
            for word, times in count.items()
            if df[word] > 1
        }
        length = math.sqrt(sum(weight**2 for weight in row.values()))
        rows.append({word: weight / length for word, weight in row.items()})
    return rows


def test_word_weights_equal_plain_loops():
    words, rows = word_weights(TITLES), weights_by_hand(TITLES)
    assert words.dtype == np.float32
    assert words.shape == (len(TITLES), len({word for row in rows for word in row}))
    for row, expected in enumerate(rows):
        values = np.sort(words[row].data)
        np.testing.assert_allclose(values, sorted(expected.values()), rtol=1e-6)
    assert words[3].nnz == words[7].nnz == 0


def test_content_knn_is_the_cosine_of_words():
    words = word_weights(TITLES)
    rows = weights_by_hand(TITLES)
    cosine = [[sum(a[w] * b.get(w, 0) for w in a) for b in rows] for a in rows]
    table = content_knn(words)
    np.testing.assert_allclose(dense(table), positive(np.array(cosine)), rtol=1e-5)
    assert table.rows[6, 0] == 5  # 手机 and 机壳 are in both
    assert not table.weights[[3, 7]].any()


def test_han_runs_become_pairs():
    assert text_weights.tokens("红茶杯 A茶2") == ["红茶", "茶杯", "a", "茶", "2"]


def test_the_vocabulary_is_cut_to_the_most_frequent():
    texts = ["a x", "x b", "a", "b x", "c", "c"]
    assert word_weights(texts).shape[1] == 4
    cut = word_weights(texts, 2)
    assert (np.diff(cut.indptr) > 0).tolist() == [True, True, True, True, False, False]
    assert word_weights(texts, 1)[:, 0].nnz == 3


def test_texts_may_have_no_words_in_common():
    for texts in ([], ["a", "b"], ["", ""]):
        words = word_weights(texts)
        assert words.shape == (len(texts), 0)
        assert not content_knn(words, 2).weights.any()


def test_stop_words_of_a_large_catalogue_are_left_out():
    n = 20_002
    columns = np.r_[np.zeros(n, np.int64), [1, 1]]
    rows = np.r_[np.arange(n), [3, 4]]
    words = sp.csr_matrix((np.full(n + 2, 0.5, np.float32), (rows, columns)), shape=(n, 2))
    table = content_knn(words, 1)
    assert np.flatnonzero(table.weights).tolist() == [3, 4]
    assert table.rows[3:5, 0].tolist() == [4, 3]
