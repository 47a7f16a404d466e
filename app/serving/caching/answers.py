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

from app.core.ports import (
    Cache,
    Engine,
)
from app.core.types import Generation
from app.serving.caching.local import LocalCache

_MOST_FILLS: Final = 256
"""Writes to the shared cache under way at once; more are skipped, for a cache may forget."""
_WHERE: Final = struct.Struct(">QQ")
_MADE_FROM: Final = struct.Struct(">Q")


@dataclass(frozen=True, slots=True)
class Wanted:
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
    least: int = 0

    @property
    def state(self) -> bytes:
        """The state that an answer must have been made in."""
        at = self.generation
        return _WHERE.pack(at.arrival, at.moment) + self.user_state


class Caches:
    """Keeps the tails of answers. All methods belong to one event loop."""

    def __init__(self, local: LocalCache, shared: Cache | None, engine: Engine) -> None:
        """Look into `local`, then `shared`, if there is one; ask `engine` what has changed."""
        self._local, self._shared, self._engine = local, shared, engine
        self._fills: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Caches {self._local!r} fills={len(self._fills)}>"

    async def get(self, wanted: Wanted) -> tuple[bytes | None, bool]:
        """Return a tail, or None, and whether the shared cache was in trouble."""
        state, holds = wanted.state, partial(self._holds, wanted)
        value = self._local.get(wanted.key, state, holds)
        if value is not None or self._shared is None:
            return value and value[_MADE_FROM.size :], False
        read = await self._shared.get(wanted.key, state)
        if read.value is None or not holds(read.value):
            return None, read.failed
        self._local.put(wanted.key, read.value, state)
        return read.value[_MADE_FROM.size :], False

    def stale(self, wanted: Wanted, max_age_s: float) -> bytes | None:
        """Return a tail that was made from an older catalogue within so many seconds, or None.

        The user has done nothing since, and of its items none has changed, is gone or hidden: what
        may be missing is what is new or better now.
        """
        found = self._local.peek(wanted.key, max_age_s)
        state = wanted.state
        if found is None or found[_WHERE.size : len(state)] != wanted.user_state:
            return None
        (made_from,) = _MADE_FROM.unpack_from(found, len(state))
        tail = found[len(state) + _MADE_FROM.size :]
        items = _items_in(tail)
        if made_from < wanted.least or not self._unchanged(items, made_from):
            return None
        if not all(map(self._engine.visible, items)):
            return None
        self._local.stale.inc()
        return tail

    def put(self, wanted: Wanted, tail: bytes, made_from: int) -> None:
        """Keep a tail, made from a number of the catalogue; the shared cache gets it in a task."""
        value, state = _MADE_FROM.pack(made_from) + tail, wanted.state
        self._local.put(wanted.key, value, state)
        if self._shared is None or len(self._fills) >= _MOST_FILLS:
            return
        task = asyncio.create_task(self._shared.put(wanted.key, value, state), name="recserve-fill")
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def aclose(self) -> None:
        """Let writes under way end. Idempotent."""
        await asyncio.gather(*self._fills, return_exceptions=True)

    def _holds(self, wanted: Wanted, value: bytes) -> bool:
        """Tell whether nothing has happened to what an answer shows, or was asked with."""
        (made_from,) = _MADE_FROM.unpack_from(value)
        if made_from == wanted.generation.catalogue:
            return True
        # Another bundle, which took over while the shared cache was read, knows other changes.
        if made_from < wanted.least or self._engine.info.bundle != wanted.generation.bundle:
            return False
        return self._unchanged((*wanted.named, *_items_in(value[_MADE_FROM.size :])), made_from)

    def _unchanged(self, items: Sequence[str], since: int) -> bool:
        return all(self._engine.unchanged(item, since) for item in items)


def _items_in(tail: bytes) -> list[str]:
    return [item["id"] for item in orjson.loads(b"{" + tail)["items"]]
