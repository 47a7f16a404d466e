"""Every seam of the service as a Protocol, with its contract in the docstring.

Fakes (`app.testing`) and real parts pass the same contract suites in `tests/contract/`.
"""

from collections.abc import Sequence
from typing import Protocol

from app.types import BatchResult, CacheRead, EngineInfo, Item, Matrix, RankRequest


class Encoder(Protocol):
    """Text to vectors.

    `encode` is blocking, called from one thread at a time, deterministic, and does not depend on
    which texts share a call (maximum difference 1e-3). Raises `EngineError`.
    """

    @property
    def id(self) -> str:
        """Name of the model and revision; part of what a bundle is checked against."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    def encode(self, texts: Sequence[str]) -> Matrix:
        """Return float32[len(texts), dim], rows of unit norm, in the order of `texts`."""
        ...


class Engine(Protocol):
    """All model work for a batch of requests as one pure, blocking function.

    `rank` is called from one thread at a time; `cost`, `item` and `info` from any. Same batch,
    same answer: it reads no clock and keeps no state between calls.
    """

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from."""
        ...

    def cost(self, request: RankRequest) -> int:
        """Estimated encoder tokens of a request, ≥ 1. Cheap: it runs on the event loop."""
        ...

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank every request; results keep the order of `batch`. Raises `EngineError`."""
        ...

    def item(self, item_id: str) -> Item | None:
        """Look up one item; None if the catalogue does not hold it."""
        ...

    def close(self) -> None:
        """Free what the engine holds. Idempotent."""
        ...


class Cache(Protocol):
    """A shared store of finished answers. It may forget anything at any time.

    Values come back exactly as they were put, or not at all. No method raises: trouble is a miss,
    reported through `CacheRead.failed` and a metric, and never takes longer than its timeout.
    """

    async def get(self, fingerprint: bytes) -> CacheRead:
        """Return the value stored under exactly this fingerprint, or a miss."""
        ...

    async def put(self, fingerprint: bytes, value: bytes) -> None:
        """Store a value; best effort."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent."""
        ...


class UserStore(Protocol):
    """What users did. Raises `StoreError` where it cannot be read; the answer then says so."""

    async def history(self, user: str) -> tuple[str, ...]:
        """Return ids of the user's positive events, oldest first, newest 200; () if unknown.

        `user` is a key made by `user_key`.
        """
        ...

    async def aclose(self) -> None:
        """Release what the store holds. Idempotent."""
        ...


def user_key(user_id: str | None, session_id: str | None) -> str | None:
    """Return the one key of a user or session; the two never collide. None if neither is given.

    >>> user_key("7", None), user_key(None, "7"), user_key(None, None)
    ('u:7', 's:7', None)
    """
    if user_id is not None:
        return f"u:{user_id}"
    return None if session_id is None else f"s:{session_id}"
