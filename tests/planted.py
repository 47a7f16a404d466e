"""Made-up behaviour with a known pattern, and random learned parts, for the tests of learning."""

from dataclasses import replace

import numpy as np

from app.domain.columns import offsets_of
from app.engine.catalogue.behaviour import Behaviour, Neighbours, TasteSpace
from app.engine.catalogue.side_values import SideValues, SideVocabulary
from app.offline.learning.examples import Examples
from app.offline.learning.negatives import Negatives, Skipped
from app.offline.learning.sequences import Sequences

DECAYS = {"sequential_ridge": 0.4, "cooccurrence": 0.6, "content_knn": 0.8}


def ring_walks(n_items, users, *, step=1, seed=0, noise=0.1, lengths=(5, 8)):
    """Walks on a ring: the next item is `step` further, but for a share of jumps anywhere."""
    rng = np.random.default_rng(seed)
    walks = []
    for _ in range(users):
        walk = [int(rng.integers(n_items))]
        for _ in range(int(rng.integers(*lengths)) - 1):
            jumps = rng.random() < noise
            walk.append(int(rng.integers(n_items)) if jumps else (walk[-1] + step) % n_items)
        walks.append(walk)
    return walks


def as_sequences(lists, weights=None):
    """The lists as sequences of users 0, 1, 2 …; every event has weight 1 unless given."""
    items = np.array([item for one in lists for item in one], np.int64)
    weights = np.ones(len(items)) if weights is None else np.array(weights)
    offsets = offsets_of([len(one) for one in lists])
    return Sequences(np.arange(len(lists)), items, weights.astype(np.float32), offsets)


def random_neighbours(rng, n_items, m, padding=None):
    """Up to m neighbours an item, as `app.offline.learning.neighbours` makes them: highest first.

    Some items have none. `padding`: the row in the places that are not needed; None = the item
    itself, which is nobody's neighbour of itself.
    """
    rows = np.repeat(np.arange(n_items, dtype=np.int32)[:, None], m, axis=1)
    if padding is not None:
        rows[:] = padding
    weights = np.zeros((n_items, m), np.float32)
    for item in range(n_items):
        others = np.delete(np.arange(n_items), item)
        size = int(rng.integers(0, m + 1))
        rows[item, :size] = rng.permutation(others)[:size]
        weights[item, :size] = -np.sort(-rng.uniform(0.01, 1.0, size))
    return Neighbours(rows, weights)


def random_space(rng, n_items, dim=8):
    """Unit vectors, and weights that fade."""

    def unit():
        vectors = rng.standard_normal((n_items, dim)).astype(np.float32)
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    return TasteSpace(unit(), unit(), np.exp(-np.arange(20) / 2).astype(np.float32))


def random_behaviour(seed, n_items=40, m=12, padding=None):
    """Everything that `Features` and the sources read, at random."""
    rng = np.random.default_rng(seed)
    tables = {name: random_neighbours(rng, n_items, m, padding) for name in DECAYS}
    items = rng.uniform(0, 3, (4, n_items)).astype(np.float32)
    return Behaviour(tables, DECAYS, random_space(rng, n_items), items)


NOBODY = as_sequences([])
NOTHING = Negatives(NOBODY, Skipped.nothing())


def planted_lists(n=300, seed=0, constant=None):
    """Lists of 5 … 12 candidates; the target has the highest sum of the first two features."""
    rng = np.random.default_rng(seed)
    lists = [rng.standard_normal((rng.integers(5, 13), 4)) for _ in range(n)]
    lists = [one[np.argsort(-(one[:, 0] + one[:, 1]))] for one in lists]
    if constant is not None:
        for one in lists:
            one[:, 3] = constant
    sizes = [len(one) for one in lists]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    features = np.concatenate(lists).astype(np.float16)
    logs, weights = np.zeros(offsets[-1], np.float32), np.ones(n, np.float32)
    gains = np.zeros(offsets[-1], np.float32)
    gains[offsets[:-1]] = 1.0
    kinds = np.zeros(n, np.int8)
    rows, unknown = np.arange(offsets[-1], dtype=np.int32), np.full(n, -1)
    return Examples(features, offsets, logs, gains, kinds, weights, n, 0, rows, unknown)


def firsts(examples, score, shift=0.0):
    """Return the share of lists whose first candidate has the highest score."""
    won = 0
    for start, end in zip(examples.offsets[:-1], examples.offsets[1:], strict=True):
        columns = np.ascontiguousarray(examples.features[start:end].T, np.float32)
        columns[3] += np.float32(shift)
        won += int(np.argmax(score(columns)) == 0)
    return won / len(examples)


def with_random_sides(behaviour, seed=0):
    """The same, and three values of attributes and two of contexts with random lifts."""
    rng = np.random.default_rng(seed)
    n_items, dim = behaviour.taste.targets.shape
    attributes = SideVocabulary([("country", "DE"), ("country", "NZ"), ("likes", "tea")])
    context = SideVocabulary([("hour", "14"), ("hour", "3")])
    sizes = [6, 0, 9, 4, 5]
    rows = [np.sort(rng.permutation(n_items)[:size]) for size in sizes]
    sides = SideValues(
        attributes=attributes,
        context=context,
        offsets=offsets_of(sizes),
        rows=np.concatenate(rows).astype(np.int32),
        lifts=rng.normal(size=sum(sizes)).astype(np.float32),
        vectors=rng.normal(size=(len(sizes), dim)).astype(np.float32),
    )
    return replace(behaviour, sides=sides)
