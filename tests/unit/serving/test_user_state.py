"""What a user's events mean for a request."""

import asyncio

import pytest

from app.core.errors import StoreError
from app.core.types import Event, SeenItem, StoredUser
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.domain.request import RecommendRequest, SeenRule
from app.domain.request_parts import MAX_HISTORY
from app.serving.breaker import Breaker
from app.serving.current_engine import CurrentEngine, LoadedBundle
from app.serving.user_state import UserState, UserStates, seen_items, taste_of
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from tests.clock import Clock
from tests.event_stores import NOW, event

RULES = {**DEFAULT_EVENT_RULES, "skip": EventRule(weight=-0.5)}
DAY = 86_400.0


def state(*events: Event, frozen: tuple[str, ...] = (), **stored) -> UserState:
    """A state whose store remembers as seen what the events say."""
    remembered: dict[str, list[SeenItem]] = {}
    for e in events:
        remembered.setdefault(e.kind, []).append(SeenItem(e.item, e.time, e.value))
    return UserState(frozen, StoredUser(b"v", events, seen=remembered, **stored), frozenset(frozen))


def seen(held: UserState, rule: SeenRule) -> frozenset[str]:
    return seen_items(held, rule, RULES, NOW)[0]


def test_history_is_the_bundle_and_then_what_was_done_since() -> None:
    taste = taste_of(
        state(
            event("1", item="c"),
            event("2", item="shown", kind="impression"),
            event("3", item="odd", kind="never heard of"),
            event("4", item="d", kind="rating", value=4.0),
            event("5", item="low", kind="rating", value=2.0),
            event("6", item="unrated", kind="rating"),
            event("7", item="e", kind="purchase"),
            frozen=("a", "b"),
        ),
        RULES,
        NOW,
    )

    assert taste.history == ("a", "b", "c", "d", "e")
    assert taste.disliked == ("low",)


def test_the_newest_event_of_an_item_decides() -> None:
    taste = taste_of(
        state(
            event("1", item="a", kind="dislike"),
            event("2", item="b"),
            event("3", item="a"),
            event("4", item="b", kind="skip"),
            event("5", item="c", kind="skip"),
            event("6", item="a", kind="impression"),
            frozen=("c", "x", "b"),
        ),
        RULES,
        NOW,
    )

    assert taste.history == ("x", "a")
    assert taste.disliked == ("b", "c")


def test_what_is_in_bundle_and_store_counts_where_the_store_has_it() -> None:
    """An event log that was exported and built from would count twice."""
    taste = taste_of(
        state(event("1", item="a"), event("2", item="b"), frozen=("a", "b", "z")), RULES, NOW
    )
    assert taste.history == ("z", "a", "b")


def test_a_repeat_stays_a_repeat_and_the_newest_count() -> None:
    many = [event(f"{n}", item=f"{n % 150}") for n in range(300)]
    taste = taste_of(state(*many, frozen=("old",)), RULES, NOW)
    assert taste.history == tuple(f"{n % 150}" for n in range(100, 300))
    assert len(taste.history) == MAX_HISTORY


FADING = {
    "click": EventRule(weight=1.0, half_life_days=7.0),
    "dislike": EventRule(weight=-1.0, half_life_days=1.0),
    "purchase": EventRule(weight=3.0),
}


def test_after_four_half_lives_an_event_says_nothing() -> None:
    held = state(
        event("1", item="bought", kind="purchase", time=NOW - 4000 * DAY),
        event("2", item="changed", time=NOW - 20 * DAY),
        event("3", item="faded", time=NOW - 28 * DAY - 1),
        event("4", item="last", time=NOW - 28 * DAY),
        event("5", item="changed", kind="dislike", time=NOW - 4 * DAY - 1),
        event("6", item="forgiven", kind="dislike", time=NOW - 4 * DAY - 1),
        event("7", item="bad", kind="dislike", time=NOW - 4 * DAY),
        frozen=("frozen", "faded", "forgiven"),
    )
    taste = taste_of(held, FADING, NOW)

    # The dislike of "changed" has faded before the click, which speaks again.
    # What the store holds of "faded" is also what the bundle holds of it: that has faded too.
    assert taste.history == ("frozen", "bought", "changed", "last")
    assert taste.disliked == ("bad",)
    everything = {"frozen", "faded", "forgiven", "bought", "changed", "last"}
    assert seen_items(held, SeenRule(), FADING, NOW)[0] == everything


