"""The tf-idf rows of item texts: how every learned part sees words.

Texts in, a sparse matrix out; this module does not know text templates or vectors. There are no
stems, synonyms or stop words beyond what idf does. Of the scripts without spaces only Han is cut.

Queries are cut by `app.engine.retrieval.word_cutting`, which stems. With that cutting the learned
parts got worse, so there are two.
"""

import re
from array import array
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from app.domain.columns import offsets_of

_HAN = "\u3005\u3007\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_TOKEN = re.compile(rf"([{_HAN}]+)|[^\W{_HAN}]+")

BRAND_WORDS = 4
"""Titles begin with the brand: pairs of neighbours among so many words count as words too."""


def word_weights(texts: Sequence[str], max_words: int = 100_000) -> sp.csr_matrix:
    """Return the tf-idf rows of the texts, sparse float32[n, v], each of length 1 or empty.

    A word that occurs tf times in a text, and in df of the n texts, has the weight
    (1 + ln tf) · ln(1 + n / df). Pairs of neighbours among the first four words count as words too:
    they stand for the brand. A word that only one text contains connects no items and is left out.
    Of the others the `max_words` with the highest df stay; among equals the earlier ones. Columns
    are in order of first appearance.

    Time is O(tokens); memory is about 150 bytes a distinct word and 16 bytes a token.

    Args:
        texts: one an item. An empty text has an empty row.
        max_words: the highest number of columns.
    """
    counts = _counts(texts)
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    columns = np.flatnonzero(frequency > 1)
    columns = np.sort(columns[np.argsort(-frequency[columns], kind="stable")[:max_words]])
    weights = counts[:, columns]
    idf = np.log1p(len(texts) / frequency[columns])
    data = ((1 + np.log(weights.data)) * idf[weights.indices]).astype(np.float32)
    weights = sp.csr_matrix((data, weights.indices, weights.indptr), shape=weights.shape)
    length = np.sqrt(np.asarray(weights.power(2).sum(axis=1), dtype=np.float64).ravel())
    weights.data /= np.repeat(np.maximum(length, 1e-9), np.diff(weights.indptr)).astype(np.float32)
    return weights


def tokens(text: str) -> list[str]:
    """Return the words of a text, case folded; a run of Han characters as overlapping pairs.

    >>> tokens("OPI Nail-Lacquer, 0.5oz")
    ['opi', 'nail', 'lacquer', '0', '5oz']
    >>> tokens("iPhone手机壳 新")
    ['iphone', '手机', '机壳', '新']
    """
    words = []
    for match in _TOKEN.finditer(text.casefold()):
        run = match[1]
        if run and len(run) > 1:
            words += [a + b for a, b in pairwise(run)]
        else:
            words.append(match[0])
    return words


def _counts(texts: Sequence[str]) -> sp.csr_matrix:
    """Return float32[n, distinct words]: how often each text has each word or pair."""
    columns: dict[str, int] = {}
    indices, lengths = array("i"), array("q")
    for text in texts:
        words = tokens(text)
        words += ["_".join(pair) for pair in pairwise(words[:BRAND_WORDS])]
        # One array for all texts: a dictionary per text would take far more memory.
        indices.extend([columns.setdefault(word, len(columns)) for word in words])
        lengths.append(len(words))
    flat: npt.NDArray[np.int32] = np.array(indices, dtype=np.int32)
    ones = np.ones(len(flat), np.float32)
    offsets = offsets_of(np.array(lengths, dtype=np.int64))
    counts = sp.csr_matrix((ones, flat, offsets), shape=(len(texts), len(columns)))
    counts.sum_duplicates()
    return counts
