"""What an event log tells about items and users: weights, popularity, ratings, histories.

The functions take arrays and return arrays; this module does not know files.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from app.core.types import Vector
from app.domain.columns import Floats, encode_column, offsets_of, prefixed
from app.domain.event_rules import MOST_HALVINGS, RATING_KIND, EventRule
from app.offline.input.events import Events
from app.offline.input.users import Users

MAX_HISTORY = 200
"""Events of a user's history that are kept and read, the newest ones."""

_LAST_HALVING = 40.0
"""From here on a weight halves no more: it must stay above 0, or the event would no longer count as
positive."""
_TRENDING_QUANTILE = 0.05


def positive_weights(events: Events, weights: Mapping[str, EventRule]) -> npt.NDArray[np.float64]:
    """Return float64[n_events]: the weight of each positive event, 0 for every other one.

    An event of a kind without a rule has weight 0. A weight halves with every half-life of its kind
    that the event is older than the newest one of the log. Events without a time do not fade.
    """
    weight, threshold = _rules(events, weights)
    # A comparison with a missing value is false: an event that needs a value must have one.
    is_positive = np.isnan(threshold) | (events.value >= threshold)
    unfaded = np.where(is_positive, np.maximum(weight, 0.0), 0.0)
    return unfaded * np.exp2(-np.minimum(_halvings(events, weights), _LAST_HALVING))


def negative_events(events: Events, weights: Mapping[str, EventRule]) -> npt.NDArray[np.bool_]:
    """Return bool[n_events]: dislikes, and values below the threshold of their kind.

    Events that have faded are left out; see `positive_weights`.
    """
    weight, threshold = _rules(events, weights)
    negative: npt.NDArray[np.bool_] = (weight < 0) | (events.value < threshold)
    return negative & (_halvings(events, weights) <= MOST_HALVINGS)


def rating_events(events: Events, weights: Mapping[str, EventRule]) -> npt.NDArray[np.bool_]:
    """Return bool[n_events]: the events whose values are ratings, all of one kind.

    Different kinds may rate on different scales, so one counts: "rating" where such events have
    values, else the kind with a `positive_from` that has the most values.
    """
    rules = _rules_of_kinds(events, weights)
    valued = ~np.isnan(events.value)
    counts = np.bincount(events.event[valued], minlength=len(rules))
    candidates = [
        (kind == RATING_KIND, int(count), code)
        for code, (kind, rule, count) in enumerate(zip(events.kinds, rules, counts, strict=True))
        if count and (kind == RATING_KIND or rule.positive_from is not None)
    ]
    if not candidates:
        return np.zeros(len(events), bool)
    _, _, rating = max(candidates)
    chosen: npt.NDArray[np.bool_] = valued & (events.event == rating)
    return chosen


def _rules(events: Events, weights: Mapping[str, EventRule]) -> tuple[Floats, Floats]:
    """Return float64[n_events] twice: weight, and the value from which an event is positive.

    NaN = the kind needs no value.
    """
    rules = _rules_of_kinds(events, weights)
    weight = np.array([rule.weight for rule in rules], dtype=np.float64)
    threshold = np.array(
        [np.nan if rule.positive_from is None else rule.positive_from for rule in rules],
        dtype=np.float64,
    )
    return weight[events.event], threshold[events.event]


def _rules_of_kinds(events: Events, weights: Mapping[str, EventRule]) -> list[EventRule]:
    return [weights.get(kind, EventRule(weight=0.0)) for kind in events.kinds]


def _halvings(events: Events, weights: Mapping[str, EventRule]) -> Floats:
    """Return float64[n_events], the age of each event in half-lives of its kind; 0 = undated."""
    rules = _rules_of_kinds(events, weights)
    half_life = np.array([rule.half_life_s for rule in rules], dtype=np.float64)
    dated = ~np.isnan(events.timestamp)
    if np.isinf(half_life).all() or not dated.any():
        return np.zeros(len(events))
    age = events.timestamp[dated].max() - events.timestamp
    return np.where(dated, age, 0.0) / half_life[events.event]


