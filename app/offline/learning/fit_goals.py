"""Fits the heads of the goals: of what is taken of an item, the share by each kind of event.

A head is a logistic regression over the targets of the held-out events: 1 where the target was
taken by the goal, 0 where it was taken by other kinds only. It reads what is known of the item:

    lift    how much more often than others it was taken by the goal
    item    how popular it is, and where in histories it stands (`item_signals`)

The networks stay as they are, and say how likely it is that a candidate is taken at all. A head
multiplies these odds by a share, as in Ma et al., "Entire Space Multi-Task Model" (2018). All
features of the networks were tried as well and ranked no better; far from the targets such a head
follows no data, and most candidates are far from them (docs/accuracy.md).

How strongly a head is drawn towards a constant share is chosen on validation examples; where
nothing tells better than a constant share, it is one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from app.core.types import Matrix
from app.domain.columns import Floats
from app.engine.catalogue.behaviour import item_signals
from app.engine.scoring.goals import LEAST_SHARE
from app.engine.scoring.modes import Mode
from app.engine.scoring.scorer import CLIP
from app.offline.learning.calibrate import calibrate
from app.offline.learning.examples import Examples
from app.offline.learning.fusion import Chosen
from app.offline.learning.goal_gains import GoalGain, gains_of
from app.offline.learning.sequences import Ints, Sequences
from app.offline.learning.step_goals import StepGoals
from app.offline.learning.train_scorer import Arrays, split

PENALTIES: Final = (1.0, 10.0, 100.0, 1000.0)
"""Ridge penalties that are tried, beside a constant share."""

LEAST_EXAMPLES: Final = 200
"""With fewer examples, the shares are constant."""

_OWN_COUNT: Final = 10.0
"""Takes of an item that count as much for its lift as those of all items."""

_STEPS: Final = 15
_SMALL_STEP: Final = 1e-6
_LEAST: Final = 1e-6


@dataclass(frozen=True, slots=True)
class FittedGoals:
    """The heads of a build.

    Attributes:
        names: of the goals.
        arrays: for `app.engine.scoring.goals.GoalHeads`.
        metrics: what each head brings, by names of a manifest.
        notes: lines to read.
    """

    names: tuple[str, ...]
    arrays: Arrays
    metrics: Mapping[str, float]
    notes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GoalFacts:
    """What heads read of n items; the last of n + 1 columns is of an item that came later.

    Attributes:
        lifts: float32[g, n + 1].
        signals: float32[4, n + 1], as `item_signals` returns them.
    """

    lifts: Matrix
    signals: Matrix

    def columns(self, goal: int) -> Floats:
        """Return float64[n + 1, 5]: what the head of a goal reads of each item."""
        return np.column_stack([self.lifts[goal], *self.signals]).astype(np.float64)


def facts_of(
    goals: StepGoals, sequences: Sequences, held_out: Ints, n_items: int
) -> tuple[GoalFacts, GoalFacts]:
    """Return the facts of the items by the steps that are not held out, and by all steps.

    Args:
        goals: of all steps.
        sequences: whose steps these are.
        held_out: int64[users], how many of the last steps of each user are held out.
        n_items: size of the catalogue.
    """
    inner = sequences.without_last(held_out)
    steps = np.flatnonzero(sequences.before_last(held_out))
    signals = item_signals(inner.items, inner.offsets, n_items + 1)
    before = GoalFacts(lifts_of(goals, steps, n_items + 1), signals)
    everything = np.arange(len(sequences.items))
    signals = item_signals(sequences.items, sequences.offsets, n_items + 1)
    return before, GoalFacts(lifts_of(goals, everything, n_items + 1), signals)


def lifts_of(goals: StepGoals, steps: Ints, n_items: int) -> Matrix:
    """Return float32[g, n_items]: the log odds of each item's share of a goal, less the mean's.

    The share is shrunk towards that of all items. `steps`: int64[s], positions of those that count.
    """
    n_taken, by_goal = goals.counts(steps, n_items)
    mean = ((by_goal.sum(axis=1) + 0.5) / (n_taken.sum() + 1.0))[:, None]
    share = (by_goal + _OWN_COUNT * mean) / (n_taken + _OWN_COUNT)
    lifts: Matrix = (_logit(share) - _logit(mean)).astype(np.float32)
    return lifts


def fit_goals(  # noqa: PLR0913 - each by its name
    goals: StepGoals,
    before: GoalFacts,
    now: GoalFacts,
    *,
    examples: Mapping[Mode, Examples],
    chosen: Mapping[Mode, Chosen],
    seed: int,
) -> FittedGoals:
    """Fit the heads, and calibrate their scores in each mode that has a network.

    Args:
        goals: of the steps of all events.
        before: facts of the items by the steps that are not held out.
        now: by all steps.
        examples: of each mode.
        chosen: the model of each mode.
        seed: of the split into training and validation examples.
    """
    lists = examples["history"]
    known = np.flatnonzero(lists.taken_by >= 0)
    rows, taken_by = lists.rows[lists.offsets[known]], lists.taken_by[known]
    heads = [
        fit_head(before.columns(goal)[rows], (taken_by >> goal & 1).astype(np.float64), seed)
        for goal in range(len(goals.names))
    ]
    arrays = {"shares": _shares(heads, now)}
    shares = _shares(heads, before)
    gains: list[GoalGain] = []
    for mode, model in chosen.items():
        if model.arrays is None:
            continue
        fitted = _calibrations(examples[mode], model, shares)
        arrays |= {f"{mode}/{name}": array for name, array in fitted.items()}
        if len(goals.names) > 1:  # a single goal is what the network has learned
            gains += gains_of(mode, goals.names, shares, examples[mode], model)
    metrics = {k: v for gain in gains for k, v in gain.metrics.items()}
    return FittedGoals(goals.names, arrays, metrics, tuple(map(str, gains)))


@dataclass(frozen=True, slots=True)
class ShareHead:
    """A logistic regression: mean and deviation float64[d] of its inputs, weights [d], and bias."""

    mean: Floats
    deviation: Floats
    weights: Floats
    bias: float

    @property
    def is_constant(self) -> bool:
        """Whether it gives the same share to all."""
        return not self.weights.any()

    def shares(self, columns: Floats) -> Floats:
        """Return float64[n] for float64[n, d]."""
        return _sigmoid(self.inputs(columns) @ self.weights + self.bias)

    def inputs(self, columns: Floats) -> Floats:
        """Return float64[n, d], standardised and clipped."""
        return np.clip((columns - self.mean) / self.deviation, -CLIP, CLIP)


def _shares(heads: Sequence[ShareHead], facts: GoalFacts) -> Matrix:
    """Return float32[g, n + 1], of what is taken of each item, the share by each goal."""
    shares = [head.shares(facts.columns(goal)) for goal, head in enumerate(heads)]
    return np.maximum(np.stack(shares), LEAST_SHARE).astype(np.float32)


def fit_head(columns: Floats, taken: Floats, seed: int) -> ShareHead:
    """Return the head for float64[n, d] facts of targets, and which of them were taken by a goal.

    `taken`: float64[n], 1 or 0.
    """
    n, d = columns.shape
    mean, deviation = np.zeros(d), np.ones(d)
    if n:
        mean, deviation = columns.mean(axis=0), columns.std(axis=0)
    deviation = np.where(deviation > 1e-3 * np.abs(mean) + 1e-9, deviation, 1.0)
    share = (taken.sum() + 0.5) / (n + 1.0)
    constant = ShareHead(mean, deviation, np.zeros(d), float(_logit(np.array(share))))
    if n < LEAST_EXAMPLES:
        return constant
    inputs = constant.inputs(columns)
    training, validation = split(n, seed)
    losses: dict[float | None, float] = {}
    losses[None] = _loss(constant, columns[validation], taken[validation])
    for penalty in PENALTIES:
        head = _fitted(constant, inputs[training], taken[training], penalty)
        losses[penalty] = _loss(head, columns[validation], taken[validation])
    best = min(losses, key=losses.__getitem__)
    return constant if best is None else _fitted(constant, inputs, taken, best)


def _fitted(start: ShareHead, inputs: Floats, taken: Floats, penalty: float) -> ShareHead:
    """Fit a head to float64[n, d] inputs by Newton's method, with a penalty on its weights."""
    ones = np.column_stack([inputs, np.ones(len(inputs))])
    ridge = np.append(np.full(inputs.shape[1], penalty), 1e-6)
    line = np.append(start.weights, start.bias)
    for _ in range(_STEPS):
        shares = _sigmoid(ones @ line)
        gradient = ones.T @ (shares - taken) + ridge * line
        curvature = (ones * (shares * (1.0 - shares))[:, None]).T @ ones + np.diag(ridge)
        step = np.linalg.solve(curvature, gradient)
        line -= step
        if np.abs(step).max() < _SMALL_STEP:
            break
    return replace(start, weights=line[:-1], bias=float(line[-1]))


