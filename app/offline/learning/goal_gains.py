"""What the head of a goal brings, measured on the held-out examples that were taken by the goal."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Matrix, Vector
from app.engine.scoring.modes import Mode
from app.offline.learning.examples import Examples
from app.offline.learning.fusion import Chosen, ndcg_of_lists
from app.offline.metrics.intervals import Estimate, paired_difference

_SEED: Final = 0


@dataclass(frozen=True, slots=True)
class GoalGain:
    """The NDCG@10 of the held-out targets of one goal, in one mode.

    Attributes:
        mode: of the network.
        goal: kind of event.
        n: how many examples.
        plain: in the order of the network.
        difference: by the goal, less the plain one.
    """

    mode: Mode
    goal: str
    n: int
    plain: float
    difference: Estimate

    def __str__(self) -> str:
        by_goal, gain = self.plain + self.difference.value, self.difference
        return (
            f"goal {self.goal}, {self.mode}: NDCG@10 of {self.n:,} held-out examples {by_goal:.4f} "
            f"by the goal, {self.plain:.4f} without; {gain.value:+.4f} "
            f"({gain.low:.4f} to {gain.high:.4f})"
        )

    @property
    def metrics(self) -> dict[str, float]:
        """The figures by their names in a manifest."""
        name = f"{self.mode}_goal_{self.goal}"
        by_goal = self.plain + self.difference.value
        return {f"{name}_ndcg@10": by_goal, f"{name}_plain_ndcg@10": self.plain}


def gains_of(
    mode: Mode, names: Sequence[str], shares: Matrix, examples: Examples, chosen: Chosen
) -> Iterator[GoalGain]:
    """Yield what each head brings, for those goals by which a held-out target was taken.

    `shares`: float32[g, n + 1], of each item, by the events that are not held out.
    """
    for goal, name in enumerate(names):
        plain, by_goal = dict[int, Vector](), dict[int, Vector]()
        for n, scores in chosen.scores.items():
            if examples.taken_by[n] >= 0 and examples.taken_by[n] >> goal & 1:
                rows = examples.rows[examples.offsets[n] : examples.offsets[n + 1]]
                plain[n], by_goal[n] = scores, scores + np.log(shares[goal, rows])
        if plain:
            before, after = ndcg_of_lists(examples, plain), ndcg_of_lists(examples, by_goal)
            difference = paired_difference(after, before, _SEED)
            yield GoalGain(mode, name, len(plain), float(before.mean()), difference)
