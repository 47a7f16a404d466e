"""Learns what people of each kind take, and what is taken at each kind of moment.

A value v of a name (country NZ) lifts an item i where the share of v among those who took i is
above its share π among all:

    lift = log (n_vi + κ π_v) / ((n_i + κ) π_v)

n counts users who took the item, or events for a context. κ is a number of imagined takers, so that
an item that few have taken has a lift near 0. Each name has its own κ, by which the counts are most
likely (each item draws its shares from a Dirichlet distribution of concentration κ). A name that
makes the counts no more likely than shares that are all equal says nothing, and is left out.

Besides, each value has a vector in the space of taste: the mean of what is taken with it, less the
mean of all, shrunk by how far chance alone would take it. It speaks of items that few have taken.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp
from scipy.special import gammaln

from app.core.types import Codes, Matrix, Vector
from app.domain.columns import Floats, offsets_of
from app.engine.catalogue.behaviour import Behaviour
from app.engine.catalogue.side_values import SideValues, SideVocabulary
from app.offline.learning.sequences import Ints, Sequences
from app.offline.learning.sides import StepSides

CONCENTRATIONS: Final = tuple(2.0**power for power in range(17))
"""Values of κ that are tried."""
LEAST_GAIN: Final = 4.0
"""How much more likely, as a logarithm, a name must make the counts to be kept."""
MOST_ITEMS: Final = 1000
"""Items of a value that are kept: those where its lift changes most events."""
MOST_VALUES: Final = 1000
"""Values of one name that are learned of, the most frequent ones."""

Concentrations: TypeAlias = Mapping[tuple[bool, str], float]
"""κ of the names that say something; a name is (whether it is of a context, its text)."""


@dataclass(frozen=True, slots=True)
class _NameCounts:
    """The counts of the v values of one name.

    Attributes:
        key: of `Concentrations`.
        codes: int64[v], in `Sides.attributes` or `Sides.context`.
        counts: [v, n_items], how many took an item.
        independent: float64[v], how many users, or events, the counts come from.
    """

    key: tuple[bool, str]
    codes: Ints
    counts: sp.csr_matrix
    independent: Floats

    @property
    def taken(self) -> Floats:
        """float64[n_items], how many took each item."""
        return np.asarray(self.counts.sum(axis=0), np.float64).ravel()

    @property
    def shares(self) -> Floats:
        """float64[v], of all that was taken."""
        totals = np.asarray(self.counts.sum(axis=1), np.float64).ravel()
        return totals / max(float(totals.sum()), 1.0)


def concentrations_of(
    steps: StepSides, sequences: Sequences, keep: npt.NDArray[np.bool_], n_items: int
) -> Concentrations:
    """Return κ of each name that says something of what is taken.

    Args:
        steps: who and where of all steps.
        sequences: whose steps they are.
        keep: bool[m], which steps are learned from.
        n_items: size of the catalogue.
    """
    found: dict[tuple[bool, str], float] = {}
    for name in _names(steps, sequences, keep, n_items):
        gains = [_likelihood(name, kappa) for kappa in CONCENTRATIONS]
        best = int(np.argmax(gains))
        if gains[best] - _likelihood(name, np.inf) > LEAST_GAIN:
            found[name.key] = CONCENTRATIONS[best]
    return found


def with_values(
    behaviour: Behaviour,
    steps: StepSides,
    sequences: Sequences,
    keep: npt.NDArray[np.bool_],
    concentrations: Concentrations,
) -> Behaviour:
    """Return behaviour with what is learned of the values of the names that say something.

    Args:
        behaviour: learned of the same steps.
        steps: who and where of all steps.
        sequences: whose steps they are.
        keep: bool[m], which steps are learned from.
        concentrations: the names, with κ; without any, the behaviour stays as it is.
    """
    if not concentrations:
        return behaviour
    targets = behaviour.taste.targets
    vocabularies = _vocabularies(steps, concentrations)
    n_values, n_items = sum(map(len, vocabularies)), len(targets)
    kept: list[tuple[npt.NDArray[np.int32], Vector]] = [_nothing() for _ in range(n_values)]
    vectors = np.zeros((n_values, targets.shape[1]), np.float32)
    for name in _names(steps, sequences, keep, n_items):
        if name.key not in concentrations:
            continue
        in_context, _ = name.key
        known = (steps.sides.attributes, steps.sides.context)[in_context].entries
        first = len(vocabularies[0]) if in_context else 0
        at = [first + vocabularies[in_context].code(*known[code]) for code in name.codes.tolist()]
        for code, lifted in zip(at, _lifted(name, concentrations[name.key]), strict=True):
            kept[code] = lifted
        vectors[at] = _vectors(name, targets)
    sides = SideValues(
        attributes=vocabularies[0],
        context=vocabularies[1],
        offsets=offsets_of([len(rows) for rows, _ in kept]),
        rows=np.concatenate([_nothing()[0], *(rows for rows, _ in kept)]),
        lifts=np.concatenate([_nothing()[1], *(lifts for _, lifts in kept)]),
        vectors=vectors,
    )
    return replace(behaviour, sides=sides)


def codes_of(steps: StepSides, sides: SideValues, user: int, step: int) -> Codes:
    """Return int32[s]: the values of a step and its user, by their codes in what was learned."""
    who, where = steps.of_step(user, step)
    attributes, context = steps.sides.attributes.entries, steps.sides.context.entries
    found = [sides.attributes.code(*attributes[code]) for code in who.tolist()]
    later = [sides.context.code(*context[code]) for code in where.tolist()]
    first = len(sides.attributes)
    known = [code for code in found if code >= 0] + [first + code for code in later if code >= 0]
    return np.array(known, np.int32)


def _nothing() -> tuple[npt.NDArray[np.int32], Vector]:
    return np.empty(0, np.int32), np.empty(0, np.float32)


def _vocabularies(
    steps: StepSides, concentrations: Concentrations
) -> tuple[SideVocabulary, SideVocabulary]:
    attributes, context = (
        SideVocabulary(
            entry for entry in vocabulary.entries if (in_context, entry[0]) in concentrations
        )
        for in_context, vocabulary in (
            (False, steps.sides.attributes),
            (True, steps.sides.context),
        )
    )
    return attributes, context


def _names(
    steps: StepSides, sequences: Sequences, keep: npt.NDArray[np.bool_], n_items: int
) -> Iterator[_NameCounts]:
    """Yield the counts of each name that has at least one value."""
    user, _ = sequences.positions()
    user, items = user[keep], sequences.items[keep]
    sides = steps.sides
    takers = _ones(user, items, (len(sequences), n_items))
    takers.data[:] = 1.0  # a user who takes an item again is still one who takes it
    lists = [sides.of_user(code) for code in steps.users.tolist()]
    of_users = _ones(
        np.concatenate([np.empty(0, np.int32), *lists]),
        np.repeat(np.arange(len(lists)), [len(one) for one in lists]),
        (len(sides.attributes), len(sequences)),
    )
    for name, codes in _by_name(sides.attributes):
        some = of_users[codes]
        who = np.asarray(some.sum(axis=1), np.float64).ravel()
        yield _chosen((False, name), codes, (some @ takers).tocsr(), who)
    positions = steps.positions[keep]
    for name, codes in _by_name(sides.context):
        of_steps = sides.of_events(positions, (name,))[:, 0]
        has = of_steps >= 0
        counts = _ones(of_steps[has], items[has], (len(sides.context), n_items))[codes]
        events = np.asarray(counts.sum(axis=1), np.float64).ravel()
        yield _chosen((True, name), codes, counts, events)


def _chosen(
    key: tuple[bool, str], codes: Ints, counts: sp.csr_matrix, independent: Floats
) -> _NameCounts:
    """Return a name without its rarest values, and without those that nothing was taken with."""
    totals = np.asarray(counts.sum(axis=1)).ravel()
    some = np.sort(np.argsort(-totals, kind="stable")[:MOST_VALUES])
    some = some[totals[some] > 0]
    return _NameCounts(key, codes[some], counts[some], independent[some])


def _ones(rows: Codes | Ints, columns: Ints, shape: tuple[int, int]) -> sp.csr_matrix:
    return sp.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=shape)


def _by_name(vocabulary: SideVocabulary) -> list[tuple[str, Ints]]:
    codes: dict[str, list[int]] = {}
    for code, (name, _) in enumerate(vocabulary.entries):
        codes.setdefault(name, []).append(code)
    return [(name, np.array(each, np.int64)) for name, each in codes.items()]


def _likelihood(name: _NameCounts, kappa: float) -> float:
    """Return the logarithm of how likely the counts are, but for what is the same for all κ."""
    counts, shares = name.counts, name.shares
    of_value = np.repeat(shares, np.diff(counts.indptr))
    if np.isinf(kappa):
        return float((counts.data * np.log(of_value)).sum())
    taken = name.taken
    taken = taken[taken > 0]
    items = gammaln(kappa) - gammaln(taken + kappa)
    values = gammaln(counts.data + kappa * of_value) - gammaln(kappa * of_value)
    return float(items.sum() + values.sum())


def _lifted(name: _NameCounts, kappa: float) -> Iterator[tuple[npt.NDArray[np.int32], Vector]]:
    """Yield for each value int32[p] items, ascending, and float32[p] lifts."""
    taken = name.taken
    for row, share in enumerate(name.shares.tolist()):
        counts = name.counts[row].toarray().ravel()
        lifts = np.log((counts + kappa * share) / ((taken + kappa) * share))
        moved = np.maximum(counts, taken * share) * np.abs(lifts)
        best = np.argsort(-moved, kind="stable")[:MOST_ITEMS]
        best = np.sort(best[moved[best] > 0])
        yield best.astype(np.int32), lifts[best].astype(np.float32)


def _vectors(name: _NameCounts, targets: Matrix) -> Matrix:
    """Return float32[v, d], by the estimator of James and Stein (1961)."""
    totals = np.asarray(name.counts.sum(axis=1), np.float64)
    means = (name.counts @ targets) / totals
    overall = name.taken @ targets / max(float(totals.sum()), 1.0)
    beyond = means - overall
    chance = max(1.0 - float(overall @ overall), 0.0) / name.independent
    lengths = np.maximum((beyond**2).sum(axis=1), 1e-12)
    shrunk = beyond * np.maximum(1.0 - chance / lengths, 0.0)[:, None]
    return np.asarray(shrunk, np.float32)


def names_of(concentrations: Concentrations) -> Sequence[str]:
    """Return the names that say something, as words to read."""
    return [f"{'context ' if where else ''}{name}" for where, name in sorted(concentrations)]