@dataclass(frozen=True, slots=True)
class EventLog:
    """An event log together with the rows of its items in a catalogue.

    Attributes:
        events: the log.
        item_rows: int32[n_events], the row of each event's item; see `item_rows_of`.
        unknown_ids: ids of items that the catalogue does not contain.
        weights: float64[n_events], 0 for events that are not positive.
        is_negative: bool[n_events], negative events.
        is_impression: bool[n_events], events of kinds with weight 0: the item was only shown.
        is_rating: bool[n_events], see `rating_events`.
    """

    events: Events
    item_rows: npt.NDArray[np.int32]
    unknown_ids: list[str]
    weights: npt.NDArray[np.float64]
    is_negative: npt.NDArray[np.bool_]
    is_impression: npt.NDArray[np.bool_]
    is_rating: npt.NDArray[np.bool_]


def log_of(events: Events, ids: list[str], weights: Mapping[str, EventRule]) -> EventLog:
    """Return an event log with the rows of a catalogue.

    Its read report counts the events of unknown items and of unknown kinds, which add nothing yet.
    """
    item_rows, unknown_ids = item_rows_of(events, ids)
    is_unknown_kind = np.array([kind not in weights for kind in events.kinds], dtype=bool)
    events.report.noted["unknown_item"] = int(np.count_nonzero(item_rows >= len(ids)))
    events.report.noted["unknown_event"] = int(np.count_nonzero(is_unknown_kind[events.event]))
    counts = np.bincount(events.event, minlength=len(events.kinds)).tolist()
    events.report.note_kinds(dict(zip(events.kinds, counts, strict=True)), weights)
    negative = negative_events(events, weights)
    is_impression_kind = np.array(
        [kind in weights and weights[kind].weight == 0 for kind in events.kinds], dtype=bool
    )
    return EventLog(
        events=events,
        item_rows=item_rows,
        unknown_ids=unknown_ids,
        weights=positive_weights(events, weights),
        is_negative=negative,
        is_impression=is_impression_kind[events.event] & ~negative,
        is_rating=rating_events(events, weights),
    )


def item_rows_of(events: Events, ids: list[str]) -> tuple[npt.NDArray[np.int32], list[str]]:
    """Return int32[n_events]: the row of each event's item, and the ids without a row.

    An item that the catalogue does not contain gets len(ids) + its position among the unknown ids.
    """
    row_of = {item: row for row, item in enumerate(ids)}
    unknown_ids = [item for item in events.items if item not in row_of]
    row_of.update((item, len(ids) + position) for position, item in enumerate(unknown_ids))
    rows = np.array([row_of[item] for item in events.items], dtype=np.int32)
    return rows[events.item], unknown_ids


def popularity_of(
    item_rows: npt.NDArray[np.int32], weights: npt.NDArray[np.float64], n_items: int
) -> Vector:
    """Return float32[n_items] in [0, 1]: log1p(sum of positive weights), divided by the maximum.

    An item without events has 0. The logarithm keeps a few very popular items from making the
    differences between all others vanish.

    >>> popularity_of(np.array([1, 1, 9], np.int32), np.array([1.0, 2.0, 5.0]), 3).tolist()
    [0.0, 1.0, 0.0]
    """
    known = item_rows < n_items
    summed = np.log1p(np.bincount(item_rows[known], weights[known], minlength=n_items))
    highest = summed.max(initial=0.0)
    return (summed / highest if highest > 0 else summed).astype(np.float32)


