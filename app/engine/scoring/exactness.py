"""What a lexical exact match counts beside all else: no vague likeness may come before it.

    term = 60 where the words of the query are the title
         + 30 where the item has the rarest word of the query, if that is in at most 1 % of the
           items, or in at most 20, and a candidate holds all words
         + 6 where the item has all words of the query

A word counts only where the item has the word itself, not a similar one. An id or a part number
that the query names counts more (`app.engine.scoring.blend`).

The unit is that of the networks, whose own score is kept within ±12. The fixed blend counts in
tenths of it, and all of its other parts together stay within 30 tenths. So no item that lacks a
rare word comes before one that has all words. Among those that have it, the 6 are an advantage that
other features can outweigh.
"""

from typing import Final

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.kernels.lexical_features import LEXICAL_FEATURES

RANGE: Final = 12.0
WHOLE_TITLE: Final = 60.0
RAREST: Final = 30.0
HOLDS_ALL: Final = 6.0

RARE_SHARE: Final = 0.01
FEW: Final = 20

_WHOLE, _MISSING, _HOLDERS, _SHARPNESS, _EXACT = map(
    LEXICAL_FEATURES.index,
    ("whole_title", "rarest_missing", "holders", "sharpness", "exact_coverage"),
)
_ALL: Final = 0.9999  # of a sum or share in float32 that is 1
_ROUNDING: Final = 1e-6


def exactness(lexical: Matrix, n_items: int) -> Vector:
    """Return float32[N], the term of each candidate, for the float32[L, N] lexical features."""
    most = min(max(RARE_SHARE * n_items, FEW), n_items)
    # The idf of a word that so many of the items have, as a share of the highest idf there is.
    rarest = np.log1p((n_items - most + 0.5) / (most + 0.5)) / np.log1p(max(n_items, 1))
    asked = (lexical[_SHARPNESS] >= rarest - _ROUNDING) & (lexical[_HOLDERS] > 0.0)
    term: Vector = WHOLE_TITLE * lexical[_WHOLE]
    term += RAREST * (asked & (lexical[_MISSING] < _ALL))
    term += HOLDS_ALL * (lexical[_EXACT] >= _ALL)
    return term
