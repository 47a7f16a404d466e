"""The part of a score that `popularity_bias` adds.

    score += bias · weight · popularity        bias in [-1, 1], popularity in [0, 1]

It is a part of the score as the networks and the blend give it, before calibration, so `min_score`
and every later stage see it. The weight was chosen on films (docs/diversity.md): at its ends the
bias decides between items that fit about equally well, and an exact title stays first.
"""

from typing import Final

import numpy as np

from app.core.types import Rows, Vector
from app.engine.scoring.blend import LEARNED_MATCH_WEIGHT

_WEIGHT: Final = 1.0
"""Of the whole popularity, in units of the blend."""


def popularity_term(bias: float, popularity: Vector, rows: Rows, *, learned: bool) -> Vector:
    """Return float32[c], what a bias adds to the score of each of int64[c] rows.

    `popularity`: float32[n]. `learned`: a network has scored the request.
    """
    weight = _WEIGHT * LEARNED_MATCH_WEIGHT if learned else _WEIGHT
    return np.float32(bias * weight) * popularity.take(rows)
