"""Users in the bundle, as they were when it was built: a read-only `UserStore`.

This module knows the layout of `users.safetensors`. It does not know what histories and attributes
are used for.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.bundle.reader import Bundle, load_arrays
from app.core.bounds import are_below, are_offsets, is_plain
from app.core.errors import BundleError
from app.core.types import Attributes
from app.domain.columns import StringColumn, decode_column, parts_of
from app.domain.named_values import attributes_of

_Lists: TypeAlias = tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]


class BundleUserStore:
    """Read-only histories and attributes over the arrays of a bundle. A `UserStore`.

    Users are sorted by the bytes of their key and found by bisection, so no Python object is needed
    per user. Nothing here blocks: the methods are coroutines because the port says so.
    """

    def __init__(
        self,
        users: Mapping[str, npt.NDArray[Any]],
        item_ids: StringColumn,
        kinds: Mapping[str, str] | None = None,
    ) -> None:
        """Take the arrays of `users.safetensors` and the ids of the catalogue in row order.

        `user/*`: string column of keys, sorted by bytes; `history/offsets` int64[n_users + 1] into
        `history/items` int32: item rows, oldest first, the newest 200 events; `seen/offsets` and
        `seen/items`: the same for rows of older events, each once. Numbers from the catalogue's
        length on count into the string column `unknown/*`, ids that are not in the catalogue.
        `attribute/NAME/*`: a column of the kind that `kinds` says of NAME, a row per user.

        Raises:
            BundleError: arrays are missing or do not fit together.
        """
        self._keys = _strings(users, "user")
        self._unknown = _strings(users, "unknown")
        self._item_ids = item_ids
        self._history = self._lists(users, "history")
        self._older = self._lists(users, "seen")
        self._attributes = {
            name: decode_column(kind, parts_of(users, f"attribute/{name}"))
            for name, kind in (kinds or {}).items()
        }
        if any(len(column) != len(self._keys) for column in self._attributes.values()):
            raise BundleError("the attributes of users in the bundle are inconsistent")

    @classmethod
    def open(cls, bundle: Bundle) -> "BundleUserStore":
        """Open the histories of a verified bundle. Raises `BundleError`."""
        item_ids = _strings(load_arrays(bundle, "items.safetensors"), "id")
        kinds = bundle.manifest.user_attributes
        return cls(load_arrays(bundle, "users.safetensors"), item_ids, kinds)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<BundleUserStore users={len(self)} events={len(self._history[1])}>"

    def key(self, position: int) -> str:
        """Return the key of the user at 0 ≤ `position` < `len(self)`; keys are sorted by bytes."""
        return self._keys.raw(position).decode(errors="surrogatepass")

    async def history(self, user: str) -> tuple[str, ...]:
        """Return ids of the user's positive events, oldest first, newest 200; () if unknown."""
        return tuple(self._ids(self._history, self._row(user.encode(errors="surrogatepass"))))

    async def seen(self, user: str) -> frozenset[str]:
        """Return the ids of all items of the user's positive events; empty if unknown."""
        row = self._row(user.encode(errors="surrogatepass"))
        return frozenset((*self._ids(self._history, row), *self._ids(self._older, row)))

    async def attributes(self, user: str) -> Attributes:
        """Return what is known of a user; () if nothing."""
        if not self._attributes:
            return ()
        row = self._row(user.encode(errors="surrogatepass"))
        return () if row < 0 else self.attributes_at(row)

    def attributes_at(self, position: int) -> Attributes:
        """Return what is known of the user at a position; see `key`."""
        values = {name: column.value(position) for name, column in self._attributes.items()}
        return attributes_of(values)

    def position(self, user: str) -> int:
        """Return the position of a user; -1 if unknown. See `key`."""
        return self._row(user.encode(errors="surrogatepass"))

    def lengths(self) -> npt.NDArray[np.int64]:
        """Return int64[users], a fresh array: how many positive events; of old ones, items."""
        return np.diff(self._history[0]) + np.diff(self._older[0])

    def taken(self) -> Iterator[tuple[str, int]]:
        """Yield the ids of all items that were taken, and how often; of old events, by how many."""
        counts = np.bincount(np.concatenate([self._history[1], self._older[1]]))
        for item in np.flatnonzero(counts).tolist():
            yield self._id(item), int(counts[item])

    async def aclose(self) -> None:
        """Release the arrays; later reads find no user. Idempotent."""
        self._keys = StringColumn(_NOTHING)

    def _row(self, key: bytes) -> int:
        low, high = 0, len(self._keys)
        while low < high:
            middle = (low + high) // 2
            if self._keys.raw(middle) < key:
                low = middle + 1
            else:
                high = middle
        return low if low < len(self._keys) and self._keys.raw(low) == key else -1

    def _lists(self, users: Mapping[str, npt.NDArray[Any]], name: str) -> _Lists:
        """Return offsets and item rows of one list per user, validated."""
        try:
            offsets, items = users[f"{name}/offsets"], users[f"{name}/items"]
        except KeyError as error:
            raise BundleError("the user histories of the bundle are incomplete") from error
        if not are_offsets(offsets, len(items), len(self._keys)) or not is_plain(items, np.int32):
            raise BundleError("the user histories of the bundle are inconsistent")
        if not are_below(items, len(self._item_ids) + len(self._unknown)):
            raise BundleError("the user histories of the bundle name items that do not exist")
        return offsets, items

    def _ids(self, lists: _Lists, row: int) -> list[str]:
        if row < 0:
            return []
        offsets, items = lists
        first, last = offsets[row : row + 2].tolist()
        return [self._id(item) for item in items[first:last].tolist()]

    def _id(self, item: int) -> str:
        n_items = len(self._item_ids)
        column = self._item_ids if item < n_items else self._unknown
        return column.raw(item if item < n_items else item - n_items).decode()


_NOTHING: dict[str, npt.NDArray[Any]] = {
    "data": np.zeros(0, np.uint8),
    "offsets": np.zeros(1, np.int64),
    "present": np.zeros(0, np.uint8),
}


def _strings(arrays: Mapping[str, npt.NDArray[Any]], name: str) -> StringColumn:
    return StringColumn(parts_of(arrays, name))
