"""The tones of what somebody took lately, to compare items with.

Which items have which tone is found by `app.engine.tones`. This module knows no tone by its name.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from app.core.types import Rows, Vector


@dataclass(frozen=True, slots=True)
class ToneTaste:
    """The tones that somebody takes.

    Attributes:
        having: bool[n, tones], which items have which tone.
        shares: float32[tones] of unit norm: how often each tone was among the items taken.
    """

    having: npt.NDArray[np.bool_]
    shares: Vector

    def likeness(self, rows: Rows) -> Vector:
        """Return float32[c] for int64[c] rows: the cosine of their tones with these, in [0, 1].

        >>> taste = ToneTaste(np.array([[True, True], [False, False]]), np.float32([1.0, 0.0]))
        >>> taste.likeness(np.array([0, 1])).round(3).tolist()
        [0.7070000171661377, 0.0]
        """
        having = self.having[rows].astype(np.float32)
        length = np.sqrt(np.maximum(having.sum(axis=1), 1.0))
        likeness: Vector = (having @ self.shares) / length
        return likeness