def _loss(head: ShareHead, columns: Floats, taken: Floats) -> float:
    shares = np.clip(head.shares(columns), _LEAST, 1.0 - _LEAST)
    return float(-(taken * np.log(shares) + (1.0 - taken) * np.log1p(-shares)).mean())


def _calibrations(examples: Examples, chosen: Chosen, shares: Matrix) -> Arrays:
    """Return the arrays of the calibrations of all goals, by the held-out examples of a mode."""
    scored = {n: each for n, each in chosen.scores.items() if examples.taken_by[n] >= 0}
    if not scored:
        plain = chosen.calibration.items()
        return {f"{name}_{goal}": line for name, line in plain for goal in range(len(shares))}
    lists = examples.only(np.array(list(scored), np.int64))
    scores, weights = np.concatenate([*scored.values()]), np.exp(lists.log_weights)
    found = len(examples) / max(examples.n_queries, 1)
    calibrations: Arrays = {}
    for goal, share in enumerate(shares):
        taken = np.zeros(len(scores), np.bool_)
        taken[lists.offsets[:-1]] = lists.taken_by >> goal & 1
        fitted = calibrate(scores + np.log(share[lists.rows]), taken, weights, found)
        calibrations |= {f"{name}_{goal}": array for name, array in fitted.items()}
    return calibrations


def _logit(share: Floats) -> Floats:
    clipped = np.clip(share, _LEAST, 1.0 - _LEAST)
    logits: Floats = np.log(clipped / (1.0 - clipped))
    return logits


def _sigmoid(logits: Floats) -> Floats:
    shares: Floats = 1.0 / (1.0 + np.exp(-logits))
    return shares
