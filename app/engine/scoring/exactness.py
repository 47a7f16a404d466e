"""What a lexical exact match counts beside all else: no vague likeness may come before it.

    term = 30 where the item has all words of the query themselves, if its rarest word is in at most
           1 % of the items, or in at most 20
         + 60 where the words of the query are the title

A similar word is no exact match, and nothing is exact for a query with a word that no item has. An
id or a part number that the query names counts more (`app.engine.scoring.blend`).

The unit is that of the networks, whose own score is kept within ±12. The fixed blend counts in
tenths of it, and all of its other parts together stay within 30 tenths. So no item that lacks the
rarest word comes before one that has all of them.
"""

from typing import Final

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.kernels.lexical_features import LEXICAL_FEATURES

RANGE: Final = 12.0
HOLDS_ALL: Final = 30.0
WHOLE_TITLE: Final = 60.0
RARE_SHARE: Final = 0.01
FEW: Final = 20

_EXACT, _WHOLE, _SHARPNESS = map(
    LEXICAL_FEATURES.index, ("exact_coverage", "whole_title", "sharpness")
)
_ALL: Final = 0.9999  # a sum of weights in float32, which is 1
_ROUNDING: Final = 1e-6


def exactness(lexical: Matrix, n_items: int) -> Vector:
    """Return float32[N], the term of each candidate, for the float32[L, N] lexical features."""
    most = min(max(RARE_SHARE * n_items, FEW), n_items)
    # The idf of a word that so many of the items have, as a share of the highest idf there is.
    rarest = np.log1p((n_items - most + 0.5) / (most + 0.5)) / np.log1p(max(n_items, 1))
    rare = lexical[_SHARPNESS] >= rarest - _ROUNDING
    exact = lexical[_EXACT] >= _ALL
    term: Vector = HOLDS_ALL * (exact & rare) + WHOLE_TITLE * lexical[_WHOLE]
    return term.astype(np.float32)
