"""The heads of the scorer: by which kind of event, a goal, an item is taken if it is taken at all.

    score by goals = score + log(mean of the item's shares by these goals, by their weights)

A network's score is a logarithm of odds, up to what all candidates of a request have in common. So
the sum orders candidates by how likely each of them is taken by the goals. Each goal has a
calibration of that sum in each mode.

What the goals add to two candidates differs by less than exact words count
(`app.engine.scoring.exactness`): a goal never brings an item before one that the query names.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from app.core.errors import BundleError
from app.core.types import Goals, Matrix, Rows, Vector
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.modes import Mode

GOALS_FILE: Final = "goals.safetensors"

LEAST_SHARE: Final = 1.0 / 256.0
"""What a share is at least."""


class GoalHeads:
    """The heads of one bundle, over its n items.

    Attributes:
        names: the goals, kinds of events.
    """

    def __init__(
        self,
        names: Sequence[str],
        shares: Matrix,
        calibrations: Mapping[Mode, Sequence[Calibration]],
    ) -> None:
        """Take what was learned.

        Args:
            names: of the goals, of which there are g.
            shares: float32[g, n + 1], of what is taken of each item, the share by each goal; the
                last column is of items that came later.
            calibrations: mode -> that of each goal.

        Raises:
            BundleError: these do not fit each other.
        """
        counts = {len(names), len(shares), *map(len, calibrations.values())}
        if shares.ndim != 2 or counts != {len(names)} or not (shares > 0.0).all():
            raise BundleError("the goals of the bundle do not fit each other")
        self.names = tuple(names)
        self._shares = np.maximum(shares, LEAST_SHARE)
        self._calibrations = calibrations

    @classmethod
    def of(
        cls, names: Sequence[str], arrays: Mapping[str, npt.NDArray[Any]], modes: Sequence[Mode]
    ) -> "GoalHeads":
        """Take the arrays of a bundle: `shares`, and `MODE/knots_N`, `MODE/log_odds_N` of goal N.

        Raises:
            BundleError: they are missing, or do not fit each other.
        """
        try:
            calibrations = {
                mode: [
                    Calibration(arrays[f"{mode}/knots_{goal}"], arrays[f"{mode}/log_odds_{goal}"])
                    for goal in range(len(names))
                ]
                for mode in modes
            }
            return cls(names, arrays["shares"], calibrations)
        except KeyError as error:
            raise BundleError(f"the goals of the bundle lack {error}") from error

    def worth(self, mode: Mode, rows: Rows, goals: Goals) -> tuple[Vector, Calibration] | None:
        """Return float32[c] ≤ 0, what the goals add to each score, and the calibration of the sum.

        None where no goal is known: the request was checked, but another bundle has taken over.

        Args:
            mode: of the network that has scored the candidates.
            rows: int64[c], the candidates.
            goals: what is wanted; names that there are not are left out.
        """
        wanted = dict(goals)
        weights = np.array([wanted.get(name, 0.0) for name in self.names])
        if not weights.any():
            return None
        weights /= weights.sum()
        shares = self._shares.take(np.minimum(rows, self._shares.shape[1] - 1), axis=1)
        added: Vector = np.log(weights.astype(np.float32) @ shares)
        calibrations = zip(self._calibrations[mode], weights.tolist(), strict=True)
        parts = [(calibration, weight) for calibration, weight in calibrations if weight]
        return added, parts[0][0] if len(parts) == 1 else Calibration.mean(parts)
