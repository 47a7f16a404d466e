"""Every seam of the service as a Protocol, with its contract in the docstring.

Fakes (`app.testing.fakes`) and real parts pass the same contract suites in `tests/contract/`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Protocol

from app.core.types import (
    BatchResult,
    CacheRead,
    Change,
    EngineInfo,
    Event,
    Facets,
    Item,
    Mask,
    Matrix,
    RankRequest,
    StoredUser,
)

NEWEST_EVENTS: Final = 200
"""Events of one kind that are read of a user at most."""

MOST_MERGED: Final = 100
"""Sessions that a user is remembered to have been, the newest."""


class Encoder(Protocol):
    """Text to vectors.

    `encode` is blocking, deterministic, and does not depend on which texts share a call (maximum
    difference 1e-3); calls of several threads may overlap. Raises `EngineError`.
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

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether the encoder knows any token of a text.

        Such a token has a letter or a digit and stands in the vocabulary. All texts without one get
        nearly the same vector, which says nothing of them.
        """
        ...


class Engine(Protocol):
    """All model work for a batch of requests as one pure, blocking function.

    `rank` is called from one thread at a time, the others from any. Same batch, same answer: it
    reads no clock and keeps no state between calls.
    """

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from."""
        ...

    def cost(self, request: RankRequest) -> int:
        """Estimated encoder tokens of a request, ≥ 1. Cheap: it runs on the event loop."""
        ...

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Return one that costs less, for much the same list; None if there is none. Cheap."""
        ...

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Do the first half of a pass, encode the queries, and return a call for the second half.

        That call ranks every request, and is made once, in the thread that ranks. Meanwhile
        another thread may prepare the next batch. Both halves raise `EngineError`.
        """
        ...

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Do both halves of a pass: rank every request of a batch. Raises `EngineError`.

        The results keep the order of `batch`. A field that the catalogue does not have is null:
        requests are checked before they wait, and another bundle may have taken over since.
        """
        ...

    def check_filter(self, filter_text: str) -> None:
        """Refuse a filter (as `filter_text` writes it) that `rank` could not take. As cheap.

        Raises `InvalidRequestError`.
        """
        ...

    def item(self, item_id: str) -> Item | None:
        """Look up one item; None if the catalogue does not hold it."""
        ...

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """Count what the items that pass a filter ("" = all) have in some fields.

        `limit`: frequent values named of each. Called where `rank` is. Raises
        `InvalidRequestError`.
        """
        ...

    def holds(self, item_id: str) -> bool:
        """Tell whether the catalogue holds an item. Cheap: it runs on the event loop."""
        ...

    def visible(self, item_id: str) -> bool:
        """Tell whether it holds an item that may come back. Cheap, as `holds`."""
        ...

    def unchanged(self, item_id: str, since: int) -> bool:
        """Tell whether nothing happened to an item since a number of the catalogue. As cheap."""
        ...

    def close(self) -> None:
        """Free what the engine holds. Idempotent."""
        ...


class LiveEngine(Engine, Protocol):
    """An engine whose items can change between two passes.

    A change is planned beside the passes and done between two passes. From then on every pass and
    every other method sees the new state. Only one change may be under way at a time.
    """

    @property
    def next_boundary(self) -> float:
        """When an item becomes visible or invisible by its own times, unix seconds; inf = never."""
        ...

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return what a journal would say of an item as it is; None if unknown."""
        ...

    def plan(self, changes: Sequence[Change], now: float) -> Callable[[], None]:
        """Work out what changes mean, and return a call that makes them.

        Planning may take long and disturbs no pass; it encodes the texts of items whose words
        change. The call is fast; it is made in the thread that ranks, between two passes, and
        before the next `plan` or `merge`. `now`: unix seconds. Raises `EngineError`.
        """
        ...

    def merge(self) -> Callable[[], None] | None:
        """Plan to move all changed items into the main index; None if there are too few of them.

        Used as `plan` is.
        """
        ...

    def advance(self, now: float) -> None:
        """Show and hide what a moment makes visible or not. Fast; called where `rank` is."""
        ...


class Cache(Protocol):
    """A shared store of finished answers. It may forget anything at any time.

    Values come back exactly as they were put, or not at all. No method raises: trouble is a miss,
    reported through `CacheRead.failed` and a metric, and never takes longer than its timeout.
    """

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the value stored last under exactly this fingerprint, or a miss.

        It has to have been stored with this very `state`, whose length goes with the fingerprint.
        """
        ...

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Store a value in place of any older one, whatever the state of that; best effort."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent."""
        ...


class UserStore(Protocol):
    """What users did before the bundle was built. Raises `StoreError` where it cannot be read."""

    async def history(self, user: str) -> tuple[str, ...]:
        """Return ids of the user's positive events, oldest first, newest 200; () if unknown.

        `user` is a key made by `user_key`.
        """
        ...

    async def aclose(self) -> None:
        """Release what the store holds. Idempotent."""
        ...


class EventStore(Protocol):
    """What users do while the service runs. Several processes may share one.

    An append, merge or deletion that returned is durable, and seen by every read that starts
    later, in any process. All users are keys made by `user_key`. Every method raises `StoreError`
    where the store cannot do its work; what it was asked to write may then have happened or not,
    and asking again does no harm. `OverloadedError`: too many writes are waiting.
    """

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Keep events, all or none; tell for each whether it is new.

        An id that is held already, whoever's it is, counts once: the first stays. What retention
        does not keep is dropped, oldest first.
        """
        ...

    async def read(self, user: str, kinds: Sequence[str] | None = None) -> StoredUser:
        """Return a user's newest `NEWEST_EVENTS` of each of `kinds` (None: of all), in one trip."""
        ...

    async def merge(self, session: str, user: str) -> int:
        """Make a session's events those of a user, at one moment; return how many moved.

        The session is then deleted, and named in the user's `merged`; doing it again moves 0.
        """
        ...

    async def delete(self, user: str) -> int:
        """Forget a user at once, return how many events went. `read` then says `deleted`."""
        ...

    async def compact(self) -> int:
        """Drop what retention does not keep, return how many events that were.

        Afterwards deleted values are no longer in the store's files either.
        """
        ...

    def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events, in parts; what is written meanwhile may be missing or there twice."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release everything. Idempotent."""
        ...


class Journal(Protocol):
    """The changes of one catalogue while it is served. Several processes may share one.

    An append that returned is durable, and seen by every read that starts later, in any process.
    Only the newest change of an item is kept, so that a journal is bounded by the items that were
    ever touched. Every method raises `StoreError` where the store cannot do its work; what it was
    asked to append may then be there or not. `OverloadedError`: too many writes are waiting.
    """

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Keep changes, all or none, as (item id, record or None = deleted), in their order.

        They get consecutive numbers. `TypeError`: a record is no JSON; nothing was written.
        """
        ...

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the kept changes with a higher number, oldest first, at most `limit` ≥ 1.

        A number that is missing was followed by a newer change of its item: what has been read up
        to a number needs never be read again.
        """
        ...

    async def newest(self) -> int:
        """Return the highest number ever given, 0 if none."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release everything. Idempotent."""
        ...


def user_key(user_id: str | None, session_id: str | None) -> str | None:
    """Return the one key of a user or session; the two never collide. None if neither is given.

    >>> user_key("7", None), user_key(None, "7"), user_key(None, None)
    ('u:7', 's:7', None)
    """
    if user_id is not None:
        return f"u:{user_id}"
    return None if session_id is None else f"s:{session_id}"
