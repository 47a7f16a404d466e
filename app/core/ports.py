"""The ports: one Protocol for each part of the service that can be replaced, with its contract.

Real parts and the fakes of `app.testing` pass the same suites in `tests/contract/`.
"""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Final, Protocol

from app.core.types import (
    Attributes,
    BatchResult,
    CacheRead,
    Change,
    Claim,
    Context,
    EngineInfo,
    Event,
    Facets,
    Item,
    LearnedIntent,
    LearnedState,
    Mask,
    Matrix,
    ModelAnswer,
    ModelQuestion,
    RankRequest,
    StoredUser,
    TextRole,
    Vector,
)

NEWEST_EVENTS: Final = 200
"""At most so many events of each kind are read of a user: the newest."""

MOST_MERGED: Final = 100
"""At most so many sessions that were merged into a user are remembered: the newest."""


class Encoder(Protocol):
    """Turns texts into vectors.

    `encode` blocks, is deterministic, and may be called by several threads at once. A text's vector
    does not depend on the other texts of the call (maximum difference 1e-3). Raises `EngineError`.

    Some models read a query in another way than the text of an item, so `encode` is told which it
    gets. All these vectors are in one space.
    """

    @property
    def id(self) -> str:
        """Name and revision of the model; a bundle is checked against it."""
        ...

    @property
    def dim(self) -> int:
        """Length of a vector."""
        ...

    @property
    def centre(self) -> Vector | None:
        """What the vectors of all texts have in common, float32[dim]; None = nearly nothing.

        `encode` leaves it in. It is taken away before vectors are stored or searched, see
        `app.engine.encoding.text_vectors`.
        """
        ...

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        """Return float32[len(texts), dim], rows of unit norm, in the order of `texts`."""
        ...

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether the encoder knows enough of a text.

        A token that it knows has a letter or a digit and is in the vocabulary. All texts without
        one, or with few of them among many unknown ones, get nearly the same vector, which says
        nothing about them.
        """
        ...


class Engine(Protocol):
    """All model work: it answers a batch of requests in one blocking pass.

    One thread at a time ranks; the other methods may be called from any thread. The same batch gets
    the same answers: an engine reads no clock and keeps no state from one pass to the next.
    """

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from, and how far its catalogue is."""
        ...

    def cost(self, request: RankRequest) -> int:
        """Estimated encoder tokens of a request, ≥ 1. Cheap: it runs on the event loop."""
        ...

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Return the same request with fast encoding; None if that would cost no less. Cheap."""
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

    def check_filter(self, filter_text: str, where: str = "filter") -> None:
        """Raise `InvalidRequestError` for a filter that does not fit the catalogue. Cheap.

        `where`: the field of the request, which the error names.
        """
        ...

    def known_context(self, context: Context) -> Context:
        """Return the part of a context that may change answers, a value in one form. Cheap.

        What it leaves out would only make different requests of those that get the same answer.
        """
        ...

    def item(self, item_id: str) -> Item | None:
        """Return one item; None if it is not in the catalogue."""
        ...

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """Count the values in some fields, of the items that pass a filter ("" = all items).

        `limit`: how many frequent values to return of each field. Called in the thread that
        ranks. Raises `InvalidRequestError`.
        """
        ...

    def interpret(self, query: str, now: float, *, look_up: bool) -> str | None:
        """Return what a query asks for, as `RankResult.intent` says it.

        Args:
            query: the words.
            now: unix seconds.
            look_up: whether the titles that a query names are looked up, which only the thread
                that ranks may do. False = no, and it is cheap enough for the event loop: None
                where the query names titles.
        """
        ...

    def item_of_title(self, title: str) -> str | None:
        """Return the id of the item that a typed title means; None if it means none.

        Called in the thread that ranks.
        """
        ...

    def contains(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue. Cheap: it runs on the event loop."""
        ...

    def visible(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue and may come back. Cheap, as `contains`."""
        ...

    def unchanged(self, item_id: str, since: int) -> bool:
        """Tell whether no change numbered above `since` was applied to an item. Cheap."""
        ...

    def close(self) -> None:
        """Release all resources. Idempotent."""
        ...


class LiveEngine(Engine, Protocol):
    """An engine whose items can change between two passes.

    A change is planned beside the passes and done between two passes. From then on every pass and
    every other method sees the new state. Only one change may be under way at a time.
    """

    @property
    def next_boundary(self) -> float:
        """When the next item becomes visible or invisible by its own times, unix seconds or inf."""
        ...

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return an item as a journal records it (`Change.record`); None if unknown."""
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
        """Make items visible or invisible by their own times. `now`: unix seconds.

        Fast; called in the thread that ranks, between two passes.
        """
        ...


class Cache(Protocol):
    """A shared store of finished answers. It may forget anything at any time.

    A value comes back exactly as it was put, or not at all. No method raises: an error is a miss,
    is reported by `CacheRead.failed` and a metric, and takes no longer than the cache's timeout.
    """

    async def get(self, fingerprint: bytes, state: bytes = b"") -> CacheRead:
        """Return the newest value of a fingerprint if it was put with this `state`, else a miss.

        All states of one fingerprint have the same length.
        """
        ...

    async def put(self, fingerprint: bytes, value: bytes, state: bytes = b"") -> None:
        """Store a value; it replaces any older one of the fingerprint. Best effort."""
        ...

    async def aclose(self) -> None:
        """Release connections. Idempotent."""
        ...


class UserStore(Protocol):
    """What users did before the bundle was built, and who they are.

    Every method raises `StoreError` if the store cannot be read.
    """

    async def history(self, user: str) -> tuple[str, ...]:
        """Return the items of a user's positive events, oldest first, at most the newest 200.

        `user`: a key made by `user_key`. An unknown user has none.
        """
        ...

    async def seen(self, user: str) -> frozenset[str]:
        """Return the ids of all items of the user's positive events; empty if unknown."""
        ...

    async def attributes(self, user: str) -> Attributes:
        """Return what the bundle knows of a user; () if nothing."""
        ...

    async def aclose(self) -> None:
        """Release all resources. Idempotent."""
        ...


class EventStore(Protocol):
    """What users do while the service runs, in one namespace. Several processes may share one.

    A namespace, usually that of a bundle, shares nothing with others in the same store: neither
    users nor ids of events.

    Once an append, merge or deletion has returned, it is durable, and every read that starts later
    sees it, in any process. All users are keys made by `user_key`.

    Every method raises `StoreError` if the store cannot do its work. A write may have happened even
    so; it can be repeated without harm. Writes raise `OverloadedError` if too many are waiting.
    """

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Store events, all or none; return for each whether it is new.

        An event whose id is stored already, for any user, is not stored again. Events that
        retention does not keep are dropped, oldest first.
        Of an event that is dropped because there are too many of its kind, the store remembers
        that its item was seen (`SeenItem`), as long as the event's age allows and its user is not
        deleted.
        """
        ...

    async def version(self, user: str) -> bytes:
        """Return `StoredUser.version` of a user. It costs much less than `read`."""
        ...

    async def read(
        self, user: str, kinds: Sequence[str] | None = None, *, seen: Sequence[str] = ()
    ) -> StoredUser:
        """Return what is held of a user, in one trip.

        Args:
            user: a key made by `user_key`.
            kinds: kinds of which the newest `NEWEST_EVENTS` each are read; None = all.
            seen: kinds of which all items are read that the store remembers.
        """
        ...

    async def merge(self, session: str, user: str) -> int:
        """Move all events of a session to a user, atomically; return how many were moved.

        The session is then deleted and named in the user's `merged`. Repeated, it moves 0.
        """
        ...

    async def delete(self, user: str) -> int:
        """Delete a user at once, return how many events that were. `read` then says `deleted`."""
        ...

    async def undo(self, event_id: str) -> bool:
        """Delete one event, as if it had never been sent; False if none of this id is stored.

        What the store remembers of older events of the same item stays.
        """
        ...

    async def put_attributes(self, user: str, attributes: Attributes) -> None:
        """Store the attributes of a user, in place of all those that were put before.

        They stay until the user is deleted. A merge leaves those of the user as they are.
        """
        ...

    def scan_attributes(self) -> AsyncIterator[list[tuple[str, Attributes]]]:
        """Yield the user key and the attributes of all users of whom some were put, in lists."""
        ...

    async def compact(self) -> int:
        """Drop the events that retention does not keep; return how many that were.

        Afterwards deleted values are no longer in the store's files either.
        """
        ...

    def scan(self) -> AsyncIterator[list[Event]]:
        """Yield all events, in lists; those written meanwhile may be missing or come twice."""
        ...

    async def namespaces(self) -> list[str]:
        """Return the names of all namespaces of the store that hold events, sorted."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release all resources. Idempotent."""
        ...


class Journal(Protocol):
    """The changes of one catalogue while it is served. Several processes may share one.

    It has the namespace of the events.

    Once an append has returned, it is durable, and every read that starts later sees it, in any
    process. Only the newest change of each item is kept, so that a journal has at most one change
    for each item that was ever changed.

    Every method raises `StoreError` if the store cannot do its work. An append may have happened
    even so. It raises `OverloadedError` if too many writes are waiting.
    """

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Store changes, all or none, as (item id, record or None = deleted), in their order.

        They get consecutive numbers. Raises `TypeError` if a record is no JSON: nothing is written.
        """
        ...

    async def after(self, seq: int, limit: int) -> tuple[Change, ...]:
        """Return the stored changes with a number above `seq`, oldest first, at most `limit` ≥ 1.

        If a number is missing, a newer change of the same item has replaced that change. So changes
        up to a number that was read need never be read again.
        """
        ...

    async def newest(self) -> int:
        """Return the highest number that a change ever got; 0 if there was none."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release all resources. Idempotent."""
        ...


class IntentStore(Protocol):
    """What a language model has made of queries, in one namespace. Processes may share one.

    A namespace is a catalogue, a model and a version of the prompt. What is used least leaves: an
    old use counts less than a new one (`app.domain.use_counts`). A write is durable and seen
    everywhere once it has returned.

    Every method raises `StoreError` if the store cannot do its work; writes may have happened even
    so. They raise `OverloadedError` if too many are waiting. `now`: unix seconds.
    """

    async def put(self, words: str, intent: str, now: float, uses: int = 1) -> LearnedIntent:
        """Store what was learned of some words, in place of what was there; end their claim.

        What has not been used for `UNUSED_S`, and what is beyond the bound of the store, leaves.
        """
        ...

    async def remove(self, words: str | None) -> int:
        """Remove what was learned of some words, None = of all; return of how many."""
        ...

    async def after(self, seq: int, limit: int) -> tuple[LearnedIntent, ...]:
        """Return what has a number above `seq`, lowest first, at most `limit` ≥ 1."""
        ...

    async def state(self) -> LearnedState:
        """Return how far it is. Another number of removals: what was read may be gone."""
        ...

    async def count(self, uses: Mapping[str, int], now: float) -> None:
        """Count uses of words; words of which nothing is learned are left out."""
        ...

    async def claim(self, words: str, now: float, lease_s: float, most_per_minute: int) -> Claim:
        """Claim words that are to be asked, for `lease_s` seconds; at most so many a minute."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release all resources. Idempotent."""
        ...


class LanguageModel(Protocol):
    """A language model. It may be slow, down or wrong: what it answers must be checked.

    Calls may run at the same time. None of them occupies the event loop for long.
    """

    async def ask(self, question: ModelQuestion) -> ModelAnswer:
        """Return its answer, within its timeout. Raises `LanguageModelError`."""
        ...

    async def aclose(self) -> None:
        """End the running calls and release all resources; later calls fail. Idempotent."""
        ...


def user_key(user_id: str | None, session_id: str | None) -> str | None:
    """Return the key of a user or a session; the two never collide. None if neither is given.

    >>> user_key("7", None), user_key(None, "7"), user_key(None, None)
    ('u:7', 's:7', None)
    """
    if user_id is not None:
        return f"u:{user_id}"
    return None if session_id is None else f"s:{session_id}"
