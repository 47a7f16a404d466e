"""User state as the bundle froze it: the embedded store until events can be written.

Knows the layout of `users.safetensors`; knows nothing of HTTP, nor of what histories are used for.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from app.bundle.reader import Bundle, load_arrays
from app.core.errors import BundleError
from app.domain.columns import StringColumn


class BundleUserStore:
    """Read-only histories over memory-mapped arrays. Implements the port `UserStore`.

    Users are sorted by the bytes of their key and found by bisection, so that a million of them
    cost no Python object. Nothing here blocks: the awaits only serve the port.
    """

    def __init__(self, users: Mapping[str, npt.NDArray[Any]], item_ids: StringColumn) -> None:
        """Take the arrays of `users.safetensors` and the ids of the catalogue in row order.

        `user/*`: string column of keys, sorted by bytes; `history/offsets` int64[n_users + 1] into
        `history/items` int32: item rows, oldest first; numbers from the catalogue's length on count
        into the string column `unknown/*`, ids that the catalogue does not hold.

        Raises:
            BundleError: arrays are missing or do not fit together.
        """
        self._keys = _strings(users, "user")
        self._unknown = _strings(users, "unknown")
        self._item_ids = item_ids
        try:
            self._offsets, self._items = users["history/offsets"], users["history/items"]
        except KeyError as error:
            raise BundleError("the user histories of the bundle are incomplete") from error
        if len(self._offsets) != len(self._keys) + 1 or self._offsets[-1] != len(self._items):
            raise BundleError("the user histories of the bundle are inconsistent")
        if np.any((self._items < 0) | (self._items >= len(item_ids) + len(self._unknown))):
            raise BundleError("the user histories of the bundle name items that do not exist")

    @classmethod
    def open(cls, bundle: Bundle) -> "BundleUserStore":
        """Open the histories of a verified bundle. Raises `BundleError`."""
        item_ids = _strings(load_arrays(bundle, "items.safetensors"), "id")
        return cls(load_arrays(bundle, "users.safetensors"), item_ids)

    def __len__(self) -> int:
        return len(self._keys)

    def __repr__(self) -> str:
        return f"<BundleUserStore users={len(self)} events={len(self._items)}>"

    def key(self, place: int) -> str:
        """Return the key of one of the users, 0 ≤ `place` < their number, sorted by bytes."""
        return self._keys.raw(place).decode(errors="surrogatepass")

    async def history(self, user: str) -> tuple[str, ...]:
        """Return ids of the user's positive events, oldest first, newest 200; () if unknown."""
        row = self._row(user.encode(errors="surrogatepass"))
        if row < 0:
            return ()
        first, last = self._offsets[row : row + 2].tolist()
        return tuple(self._id(item) for item in self._items[first:last].tolist())

    async def aclose(self) -> None:
        """Release the arrays; later reads know no user. Idempotent."""
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
    prefix = f"{name}/"
    return StringColumn(
        {k.removeprefix(prefix): v for k, v in arrays.items() if k.startswith(prefix)}
    )
