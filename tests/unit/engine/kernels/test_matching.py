"""Matches: our own C against numpy, bit for bit, and numpy against what the port says."""

import numpy as np
import pytest

from app.core.errors import BundleError
from app.domain.columns import offsets_of
from app.engine.kernels.loader import Unavailable, load_library
from app.engine.kernels.matching import (
    LEAST_SIMILARITY,
    MAX_SIMILAR,
    KernelMatching,
    NumpyMatching,
    Postings,
    Trigrams,
)


def postings_of(rng, n_words, n_rows):
    lists = [
        np.flatnonzero(rng.random(n_rows) < rng.random() ** 4).astype(np.int32)
        for _ in range(n_words)
    ]
    rows = np.concatenate([*lists, np.empty(0, np.int32)])
    impacts = rng.choice(np.array([0.25, 0.5, 1.0, 3.0], np.float32), len(rows))
    return Postings(
        offsets_of([len(each) for each in lists]), rows, impacts, rng.random(len(rows)) < 0.5
    )


def trigrams_of_words(rng, n_words, n_codes=60):
    """Words over a few trigrams, so that many are alike, and equally."""
    held = [set(rng.choice(n_codes, rng.integers(1, 9), replace=False)) for _ in range(n_words)]
    lists = [[w for w, codes in enumerate(held) if code in codes] for code in range(n_codes)]
    words = np.array([w for each in lists for w in each], np.int32)
    counts = np.array([len(codes) for codes in held], np.int32)
    return Trigrams(
        np.arange(n_codes) * 3, offsets_of([len(each) for each in lists]), words, counts
    )


def both(postings, trigrams):
    try:
        library = load_library()
    except Unavailable as reason:
        pytest.skip(str(reason))
    return KernelMatching(library, postings, trigrams), NumpyMatching(postings, trigrams)


def equal(ours, theirs):
    return all(
        a.dtype == b.dtype and np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True)
    )


@pytest.mark.parametrize("seed", range(20))
def test_the_kernel_finds_what_numpy_finds(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 400))
    trigrams = trigrams_of_words(rng, n)
    kernel, numpy = both(postings_of(rng, n, 300), trigrams)
    some = 0
    for _ in range(20):
        # Those of a word, and two that it lacks, or nobody has.
        mine = np.searchsorted(
            trigrams.offsets, np.flatnonzero(trigrams.words == rng.integers(n)), "right"
        )
        codes = np.unique(np.concatenate([trigrams.codes[mine - 1], rng.integers(0, 200, 2)]))
        words, dice = kernel.similar_words(codes)
        assert equal((words, dice), numpy.similar_words(codes))
        some += len(words)
        chosen = rng.choice(n, min(n, int(rng.integers(0, 9))), replace=False).astype(np.int64)
        worth = rng.random(len(chosen)).astype(np.float32)
        ours, theirs = kernel.match(chosen, worth), numpy.match(chosen, worth)
        for one, other in zip(ours, theirs, strict=True):
            assert equal(one, other)
        assert equal(kernel.merge(*ours), numpy.merge(*theirs))
    assert some


def test_numpy_finds_what_the_port_says():
    rng = np.random.default_rng(1)
    postings, trigrams = postings_of(rng, 50, 40), trigrams_of_words(rng, 50)
    matching = NumpyMatching(postings, trigrams)
    words, worth = np.array([3, 17, 8]), np.array([0.5, 1.0, 0.75], np.float32)
    items, titles = {}, {}
    for word, part in zip(words, worth, strict=True):
        for place in range(*postings.offsets[word : word + 2]):
            row, value = postings.rows[place], postings.impacts[place] * part
            items[row] = max(value, items.get(row, 0))
            if postings.titled[place]:
                titles[row] = max(part, titles.get(row, 0))
    for expected, (rows, values) in zip((items, titles), matching.match(words, worth), strict=True):
        assert rows.tolist() == sorted(expected)
        assert values.tolist() == [expected[row] for row in rows]


def test_not_more_words_are_similar_than_may_be_and_the_first_of_equals_come():
    lists = np.arange(200, dtype=np.int32)
    trigrams = Trigrams(np.array([7]), np.array([0, 200]), lists, np.ones(200, np.int32))
    postings = Postings(np.zeros(201, np.int64), lists[:0], np.empty(0, np.float32), lists[:0] > 0)
    for matching in both(postings, trigrams):
        words, dice = matching.similar_words(np.array([7]))
        assert words.tolist() == list(range(MAX_SIMILAR))
        assert set(dice.tolist()) == {1.0}
        words, dice = matching.similar_words(np.array([5, 7]))  # 2 · 1 / (1 + 2)
        assert len(words) == MAX_SIMILAR
        assert dice[0] == pytest.approx(2 / 3)
        assert not len(
            matching.similar_words(np.array([5, 6, 7]))[0]
        )  # 2 · 1 / 4 < LEAST_SIMILARITY
    assert 0.5 < LEAST_SIMILARITY < 2 / 3


@pytest.mark.parametrize("broken", ["word", "list", "postings", "length"])
def test_arrays_that_point_beyond_each_other_are_refused(broken):
    rng = np.random.default_rng(2)
    postings, trigrams = postings_of(rng, 9, 40), trigrams_of_words(rng, 9)
    if broken == "word":
        trigrams.words[4] = 9
    elif broken == "list":
        trigrams.offsets[3] = trigrams.offsets[5] + 1
    elif broken == "postings":
        postings.offsets[3] = len(postings.rows) + 1
    else:
        postings = Postings(postings.offsets[:-1], postings.rows, postings.impacts, postings.titled)
    with pytest.raises(BundleError):
        both(postings, trigrams)
