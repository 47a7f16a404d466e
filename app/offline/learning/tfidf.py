"""What the words of an item weigh: tf-idf rows, the words' side of every learned part.

Knows neither templates nor vectors: texts in, a sparse matrix out. It does not know meaning: no
stems, no synonyms, no stop words beyond what idf does, and of scripts without spaces only Han.
Queries are cut by `app.engine.retrieval.word_cutting`, which stems; cut that way, what is learned
got worse, not better.
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


def word_weights(texts: Sequence[str], max_words: int = 100_000) -> sp.csr_matrix:
    """Return the tf-idf rows of the texts, float32[n, v]: each of length 1, or empty.

    Weight of a word that stands tf times in a text and in df texts at all:
    (1 + ln tf) · ln(1 + n / df). The pairs of neighbours among the first four words count as words
    too: they stand for the brand, which titles begin with. A word of one text alone says nothing
    of others and is left out; of the rest the `max_words` of highest df stay, earlier ones first
    among equals. Columns are in order of first appearance.

    O(tokens) time; memory about 150 bytes a distinct word and 16 bytes a token.

    Args:
        texts: one an item; may be empty, then the row is.
        max_words: the most columns.
    """
    counts = _counts(texts)
    frequency = np.bincount(counts.indices, minlength=counts.shape[1])
    kept = np.flatnonzero(frequency > 1)
    kept = np.sort(kept[np.argsort(-frequency[kept], kind="stable")[:max_words]])
    weights = counts[:, kept]
    idf = np.log1p(len(texts) / frequency[kept])
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
    found = []
    for match in _TOKEN.finditer(text.casefold()):
        run = match[1]
        if run and len(run) > 1:
            found += [a + b for a, b in pairwise(run)]
        else:
            found.append(match[0])
    return found


def _counts(texts: Sequence[str]) -> sp.csr_matrix:
    """Return float32[n, distinct words]: how often each word and brand pair stands in each text."""
    columns: dict[str, int] = {}
    indices, lengths = array("i"), array("q")
    for text in texts:
        words = tokens(text)
        words += ["_".join(pair) for pair in pairwise(words[:BRAND_WORDS])]
        # One array for all texts: a dictionary a text would cost far more than the counts.
        indices.extend([columns.setdefault(word, len(columns)) for word in words])
        lengths.append(len(words))
    flat: npt.NDArray[np.int32] = np.array(indices, dtype=np.int32)
    ones = np.ones(len(flat), np.float32)
    offsets = offsets_of(np.array(lengths, dtype=np.int64))
    counts = sp.csr_matrix((ones, flat, offsets), shape=(len(texts), len(columns)))
    counts.sum_duplicates()
    return counts
