"""Lexical features: our own C against numpy, and numpy against what the module says."""

import math

import numpy as np
import pytest

from app.domain.columns import offsets_of
from app.engine.kernels.lexical_features import (
    LEXICAL_FEATURES,
    MOST_HOLDERS,
    MOST_KEYS,
    NUMBER,
    STOP_WORD,
    AskedQuery,
    AskedWord,
    KernelLexicalFeatures,
    NumpyLexicalFeatures,
    PairRequest,
    Titles,
)
from app.engine.kernels.loader import Unavailable, load_library
from app.engine.kernels.topk import Piece

SUMS = ("bm25", "title_coverage", "text_coverage", "exact_coverage")
"""What the two may round in another way; all else is the same number."""

NO_ROWS = np.empty(0, np.int32)


def kernel_over(titles):
    try:
        return KernelLexicalFeatures(load_library(), titles)
    except Unavailable as why:
        pytest.skip(str(why))


def random_titles(rng, n, n_words=40):
    lengths = rng.integers(0, 9, n) * (rng.random(n) < 0.9)
    lengths[rng.random(n) < 0.05] = 32
    kinds = rng.choice([0, 0, 0, STOP_WORD, NUMBER], n_words).astype(np.uint8)
    words = rng.integers(0, n_words, lengths.sum()).astype(np.int32)
    return Titles(offsets_of(lengths), words, kinds)


def random_rows(rng, n, share):
    return np.flatnonzero(rng.random(n) < share).astype(np.int32)


def random_word(rng, n, key):
    rows = random_rows(rng, n, rng.choice([0.0, 0.02, 0.3, 1.0]))
    titled = rows[rng.random(len(rows)) < 0.5]
    impacts = rng.choice(np.array([0.25, 1.0, 3.3], np.float32), len(rows))
    exact = Piece(rows[rng.random(len(rows)) < rng.choice([0.0, 0.5, 1.0])], None)
    instead = Piece(rows[rng.random(len(rows)) < 0.5], None)
    return AskedWord(
        key,
        Piece(rows, impacts),
        Piece(titled, rng.choice(np.array([0.6, 1.0], np.float32), len(titled))),
        exact,
        instead,
        is_number=bool(rng.random() < 0.3),
    )


def random_query(rng, titles, n):
    """Mostly words of one title, so that whole titles and phrases come up."""
    n_items = len(titles.offsets) - 1
    row = rng.integers(n_items)
    title = titles.words[titles.offsets[row] : titles.offsets[row + 1]].tolist()
    typed = [*title, *rng.integers(0, 40, 3).tolist()][: rng.integers(1, 33)]
    if rng.random() < 0.4:
        typed = title or typed
    n_keys = int(rng.integers(1, 12))
    keys = {int(word): int(word) % n_keys for word in typed}
    if rng.random() < 0.3:
        rng.shuffle(typed)
    read = [keys[word] for word in typed if rng.random() < 0.8][:n]
    words = tuple(random_word(rng, n_items, key) for key in read)
    return AskedQuery(words, tuple(keys[word] for word in typed), keys, bool(rng.random() < 0.2))


def random_requests(rng, titles, n):
    n_items = len(titles.offsets) - 1
    for _ in range(n):
        query = random_query(rng, titles, int(rng.choice([0, 1, 3, 6, 32])))
        idf = rng.choice(np.array([0.5, 2.0, 7.25], np.float32), len(query.words))
        rows = rng.permutation(np.arange(-2, n_items + 2))[: rng.integers(0, 70)]
        yield PairRequest(query, idf, query.unmatched, int(rng.integers(1 << 32)), rows)


@pytest.mark.parametrize("seed", range(25))
def test_the_kernel_computes_what_numpy_computes(seed):
    rng = np.random.default_rng(seed)
    titles = random_titles(rng, int(rng.choice([1, 2, 30, 500])))
    ours, theirs = kernel_over(titles), NumpyLexicalFeatures(titles)
    requests = list(random_requests(rng, titles, 12))
    pairs, expected = ours.pairs(requests), theirs.pairs(requests)
    ours.finish(pairs, requests, 1000)
    theirs.finish(expected, requests, 1000)
    assert np.isfinite(pairs).all()
    for name, mine, other in zip(LEXICAL_FEATURES, pairs, expected, strict=True):
        if name in SUMS:
            assert mine == pytest.approx(other, rel=1e-6, abs=1e-9), name
        else:
            assert np.array_equal(mine, other), name


def test_the_random_cases_have_all_that_can_be():
    rng = np.random.default_rng(0)
    titles = random_titles(rng, 300)
    requests = list(random_requests(rng, titles, 200))
    numpy = NumpyLexicalFeatures(titles)
    lines = numpy.finish(numpy.pairs(requests), requests, 1000)
    for name, line in zip(LEXICAL_FEATURES, lines, strict=True):
        assert 0.0 in line, name
        assert line.max() > 0, name


@pytest.fixture(params=[kernel_over, NumpyLexicalFeatures])
def make(request):
    return request.param


