"""Who and where in the examples: what is known of each held-out event, and what may be missing.

In serving, some users have a history and nothing else, some are new and known by their country
alone, some are a device and an hour. So the scorer also sees copies of the examples that know less.
"""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from app.core.types import Codes
from app.engine.catalogue.side_values import SideValues
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.fit_sides import codes_of
from app.offline.learning.sequences import Sequences
from app.offline.learning.sides import StepSides

COPIED: Final = 0.15
"""Share of the examples that get a copy without a history, and of those with a copy without all, or
a part, of who and where."""


def with_sides(
    by_step: Iterable[tuple[int, TrainingQuery]],
    sequences: Sequences,
    steps: StepSides,
    sides: SideValues | None,
) -> list[TrainingQuery]:
    """Return queries with the values of those who took their targets, and of where.

    Args:
        by_step: queries behind the steps that took their targets.
        sequences: whose steps these are.
        steps: who and where of all steps.
        sides: what was learned; its codes are used. None = nothing was.
    """
    pairs = list(by_step)
    if sides is None:
        return [query for _, query in pairs]
    users = np.searchsorted(sequences.offsets, [step for step, _ in pairs], "right") - 1
    return [
        replace(query, sides=codes_of(steps, sides, user, step))
        for user, (step, query) in zip(users.tolist(), pairs, strict=True)
    ]


def with_copies(
    queries: Sequence[TrainingQuery], sides: SideValues | None, seed: int
) -> list[TrainingQuery]:
    """Return the queries, and behind them copies that know less; see `COPIED`."""
    if sides is None:
        return list(queries)
    rng = np.random.default_rng(seed)
    drawn, choices = rng.random(len(queries)), rng.integers(0, 6, len(queries))
    copies = []
    for query, chance, choice in zip(queries, drawn.tolist(), choices.tolist(), strict=True):
        if chance >= 2 * COPIED or not query.sides.size:
            continue
        if chance < COPIED:
            known = _parts(query, sides, query.sides)
            copies.append(
                replace(
                    query,
                    recent=query.recent[:0],
                    forgotten=query.hidden,
                    sides=known[choice % len(known)],
                )
            )
        elif query.recent.size:  # else nothing would be left
            known = _parts(query, sides, query.sides[:0])
            copies.append(replace(query, sides=known[choice % len(known)]))
    return [*queries, *copies]


def _parts(query: TrainingQuery, sides: SideValues, first: Codes) -> list[Codes]:
    """Return what a copy may know: `first`, or who alone, or where alone, if both are known."""
    parts = sides.split(query.sides)
    return [first, *parts] if all(part.size for part in parts) else [first]
