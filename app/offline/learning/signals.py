"""What an event log says of items and users: weights, popularity, histories.

Knows nothing of files; arrays in, arrays out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.types import Vector
from app.domain.columns import Floats, encode_column, offsets_of, prefixed
from app.domain.event_rules import MOST_HALVINGS, EventRule
from app.offline.input.events import Events

MAX_HISTORY = 200

_LAST_HALVING = 40.0
"""From here on a weight halves no more: what was taken stays taken, however long ago."""


def positive_weights(events: Events, weights: Mapping[str, EventRule]) -> npt.NDArray[np.float64]:
    """Return float64[n_events]: the weight of each positive event, 0 for every other one.

    A kind without a weight counts nothing. A weight halves with every half-life of its kind that
    the event is older than the newest one of the log; events without a time do not fade.
    """
    weight, least = _rules(events, weights)
    # A comparison with a missing value is false: an event that needs a value has to have one.
    whole = np.where(np.isnan(least) | (events.value >= least), np.maximum(weight, 0.0), 0.0)
    return whole * np.exp2(-np.minimum(_halvings(events, weights), _LAST_HALVING))


def negative_events(events: Events, weights: Mapping[str, EventRule]) -> npt.NDArray[np.bool_]:
    """Return bool[n_events]: dislikes, and values below what their kind counts as positive.

    Not those that have faded; see `positive_weights`.
    """
    weight, least = _rules(events, weights)
    negative: npt.NDArray[np.bool_] = (weight < 0) | (events.value < least)
    return negative & (_halvings(events, weights) <= MOST_HALVINGS)


def _rules(events: Events, weights: Mapping[str, EventRule]) -> tuple[Floats, Floats]:
    """Return float64[n_events] twice: the weight of each event, and the value it has to reach."""
    of_kind = _of_kinds(events, weights)
    weight = np.array([w.weight for w in of_kind], dtype=np.float64)
    least = [np.nan if w.positive_from is None else w.positive_from for w in of_kind]
    return weight[events.event], np.array(least, dtype=np.float64)[events.event]


def _of_kinds(events: Events, weights: Mapping[str, EventRule]) -> list[EventRule]:
    return [weights.get(kind, EventRule(weight=0.0)) for kind in events.kinds]


def _halvings(events: Events, weights: Mapping[str, EventRule]) -> Floats:
    """Return float64[n_events], the age of each event in half-lives of its kind; 0 = no age."""
    half_life = np.array([w.half_life_s for w in _of_kinds(events, weights)], dtype=np.float64)
    dated = ~np.isnan(events.timestamp)
    if np.isinf(half_life).all() or not dated.any():
        return np.zeros(len(events))
    age = events.timestamp[dated].max() - events.timestamp
    return np.where(dated, age, 0.0) / half_life[events.event]


@dataclass(frozen=True, slots=True)
class Log:
    """An event log beside a catalogue.

    Attributes:
        events: the log.
        numbers: int32[n_events], the row of each event's item; see `item_numbers`.
        unknown: ids that the catalogue does not hold.
        weights: float64[n_events], 0 for events that are not positive.
        avoided: bool[n_events], negative events.
        shown: bool[n_events], events of kinds whose weight is 0: the item was only shown.
    """

    events: Events
    numbers: npt.NDArray[np.int32]
    unknown: list[str]
    weights: npt.NDArray[np.float64]
    avoided: npt.NDArray[np.bool_]
    shown: npt.NDArray[np.bool_]


def log_of(events: Events, ids: list[str], weights: Mapping[str, EventRule]) -> Log:
    """Return a log beside its catalogue, and count in its tally the events that add nothing yet."""
    numbers, unknown = item_numbers(events, ids)
    strange = np.array([kind not in weights for kind in events.kinds], dtype=bool)
    events.tally.noted["unknown_item"] = int(np.count_nonzero(numbers >= len(ids)))
    events.tally.noted["unknown_event"] = int(np.count_nonzero(strange[events.event]))
    positive, negative = positive_weights(events, weights), negative_events(events, weights)
    silent = np.array(
        [kind in weights and weights[kind].weight == 0 for kind in events.kinds], dtype=bool
    )
    return Log(events, numbers, unknown, positive, negative, silent[events.event] & ~negative)


def item_numbers(events: Events, ids: list[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return int32[n_events]: the row of each event's item, and the ids that have none.

    An item that the catalogue does not hold gets len(ids) + its place among the unknown ones.
    """
    row_of = {item: row for row, item in enumerate(ids)}
    unknown = [item for item in events.items if item not in row_of]
    row_of.update((item, len(ids) + place) for place, item in enumerate(unknown))
    numbers = np.array([row_of[item] for item in events.items], dtype=np.int32)
    return numbers[events.item], unknown