def small(make, idf, words, typed=(), keys=None):
    """The features over three titles, "5 6", "1 5" (1 is a stop word) and "7" (a number)."""
    kinds = np.zeros(9, np.uint8)
    kinds[1], kinds[7] = STOP_WORD, NUMBER
    titles = Titles(np.array([0, 2, 4, 5]), np.array([5, 6, 1, 5, 7], np.int32), kinds)
    query = AskedQuery(tuple(words), typed, keys or {})
    idf = np.array(idf, np.float32)
    request = PairRequest(query, idf, query.unmatched, query.lacking, np.arange(3))
    features = make(titles)
    lines = features.finish(features.pairs([request]), [request], 100)
    return dict(zip(LEXICAL_FEATURES, lines.tolist(), strict=True))


def piece(rows, values):
    return Piece(np.array(rows, np.int32), np.array(values, np.float32))


NOTHING = piece([], [])


def test_texts_are_what_the_module_says(make):
    first = AskedWord(0, piece([0, 2], [2.2, 1.1]), piece([2], [0.6]), piece([0], [1.0]), NOTHING)
    second = AskedWord(1, piece([2], [4.4]), piece([2], [1.0]), piece([2], [1.0]), NOTHING)
    third = AskedWord(2, NOTHING, NOTHING, NOTHING, NOTHING)
    found = small(make, [1.0, 2.0, 1.0], [first, second, third])
    nearly = pytest.approx
    assert found["bm25"] == nearly([2.2 / 8.8, 0.0, 5.5 / 8.8])
    assert found["bm25_rank"] == nearly([math.log(2), math.log(3), 0.0])
    assert found["title_coverage"] == nearly([0.0, 0.0, 0.25 * 0.6 + 0.5])
    assert found["text_coverage"] == nearly([0.25, 0.0, 0.75])
    assert found["exact_coverage"] == nearly([0.25, 0.0, 0.5])
    assert found["missing_words"] == [2, 3, 2]
    assert found["rarest_missing"] == [1.0, 1.0, 0.5]
    assert found["holds_all"] == [0, 0, 0]
    assert found["query_words"] == [3, 3, 3]
    assert found["unknown_words"] == nearly([1 / 3] * 3)
    assert found["sharpness"] == nearly([2 / math.log(101)] * 3)
    assert small(make, [1.0], [first])["holds_all"] == [1, 0, 0]
    assert small(make, [1.0], [first])["holders"] == nearly([math.log(2)] * 3)


def test_what_is_most_similar_stands_for_a_word_that_no_item_has(make):
    word = AskedWord(0, piece([0, 2], [2.2, 1.1]), NOTHING, NOTHING, piece([2], [1.0]))
    known = AskedWord(1, piece([0, 2], [2.2, 1.1]), NOTHING, piece([0, 2], [1.0, 1.0]), NOTHING)
    found = small(make, [2.0, 1.0], [word, known])
    assert found["holds_all"] == [0, 0, 1]
    assert found["missing_words"] == [1, 2, 0]
    assert found["rarest_missing"] == [1.0, 1.0, 1.0]
    assert found["exact_coverage"] == pytest.approx([1 / 3, 0.0, 1 / 3])


def test_titles_are_what_the_module_says(make):
    words = [AskedWord(key, NOTHING, NOTHING, NOTHING, NOTHING) for key in (0, 1)]
    found = small(make, [1.0, 1.0], words, (0, 1), {5: 0, 6: 1})
    assert found["title_covered"] == [1, 1, 0]
    assert found["phrase"] == [1, 0.5, 0]
    assert found["starts"] == [1, 1, 0]
    assert found["whole_title"] == [1, 0, 0]
    assert found["title_words"] == pytest.approx([math.log(3), math.log(2), math.log(2)])
    assert small(make, [1.0], words[:1], (1, 0), {5: 0, 1: 1})["whole_title"] == [0, 1, 0]
    number = AskedWord(0, NOTHING, NOTHING, NOTHING, NOTHING, is_number=True)
    found = small(make, [1.0], [number], (0,), {5: 0})
    assert found["numbers_clash"] == [0, 0, 1]
    assert found["numbers_matched"] == [0, 0, 0]
    rows = piece([0, 2], [1.0, 1.0])
    number = AskedWord(0, rows, NOTHING, rows, NOTHING, is_number=True)
    found = small(make, [1.0], [number], (0,), {7: 0})
    assert found["numbers_clash"] == [0, 0, 0]
    assert found["numbers_matched"] == [1, 0, 1]


def test_a_longer_query_than_titles_are_read_is_refused():
    with pytest.raises(ValueError, match="more than 64 words"):
        AskedQuery((), (0,) * (MOST_KEYS + 1), {})
    with pytest.raises(ValueError, match="more than 64 words"):
        AskedQuery((), (MOST_KEYS,), {})


def test_many_candidates_have_ranks(make):
    n = 3000
    titles = Titles(np.zeros(n + 1, np.int64), NO_ROWS, np.zeros(0, np.uint8))
    rows = np.arange(n, dtype=np.int32)
    items = Piece(rows, rows.astype(np.float32))
    word = AskedWord(0, items, NOTHING, items, NOTHING)
    request = PairRequest(AskedQuery((word,), (), {}), np.ones(1, np.float32), 0, 0, np.arange(n))
    features = make(titles)
    lines = features.finish(features.pairs([request]), [request], n)
    found = dict(zip(LEXICAL_FEATURES, lines, strict=True))
    assert np.array_equal(np.expm1(found["bm25_rank"]).round(), np.arange(n)[::-1])
    assert found["holders"] == pytest.approx(math.log1p(MOST_HOLDERS))
