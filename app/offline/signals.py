"""What an event log says of items and users: weights, popularity, histories.

Knows nothing of files; arrays in, arrays out.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.columns import encode_column, offsets_of
from app.offline.events import Events
from app.offline.recipe import Weight
from app.types import Vector

MAX_HISTORY = 200


def positive_weights(events: Events, weights: Mapping[str, Weight]) -> npt.NDArray[np.float64]:
    """Return float64[n_events]: the weight of each positive event, 0 for every other one.

    A kind without a weight counts nothing.
    """
    of_kind = [weights.get(kind, Weight(weight=0.0)) for kind in events.kinds]
    weight = np.array([max(w.weight, 0.0) for w in of_kind], dtype=np.float64)[events.event]
    least = np.array(
        [np.nan if w.positive_from is None else w.positive_from for w in of_kind], dtype=np.float64
    )[events.event]
    # A comparison with a missing value is false: an event that needs a value has to have one.
    return np.where(np.isnan(least) | (events.value >= least), weight, 0.0)


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


def user_arrays(
    events: Events,
    numbers: npt.NDArray[np.int32],
    weights: npt.NDArray[np.float64],
    unknown: list[str],
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of `users.safetensors`; `app.serving.users.BundleUserStore` reads them.

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


def prefixed(name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays under their tensor names, `<column>/<part>`."""
    return {f"{name}/{part}": array for part, array in arrays.items()}
