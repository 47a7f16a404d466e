"""The two caches as one: answers that are up to date, and older ones for those who allow it.

A value is kept under what was asked, with the state it was made in: what the catalogue had to offer
and what the user had done. Changes that only take items away, or alter their fields, leave that
state as it is: they outdate the answers that show such an item, and no other. Looked up in this
process first, then where all processes share. Does not know how an answer is made.
"""

import asyncio
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

import orjson

from app.core.ports import Cache, Engine
from app.core.types import Generation
from app.serving.caching.local import LocalCache

_MOST_FILLS: Final = 256
"""Writes to the shared cache under way at once; more are skipped, for a cache may forget."""
_WHERE: Final = struct.Struct(">Qq")
"""`visible_since_seq`, and `moment`, which is negative before 1970."""
_CATALOGUE_SEQ: Final = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class CacheLookup:
    """Which answer is looked for, or put.

    Attributes:
        key: of what was asked.
        generation: of now.
        user_state: what the user had done.
        named: items that the request names: what becomes of them may change its answer.
        least: number of the oldest catalogue that it may have been made from.
    """

    key: bytes
    generation: Generation
    user_state: bytes = b""
    named: Sequence[str] = ()
    min_catalogue_seq: int = 0

    @property
    def state(self) -> bytes:
        """The state that an answer must have been made in."""
        at = self.generation
        return _WHERE.pack(at.visible_since_seq, at.moment) + self.user_state


class Caches:
    """Keeps the tails of answers. All methods belong to one event loop."""

    def __init__(self, local: LocalCache, shared: Cache | None, engine: Engine) -> None:
        """Look into `local`, then `shared`, if there is one; ask `engine` what has changed."""
        self._local, self._shared, self._engine = local, shared, engine
        self._fills: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Caches {self._local!r} fills={len(self._fills)}>"

    async def get(self, lookup: CacheLookup) -> tuple[bytes | None, bool]:
        """Return a tail, or None, and whether the shared cache was in trouble."""
        state, holds = lookup.state, partial(self._holds, lookup)
        value = self._local.get(lookup.key, state, holds)
        if value is not None or self._shared is None:
            return value and value[_CATALOGUE_SEQ.size :], False
        read = await self._shared.get(lookup.key, state)
        if read.value is None or not holds(read.value):
            return None, read.failed
        self._local.put(lookup.key, read.value, state)
        return read.value[_CATALOGUE_SEQ.size :], False

    def stale(self, lookup: CacheLookup, max_age_s: float) -> bytes | None:
        """Return a tail that was made from an older catalogue within so many seconds, or None.

        The user has done nothing since, and of its items none has changed, is gone or hidden: what
        may be missing is what is new or better now.
        """
        found = self._local.peek(lookup.key, max_age_s)
        state = lookup.state
        if found is None or found[_WHERE.size : len(state)] != lookup.user_state:
            return None
        (catalogue_seq,) = _CATALOGUE_SEQ.unpack_from(found, len(state))
        tail = found[len(state) + _CATALOGUE_SEQ.size :]
        items = _items_in(tail)
        if catalogue_seq < lookup.min_catalogue_seq or not self._unchanged(items, catalogue_seq):
            return None
        if not all(map(self._engine.visible, items)):
            return None
        self._local.stale.inc()
        return tail

    def put(self, lookup: CacheLookup, tail: bytes, catalogue_seq: int) -> None:
        """Keep a tail, made from a number of the catalogue; the shared cache gets it in a task."""
        value, state = _CATALOGUE_SEQ.pack(catalogue_seq) + tail, lookup.state
        self._local.put(lookup.key, value, state)
        if self._shared is None or len(self._fills) >= _MOST_FILLS:
            return
        task = asyncio.create_task(self._shared.put(lookup.key, value, state), name="recserve-fill")
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def aclose(self) -> None:
        """Let writes under way end. Idempotent."""
        await asyncio.gather(*self._fills, return_exceptions=True)

    def _holds(self, lookup: CacheLookup, value: bytes) -> bool:
        """Tell whether nothing has happened to what an answer shows, or was asked with."""
        (catalogue_seq,) = _CATALOGUE_SEQ.unpack_from(value)
        if catalogue_seq == lookup.generation.catalogue:
            return True
        # Another bundle, which took over while the shared cache was read, knows other changes.
        if (
            catalogue_seq < lookup.min_catalogue_seq
            or self._engine.info.bundle != lookup.generation.bundle
        ):
            return False
        return self._unchanged(
            (*lookup.named, *_items_in(value[_CATALOGUE_SEQ.size :])), catalogue_seq
        )

    def _unchanged(self, items: Sequence[str], since: int) -> bool:
        return all(self._engine.unchanged(item, since) for item in items)


def _items_in(tail: bytes) -> list[str]:
    return [item["id"] for item in orjson.loads(b"{" + tail)["items"]]
