"""What a lexical exact match counts beside the network: no vague likeness may come before it.

    term = 30 where the item holds all words of the query, if its rarest word is in at most 1 % of
           the items
         + 60 where the words of the query are the title

An id or a part number that the query names counts more (`app.engine.scoring.blend`). The network's
own score is kept within ±12, so that no item that lacks the rarest word comes before one that holds
all of them.
"""

from typing import Final

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.kernels.lexical_features import LEXICAL_FEATURES

RANGE: Final = 12.0
HOLDS_ALL: Final = 30.0
WHOLE_TITLE: Final = 60.0
RARE_SHARE: Final = 0.01

_HOLDS, _WHOLE, _SHARPNESS = map(LEXICAL_FEATURES.index, ("holds_all", "whole_title", "sharpness"))


def exactness(lexical: Matrix, n_items: int) -> Vector:
    """Return float32[N], the term of each candidate, for the float32[L, N] lexical features."""
    # The idf of a word that so many of the items have, as a share of the highest idf there is.
    rarest = np.log(1.0 / RARE_SHARE) / np.log1p(max(n_items, 1))
    rare = lexical[_SHARPNESS] >= rarest
    term: Vector = HOLDS_ALL * (lexical[_HOLDS] * rare) + WHOLE_TITLE * lexical[_WHOLE]
    return term.astype(np.float32)