def popularity_of(
    numbers: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> Vector:
    """Return float32[n_items] in [0, 1]: log1p(sum of positive weights) / maximum; 0 without any.

    >>> popularity_of(np.array([1, 1, 9], np.int32), np.array([1.0, 2.0, 5.0]), 3).tolist()
    [0.0, 1.0, 0.0]
    """
    known = numbers < n_items
    summed = np.log1p(np.bincount(numbers[known], weights[known], minlength=n_items))
    highest = summed.max(initial=0.0)
    return (summed / highest if highest > 0 else summed).astype(np.float32)


def trending_of(
    events: Events,
    numbers: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    n_items: int,
) -> Vector:
    """Return float32[n_items] in [0, 1]: popularity that halves with age; 0 without times.

    The half-life is the age below which a twentieth of the positive events lies, so that it fits
    a day of news as well as ten years of films.
    """
    timed = np.flatnonzero((weights > 0) & ~np.isnan(events.timestamp))
    if not len(timed):
        return np.zeros(n_items, np.float32)
    age = events.timestamp[timed].max() - events.timestamp[timed]
    half_life = max(float(np.quantile(age, 0.05)), 1.0)
    return popularity_of(numbers[timed], weights[timed] * 0.5 ** (age / half_life), n_items)


def freshness_of(published_at: npt.NDArray[np.float64]) -> Vector:
    """Return float32[n] in [0, 1]: the share of dated items that are older; 0 where undated.

    >>> freshness_of(np.array([3.0, np.nan, 1.0, 3.0])).round(2).tolist()
    [0.33, 0.0, 0.0, 0.33]
    """
    dated = np.sort(published_at[~np.isnan(published_at)])
    older = np.searchsorted(dated, published_at, side="left") / max(len(dated), 1)
    return np.where(np.isnan(published_at), 0.0, older).astype(np.float32)


def user_arrays(
    events: Events,
    numbers: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    unknown: list[str],
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `users.safetensors`, which `BundleUserStore` reads.

    Keys sorted by their bytes. A history holds the items of the user's positive events, oldest
    first by time, then in input order, the newest 200; events without a time count as the oldest.
    """
    keys = sorted(events.users, key=str.encode)
    rank_of = {key: rank for rank, key in enumerate(keys)}
    rank = np.array([rank_of[key] for key in events.users], dtype=np.int64)
    positive = np.flatnonzero(weights > 0)
    user = rank[events.user[positive]]
    time = np.nan_to_num(events.timestamp[positive], nan=-np.inf)
    order = np.lexsort((time, user))  # stable: equal times stay in input order
    user, items = user[order], numbers[positive][order]
    lengths = np.bincount(user, minlength=len(keys))
    from_the_end = offsets_of(lengths)[1:][user] - np.arange(len(user))
    return {
        **prefixed("user", encode_column("string", keys)),
        "history/offsets": offsets_of(np.minimum(lengths, MAX_HISTORY)),
        "history/items": items[from_the_end <= MAX_HISTORY],
        **prefixed("unknown", encode_column("string", unknown)),
    }
