"""What rules add to the scores of candidates: their boosts and buries.

A weight is in log odds, so it is added to a score once that is calibrated. Where nothing was
learned, a score is no log odds: there a match counts a tenth of what it counts beside a learned
score, and so does a boost.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Rows, Vector
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.rules.applied import Shift
from app.engine.scoring.blend import LEARNED_MATCH_WEIGHT
from app.engine.scoring.learned import LearnedScore

UNLEARNED_SCALE: Final = 1.0 / LEARNED_MATCH_WEIGHT


@dataclass(frozen=True, slots=True)
class Boost:
    """What one rule has added: float32[c], a value for each candidate."""

    rule: str
    added: Vector


def add_boosts(
    scores: list[Vector],
    requests: Sequence[ResolvedRequest],
    candidates: Sequence[Rows],
    learned: Sequence[LearnedScore | None],
) -> list[tuple[Boost, ...]]:
    """Add the boosts of each request to its scores, which are calibrated then; return the boosts.

    Args:
        scores: float32[c] of each request; those with boosts are replaced.
        requests: of a batch.
        candidates: int64[c] of each.
        learned: what a network gave each; None = none scored it.
    """
    boosts: list[tuple[Boost, ...]] = [()] * len(scores)
    for position, request in enumerate(requests):
        if request.rules is not None and request.rules.shifts:
            scores[position], boosts[position] = _boosted(
                scores[position], candidates[position], request.rules.shifts, learned[position]
            )
    return boosts


def _boosted(
    scores: Vector, rows: Rows, shifts: Sequence[Shift], learned: LearnedScore | None
) -> tuple[Vector, tuple[Boost, ...]]:
    calibration = None if learned is None else learned.calibration
    total = scores if calibration is None else calibration.log_odds(scores)
    scale = UNLEARNED_SCALE if learned is None else 1.0
    boosts = []
    for shift in shifts:
        amount = np.float32(scale * shift.amount)
        if shift.failing is None:
            added = np.full(len(rows), amount, np.float32)
        else:
            added = np.where(shift.failing[rows], np.float32(0.0), amount)
        total = total + added
        boosts.append(Boost(shift.rule, added))
    return total, tuple(boosts)