def trending_of(
    events: Events,
    item_rows: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    n_items: int,
) -> Vector:
    """Return float32[n_items] in [0, 1]: popularity of recent events; 0 without times.

    The weight of an event halves with every half-life of its age. The half-life is the age of the
    newest twentieth of the positive events, so it fits a day of news as well as ten years of films.
    """
    dated = np.flatnonzero((weights > 0) & ~np.isnan(events.timestamp))
    if not len(dated):
        return np.zeros(n_items, np.float32)
    age = events.timestamp[dated].max() - events.timestamp[dated]
    half_life = max(float(np.quantile(age, _TRENDING_QUANTILE)), 1.0)
    return popularity_of(item_rows[dated], weights[dated] * 0.5 ** (age / half_life), n_items)


def rated_of(
    item_rows: npt.NDArray[np.int32], ratings: npt.NDArray[np.float64], n_items: int
) -> Vector | None:
    """Return float32[n_items], the mean rating of each item, NaN = none; None without any rating.

    The mean is shrunk: as if an item had, besides its own ratings, as many of the mean value as a
    rated item has on average. So one rating of five stars does not make an item the best, and an
    item with many ratings keeps its own mean. (The median number of ratings would do less: in a
    catalogue with a long tail it is one or two.)

    >>> rated_of(np.array([0, 0, 1, 9], np.int32), np.array([5.0, 4.0, 3.0, 1.0]), 3).tolist()
    [4.285714149475098, 3.5999999046325684, nan]
    """
    known = item_rows < n_items
    rows, values = item_rows[known], ratings[known]
    if not len(rows):
        return None
    counts = np.bincount(rows, minlength=n_items)
    m, mean = len(rows) / np.count_nonzero(counts), values.mean()
    shrunk = (np.bincount(rows, values, minlength=n_items) + m * mean) / (counts + m)
    return np.where(counts > 0, shrunk, np.nan).astype(np.float32)


def freshness_of(published_at: npt.NDArray[np.float64]) -> Vector:
    """Return float32[n] in [0, 1]: the share of dated items that are older; 0 where undated.

    >>> freshness_of(np.array([3.0, np.nan, 1.0])).tolist()
    [0.5, 0.0, 0.0]
    """
    dated = np.sort(published_at[~np.isnan(published_at)])
    older = np.searchsorted(dated, published_at, side="left") / max(len(dated), 1)
    return np.where(np.isnan(published_at), 0.0, older).astype(np.float32)


def user_arrays(
    events: Events,
    item_rows: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    unknown_ids: list[str],
    users: Users | None = None,
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `users.safetensors`, which `BundleUserStore` reads.

    The users are those of the events and those of `users`, whose attributes are added. Their keys
    are sorted by their bytes. A history contains the items of the user's newest 200 positive
    events, oldest first by time, then in input order. Events without a time count as the oldest.
    `seen` contains the items of older positive events, each once.
    """
    users = Users.none() if users is None else users
    keys = sorted({*events.users, *users.keys}, key=str.encode)
    rank_of = {key: rank for rank, key in enumerate(keys)}
    rank = np.array([rank_of[key] for key in events.users], dtype=np.int64)
    positive = np.flatnonzero(weights > 0)
    user = rank[events.user[positive]]
    time = np.nan_to_num(events.timestamp[positive], nan=-np.inf)
    order = np.lexsort((time, user))  # stable: equal times stay in input order
    user, items = user[order], item_rows[positive][order]
    lengths = np.bincount(user, minlength=len(keys))
    position_from_end = offsets_of(lengths)[1:][user] - np.arange(len(user))
    older = position_from_end > MAX_HISTORY
    seen_user, seen_items = np.unique(np.stack([user[older], items[older]]), axis=1)
    return {
        **prefixed("user", encode_column("string", keys)),
        "history/offsets": offsets_of(np.minimum(lengths, MAX_HISTORY)),
        "history/items": items[~older],
        "seen/offsets": offsets_of(np.bincount(seen_user, minlength=len(keys))),
        "seen/items": seen_items.astype(np.int32),
        **prefixed("unknown", encode_column("string", unknown_ids)),
        **users.arrays(keys),
    }
