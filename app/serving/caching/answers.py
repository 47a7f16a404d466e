"""The answer caches, local and shared, behind one interface; with stale answers where allowed.

A value is cached under the fingerprint of its request, together with the state in which it was
made: which items the catalogue offered, and the version of the user. A lookup in another state is a
miss. Changes that only remove items or alter their fields leave the state as it is; they invalidate
only the answers that show such an item or depend on it, or on the whole catalogue. The local cache
is read first, then the shared one. This module does not know how an answer is made.

    value = catalogue_seq (8 bytes) | valid_until (8) | depends_on_catalogue (1)
            | length of ids (4) | ids | tail
"""

import asyncio
import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson

from app.core.ports import Cache, Engine
from app.core.types import Generation
from app.serving.caching.local import LocalCache

_MAX_FILLS: Final = 256
"""Most concurrent writes to the shared cache; further ones are skipped."""
_CATALOGUE_STATE: Final = struct.Struct(">Qq")
"""`visible_since_seq`, and `moment`, which is negative before 1970."""
_HEAD: Final = struct.Struct(">Qd?I")


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """Names the answer to read or to store.

    Attributes:
        key: fingerprint of the request.
        generation: what serves now.
        user_state: digest of the user's version; b"" if no user takes part.
        min_catalogue_seq: number of the oldest catalogue from which the answer may be made.
    """

    key: bytes
    generation: Generation
    user_state: bytes = b""
    min_catalogue_seq: int = 0

    @property
    def state(self) -> bytes:
        """The state in which an answer must have been made."""
        at = self.generation
        return _CATALOGUE_STATE.pack(at.visible_since_seq, at.moment) + self.user_state


@dataclass(frozen=True, slots=True)
class Validity:
    """How long a cached answer holds.

    Attributes:
        catalogue_seq: number of the catalogue from which it was made.
        valid_until: unix seconds after which the same request gets another answer.
        depends_on: ids of items that are not shown but whose change may change the answer.
        depends_on_catalogue: a change of any item may change the answer.
    """

    catalogue_seq: int
    valid_until: float = float("inf")
    depends_on: Sequence[str] = ()
    depends_on_catalogue: bool = False


class Caches:
    """Caches the tails of answers. All methods belong to one event loop."""

    def __init__(
        self,
        local: LocalCache,
        shared: Cache | None,
        engine: Engine,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Look into `local`, then `shared`, if there is one.

        Args:
            local: the cache of this process.
            shared: the cache that all processes share; None = there is none.
            engine: knows which items have changed.
            now: unix seconds.
        """
        self._local, self._shared, self._engine, self._now = local, shared, engine, now
        self._fills: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Caches {self._local!r} fills={len(self._fills)}>"

    async def get(self, lookup: CacheLookup) -> tuple[bytes | None, bool]:
        """Return a tail, or None, and whether the shared cache failed."""
        state, is_valid = lookup.state, partial(self._is_valid, lookup)
        value = self._local.get(lookup.key, state, is_valid)
        if value is not None or self._shared is None:
            return value and _tail_of(value), False
        read = await self._shared.get(lookup.key, state)
        if read.value is None or not is_valid(read.value):
            return None, read.failed
        self._local.put(lookup.key, read.value, state)
        return _tail_of(read.value), False

    def stale(self, lookup: CacheLookup, max_age_s: float) -> bytes | None:
        """Return a tail that is at most `max_age_s` seconds old, perhaps of an older catalogue.

        It is still right in what it shows: the user has done nothing since, and none of its items
        has changed or disappeared. It may lack items that were added or improved since, also where
        it depends on the whole catalogue. None if there is no such tail.
        """
        entry = self._local.peek(lookup.key, max_age_s)
        state = lookup.state
        if entry is None or entry[_CATALOGUE_STATE.size : len(state)] != lookup.user_state:
            return None
        value = entry[len(state) :]
        catalogue_seq, valid_until, _, _ = _HEAD.unpack_from(value)
        tail = _tail_of(value)
        items = _items_in(tail)
        if catalogue_seq < lookup.min_catalogue_seq or self._now() > valid_until:
            return None
        if not self._unchanged(items, catalogue_seq):
            return None
        if not all(map(self._engine.visible, items)):
            return None
        self._local.stale.inc()
        return tail

    def put(self, lookup: CacheLookup, tail: bytes, validity: Validity) -> None:
        """Cache a tail. The write to the shared cache runs in a task.

        Args:
            lookup: its key, and the state in which it was made.
            tail: the part of an answer that is the same for all callers.
            validity: how long it holds.
        """
        ids = "\n".join(validity.depends_on).encode("utf-8", "surrogatepass")
        head = _HEAD.pack(
            validity.catalogue_seq, validity.valid_until, validity.depends_on_catalogue, len(ids)
        )
        value = head + ids + tail
        state = lookup.state
        self._local.put(lookup.key, value, state)
        if self._shared is None or len(self._fills) >= _MAX_FILLS:
            return
        task = asyncio.create_task(self._shared.put(lookup.key, value, state), name="recserve-fill")
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def aclose(self) -> None:
        """Wait for the writes that are running. Idempotent."""
        await asyncio.gather(*self._fills, return_exceptions=True)

    def _is_valid(self, lookup: CacheLookup, value: bytes) -> bool:
        """Return whether the same answer would be made again now."""
        catalogue_seq, valid_until, depends_on_catalogue, _ = _HEAD.unpack_from(value)
        if self._now() > valid_until:
            return False
        if catalogue_seq == lookup.generation.catalogue:
            return True
        if depends_on_catalogue or catalogue_seq < lookup.min_catalogue_seq:
            return False
        # Another bundle may have taken over while the shared cache was read. The engine then knows
        # the changes of that bundle, and not those of the lookup.
        if self._engine.info.bundle != lookup.generation.bundle:
            return False
        items = (*_ids_of(value), *_items_in(_tail_of(value)))
        return self._unchanged(items, catalogue_seq)

    def _unchanged(self, items: Sequence[str], since: int) -> bool:
        return all(self._engine.unchanged(item, since) for item in items)


def _ids_of(value: bytes) -> list[str]:
    length = _HEAD.unpack_from(value)[3]
    ids = value[_HEAD.size : _HEAD.size + length]
    return ids.decode("utf-8", "surrogatepass").split("\n") if ids else []


def _tail_of(value: bytes) -> bytes:
    return value[_HEAD.size + _HEAD.unpack_from(value)[3] :]


def _items_in(tail: bytes) -> list[str]:
    return [item["id"] for item in orjson.loads(b"{" + tail)["items"]]
