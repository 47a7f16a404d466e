"""The two caches as one: answers that are up to date, and older ones for those who allow it.

A value is kept under what was asked, with the state it was made in: where the catalogue was, then
what the user had done. Looked up in this process first, then where all processes share. Does not
know how an answer is made.
"""

import asyncio
import struct
from typing import Final

import orjson

from app.ports import Cache, Engine
from app.serving.local_cache import LocalCache
from app.types import Generation

_MOST_FILLS: Final = 256
"""Writes to the shared cache under way at once; more are skipped, for a cache may forget."""
_WHERE: Final = struct.Struct(">QQ")


def state_in(generation: Generation, user_state: bytes) -> bytes:
    """Return the state of an answer: the catalogue that it is made from, and the user's own."""
    return _WHERE.pack(generation.catalogue, generation.moment) + user_state


class Caches:
    """Keeps the tails of answers. All methods belong to one event loop."""

    def __init__(self, local: LocalCache, shared: Cache | None) -> None:
        """Look into `local`, then into `shared`, if there is one."""
        self._local, self._shared = local, shared
        self._fills: set[asyncio.Task[None]] = set()

    def __repr__(self) -> str:
        return f"<Caches {self._local!r} fills={len(self._fills)}>"

    async def get(self, key: bytes, state: bytes) -> tuple[bytes | None, bool]:
        """Return a tail, or None, and whether the shared cache was in trouble."""
        tail = self._local.get(key, state)
        if tail is not None or self._shared is None:
            return tail, False
        read = await self._shared.get(key, state)
        if read.value is not None:
            self._local.put(key, read.value, state)
        return read.value, read.failed

    def stale(
        self, key: bytes, state: bytes, engine: Engine, *, max_age_s: float, catalogue: int
    ) -> bytes | None:
        """Return a tail that was made from an older catalogue, or None.

        The user has done nothing since, and of its items none has changed, is gone or hidden: what
        may be missing is what is new or better now.

        Args:
            key: of what was asked.
            state: that `get` looks for.
            engine: tells what has become of the items.
            max_age_s: seconds since it was put here.
            catalogue: the oldest that it may have been made from.
        """
        found = self._local.peek(key, max_age_s)
        if found is None or found[_WHERE.size : len(state)] != state[_WHERE.size :]:
            return None
        made_from, _ = _WHERE.unpack(found[: _WHERE.size])
        tail = found[len(state) :]
        if made_from < catalogue:
            return None
        items = orjson.loads(b"{" + tail)["items"]
        if not all(engine.unchanged(item["id"], made_from) for item in items):
            return None
        self._local.stale.inc()
        return tail

    def put(self, key: bytes, tail: bytes, state: bytes) -> None:
        """Keep a tail; the shared cache gets it in a task of its own."""
        self._local.put(key, tail, state)
        if self._shared is None or len(self._fills) >= _MOST_FILLS:
            return
        task = asyncio.create_task(self._shared.put(key, tail, state), name="recserve-fill")
        self._fills.add(task)
        task.add_done_callback(self._fills.discard)

    async def aclose(self) -> None:
        """Let writes under way end. Idempotent."""
        await asyncio.gather(*self._fills, return_exceptions=True)