SEEN = state(
    event("1", item="old", time=NOW - 40 * DAY),
    event("2", item="new", time=NOW - DAY),
    event("3", item="shown", kind="impression", time=NOW - DAY),
    event("4", item="shown long ago", kind="impression", time=NOW - 40 * DAY),
    event("5", item="bad", kind="dislike", time=NOW),
    frozen=("frozen",),
)


@pytest.mark.parametrize(
    ("rule", "items"),
    [
        (True, {"old", "new", "frozen"}),
        ({}, {"old", "new", "frozen"}),
        (False, set()),
        ({"within": "30d"}, {"new"}),
        ({"within": "6w"}, {"new", "old"}),
        ({"events": ["impression"]}, {"shown", "shown long ago"}),
        ({"events": ["impression", "click"], "within": "720h"}, {"shown", "new"}),
        ({"events": ["impression", "click"], "within": "86400s"}, {"shown", "new"}),
        ({"events": ["impression", "click"], "within": "86399s"}, set()),
        ({"events": ["dislike"], "within": "1m"}, {"bad"}),
        (None, {"old", "new", "frozen"}),
    ],
    ids=lambda said: str(sorted(said) if isinstance(said, set) else said),
)
def test_what_counts_as_seen(rule, items: set[str]) -> None:
    ask = RecommendRequest.model_validate({"exclude_seen": rule})
    assert seen(SEEN, ask.seen) == items


def test_without_a_word_candidates_and_repeat_see_nothing() -> None:
    for said in ({"candidates": ["a"]}, {"repeat": True}):
        assert RecommendRequest.model_validate(said).seen == SeenRule(events=())
    explicit = RecommendRequest.model_validate({"candidates": ["a"], "exclude_seen": True})
    assert explicit.seen == SeenRule()


def states(frozen: dict[str, list[str]], events: MemoryEventStore, **rest) -> UserStates:
    current = CurrentEngine(LoadedBundle(GatedEngine(), MemoryUserStore(frozen), RULES))
    clock = rest.get("clock", Clock())
    breaker = Breaker(3, 2.0, clock)
    return UserStates(current, events, rest.get("timeout_s", 10.0), breaker, clock)


async def test_only_kinds_that_say_something_are_read_unless_asked_for() -> None:
    store = MemoryEventStore()
    await store.append([event("1"), event("2", kind="impression"), event("3", kind="odd")])
    read = states({}, store)

    state = await read.read("u:ann", SeenRule())
    assert [kept.kind for kept in state.stored.events] == ["click"]
    assert [kind for kind, items in state.stored.seen.items() if items] == ["click"]
    named = await read.read("u:ann", SeenRule(events=("impression", "odd")))
    assert [kept.kind for kept in named.stored.events] == ["click"]
    assert {kind: len(items) for kind, items in named.stored.seen.items()} == {
        "impression": 1,
        "odd": 1,
    }
    assert len((await read.read_all("u:ann")).stored.events) == 3


async def test_a_deleted_user_has_no_bundle_history_and_a_merged_session_lends_its_own() -> None:
    store = MemoryEventStore()
    read = states({"u:ann": ["a"], "s:1": ["b"], "s:2": ["c"]}, store)
    assert (await read.read("u:ann", SeenRule())).frozen == ("a",)

    await store.merge("s:1", "u:ann")
    assert (await read.read("u:ann", SeenRule())).frozen == ("a", "b")
    assert (await read.read("s:1", SeenRule())).frozen == ()

    await store.delete("u:ann")
    assert (await read.read("u:ann", SeenRule())).frozen == ()
    await store.merge("s:2", "u:ann")
    assert (await read.read("u:ann", SeenRule())).frozen == ("c",)


