"""The ports of what is kept: events, users, changes of items, and learned intents.

Real stores and the fakes of `app.testing` pass the same suites in `tests/contract/`. The ports of
model work and caches are in `app.core.ports`.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Final, Protocol

from app.core.caller import scoped
from app.core.errors import StoreFullError
from app.core.types import Attributes, Change, Claim, Event, LearnedIntent, LearnedState, StoredUser

NEWEST_EVENTS: Final = 200
"""At most so many events of each kind are read of a user: the newest."""


MOST_MERGED: Final = 100
"""At most so many sessions that were merged into a user are remembered: the newest."""


MOST_KINDS: Final = 64
"""Events of at most so many kinds are kept of a user: those with the newest events."""

MOST_CHANGED: Final = 1_000_000
"""At most so many items have a change in a journal, deleted ones among them."""


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

    @property
    def alive(self) -> bool:
        """Whether it can ever work again in this process: False once its own thread has died."""
        ...

    async def append(self, events: Sequence[Event]) -> tuple[bool, ...]:
        """Store events, all or none; return for each whether it is new.

        An event whose id is stored already, for any user, is not stored again. Events that
        retention does not keep are dropped, oldest first.
        Of an event that is dropped because there are too many of its kind, the store remembers
        that its item was seen (`SeenItem`), as long as the event's age allows and its user is not
        deleted.
        Of a user with events of more than `MOST_KINDS` kinds, those whose newest event is oldest
        leave, with all that was seen by them; of kinds as old, the first by name. So does a merge.
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

    @property
    def alive(self) -> bool:
        """Whether it can ever work again in this process: False once its own thread has died."""
        ...

    async def append(
        self, changes: Sequence[tuple[str, Mapping[str, object] | None]]
    ) -> tuple[Change, ...]:
        """Store changes, all or none, as (item id, record or None = deleted), in their order.

        They get consecutive numbers. Raises `TypeError` if a record is no JSON, and
        `StoreFullError` if more than `MOST_CHANGED` items would have a change: nothing is written.
        Items that have a change can always be changed again.
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


def journal_full(most_items: int) -> StoreFullError:
    """Return the error of a journal in which `most_items` have a change."""
    return StoreFullError(
        f"{most_items:,} items have changed already: build the catalogue again with them, and "
        "serve it under another name"
    )


def user_key(user_id: str | None, session_id: str | None, namespace: str = "") -> str | None:
    r"""Return the key of a user or a session; no two collide. None if neither is given.

    `namespace`: whose user that is (`app.core.caller`); "" = one of the default namespace.

    >>> user_key("7", None), user_key(None, "7"), user_key(None, None)
    ('u:7', 's:7', None)
    >>> user_key("7", None, "shop")
    'u:shop\x1f7'
    """
    if user_id is not None:
        return f"u:{scoped(namespace, user_id)}"
    return None if session_id is None else f"s:{scoped(namespace, session_id)}"