async def test_a_store_that_takes_too_long_is_a_store_that_is_down() -> None:
    class Slow(MemoryEventStore):
        async def read(self, user, kinds=None, *, seen=()):
            await asyncio.Event().wait()

        async def version(self, user):
            await asyncio.Event().wait()

    with pytest.raises(StoreError, match="in time"):
        await states({}, Slow(), timeout_s=0.001).read("u:ann", SeenRule())
    with pytest.raises(StoreError, match="in time"):
        await states({}, Slow(), timeout_s=0.001).version("u:ann")


async def test_a_read_takes_at_most_half_of_the_time_that_its_caller_has() -> None:
    class Slow(MemoryEventStore):
        hangs = True

        async def version(self, user):
            if self.hangs:
                await asyncio.Event().wait()
            return b"1"

    store, clock = Slow(), Clock()
    read = states({}, store, clock=clock)
    for _ in range(5):  # more than open the breaker: those who have little time tell it nothing
        async with asyncio.timeout(5):
            with pytest.raises(StoreError, match="in time"):
                await read.version("u:ann", deadline=clock() + 0.002)
    store.hangs = False
    assert await read.version("u:ann", deadline=clock() + 0.002) == b"1"


async def test_a_store_that_failed_is_left_alone_for_a_while_and_then_tried_once() -> None:
    store, clock = MemoryEventStore(), Clock()
    read = states({}, store, clock=clock)
    store.down = True
    for _ in range(3):
        with pytest.raises(StoreError, match="cannot be read or written"):
            await read.version("u:ann")
    store.down = False
    with pytest.raises(StoreError, match="a moment ago"):
        await read.version("u:ann")
    with pytest.raises(StoreError, match="a moment ago"):
        await read.read("u:ann", SeenRule())

    clock.advance(2.0)
    assert await read.version("u:ann") == b""
    assert (await read.read("u:ann", SeenRule())).frozen == ()


async def test_a_caller_who_leaves_says_nothing_of_the_store() -> None:
    class Slow(MemoryEventStore):
        async def version(self, user):
            await asyncio.Event().wait()

    read = states({}, Slow())
    for _ in range(5):
        task = asyncio.create_task(read.version("u:ann"))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()
    assert (await read.read("u:ann", SeenRule())).frozen == ()


@pytest.mark.parametrize(
    ("events", "rule", "valid_until"),
    [
        ((event("1", kind="purchase"),), SeenRule(), float("inf")),
        ((event("1", time=NOW - DAY),), SeenRule(), NOW + 27 * DAY),
        ((event("1", time=NOW - 29 * DAY),), SeenRule(), float("inf")),
        ((event("1", kind="purchase", time=NOW - DAY),), SeenRule(within="2d"), NOW + DAY),
        ((event("1", kind="purchase", time=NOW - 3 * DAY),), SeenRule(within="2d"), float("inf")),
        ((event("1"), event("2", kind="dislike")), SeenRule(), NOW + 4 * DAY),
    ],
)
def test_a_state_says_until_when_it_means_the_same(events, rule, valid_until) -> None:
    held = state(*events)
    until = min(taste_of(held, FADING, NOW).valid_until, seen_items(held, rule, FADING, NOW)[1])
    assert until == pytest.approx(valid_until)


def test_a_rating_is_seen_by_the_highest_it_ever_was() -> None:
    remembered = [SeenItem("a", NOW, 4.0), SeenItem("b", NOW, 3.0), SeenItem("c", NOW)]
    held = UserState(stored=StoredUser(b"v", seen={"rating": remembered}))
    assert seen(held, SeenRule()) == {"a"}
    assert seen(held, SeenRule(events=("rating",))) == {"a", "b", "c"}
