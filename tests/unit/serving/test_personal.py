"""Personal answers over fakes: what an event changes, whom it changes it for, what stays cached."""

import asyncio
from typing import Any

import pytest

from app.domain.event_rules import DAY_S, EventRule
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryCache, MemoryUserStore
from tests.clock import Clock
from tests.event_stores import event
from tests.recommender_rig import Rig, rig, settled


async def click(r: Rig, name: str, user: str = "u:ann", **rest: Any) -> None:
    await r.service.users.events.append([event(name, user, time=rest.pop("time", 1e9), **rest)])


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


async def test_a_click_changes_the_very_next_answer_and_only_that_users() -> None:
    async with rig() as r:
        before = await r.get(user_id="ann")
        other = await r.get(user_id="bob")
        nobody = await r.get()
        await click(r, "1", item="i0")
        after = await r.get(user_id="ann")

        assert (ids(before)[0], ids(after)[0]) == ("i0", "i1")
        assert r.asked[-1].history == ("i0",)
        assert after["cache"] == "miss"
        for who, old in (({"user_id": "bob"}, other), ({}, nobody)):
            again = await r.get(**who)
            assert (again["cache"], ids(again)) == ("hit", ids(old))
        assert (await r.get(user_id="ann"))["cache"] == "hit"


@pytest.mark.parametrize("shared", [False, True])
async def test_one_answer_is_kept_per_question_of_a_user(shared: bool) -> None:
    cache = MemoryCache()
    size = 0 if shared else 10_000_000
    async with rig(cache, cache_local_bytes=size) as r:
        for n in range(5):
            await click(r, f"{n}", item=f"i{n}")
            assert (await r.get(user_id="ann"))["cache"] == "miss"
            await settled(lambda: not r.service.recommender._parts.caches._fills)
            assert (await r.get(user_id="ann"))["cache"] == "hit"

        assert len(cache.values) == 1
        outdated = r.metric("cache_reads_total", tier="local", result="outdated")
        assert outdated == (0 if shared else 4)


async def test_an_event_that_says_nothing_still_outdates_the_answer() -> None:
    """A hit needs the very version of the user, whatever changed it."""
    async with rig() as r:
        await r.get(user_id="ann")
        await click(r, "1", kind="impression", item="i0")
        again = await r.get(user_id="ann")

        assert (again["cache"], ids(again)[0]) == ("miss", "i0")


async def test_two_users_of_one_taste_do_not_share_an_answer() -> None:
    async with rig() as r:
        await click(r, "1", item="i0")
        await click(r, "2", "u:bob", item="i0")
        await r.get(user_id="ann")

        assert (await r.get(user_id="bob"))["cache"] == "miss"
        assert (await r.get(session_id="ann"))["cache"] == "miss"


async def test_a_deleted_user_is_a_stranger_at_once_and_for_the_bundle_too() -> None:
    async with rig(users=MemoryUserStore({"u:ann": ["i0"]})) as r:
        await click(r, "1", item="i1")
        assert ids(await r.get(user_id="ann"))[0] == "i2"
        await r.service.users.events.delete("u:ann")
        after = await r.get(user_id="ann")

        assert (ids(after)[0], after["cache"]) == ("i0", "miss")
        assert r.asked[-1].history == ()


async def test_what_was_said_of_an_item_counts_more_than_what_is_stored() -> None:
    async with rig() as r:
        for n, name in enumerate(("i1", "i2", "i3", "i4")):
            await click(r, f"{n}", item=name, kind="dislike")
        await r.get(user_id="ann", like=["i1"], history=["i2"], dislike=["i3", "i9"])

        asked = r.asked[-1]
        assert asked.dislike == ("i4", "i3", "i9")
        assert (asked.like, asked.history) == (("i1",), ("i2",))
        assert (asked.exclude, asked.seen) == ({"i1", "i2", "i3", "i9"}, {"i4"})


@pytest.mark.parametrize(
    ("said", "excluded"),
    [
        ({}, {"taken", "bad", "frozen"}),
        ({"exclude_seen": True}, {"taken", "bad", "frozen"}),
        ({"exclude_seen": False}, {"bad"}),
        ({"repeat": True}, set()),
        ({"repeat": True, "exclude_seen": True}, {"taken", "frozen"}),
        ({"exclude_seen": {"events": ["impression"]}}, {"bad", "shown"}),
        ({"exclude_seen": {"within": "1h"}}, {"bad"}),
        ({"candidates": ["i1"]}, set()),
        ({"candidates": ["i1"], "repeat": False}, {"taken", "bad", "frozen"}),
        ({"candidates": ["i1"], "exclude_seen": {"events": ["impression"]}}, {"shown"}),
        ({"personalize": False}, set()),
    ],
    ids=lambda said: str(sorted(said) if isinstance(said, set) else said),
)
async def test_what_may_not_come_back(said: dict[str, Any], excluded: set[str]) -> None:
    async with rig(users=MemoryUserStore({"u:ann": ["frozen"]})) as r:
        await click(r, "1", item="taken")
        await click(r, "2", item="bad", kind="dislike")
        await click(r, "3", item="shown", kind="impression")
        await r.get(user_id="ann", **said)

        # Where the request says nothing of it, a title in words still finds what was seen.
        explicit = "exclude_seen" in said
        asked = r.asked[-1]
        expected = (excluded, set()) if explicit else (set(), excluded)
        assert (asked.exclude, asked.seen) == expected


async def test_without_personalisation_no_user_state_is_read() -> None:
    events = MemoryEventStore()

    class Watched(MemoryUserStore):
        async def history(self, user: str) -> tuple[str, ...]:
            raise AssertionError("read")

    async with rig(users=Watched({}), events=events) as r:
        plain = await r.get(query="heist")
        answer = await r.get(query="heist", user_id="ann", personalize=False)

    assert events.reads == []
    # Nor does it matter to the cache who asked.
    assert (answer["cache"], ids(answer)) == ("hit", ids(plain))


async def test_an_event_store_that_is_down_costs_the_personal_part_only() -> None:
    events = MemoryEventStore()
    async with rig(users=MemoryUserStore({"u:ann": ["i0"]}), events=events) as r:
        whole = await r.get(user_id="ann")
        events.down = True
        without = await r.get(user_id="ann")
        events.down = False
        again = await r.get(user_id="ann")

    assert (without["degraded"], without["cache"]) == (["user_state"], "bypass")
    # Not even the bundle's history: nobody can tell whether this user was deleted.
    assert (ids(whole)[0], ids(without)[0]) == ("i1", "i0")
    assert (again["cache"], ids(again)) == ("hit", ids(whole))


async def test_an_event_while_its_users_answer_is_computed_is_in_the_next_answer() -> None:
    """What started before the click must not be stored as what comes after it."""
    engine = GatedEngine()
    async with rig(engine=engine) as r:
        engine.hold()
        passes = len(engine.batches)
        early = asyncio.create_task(r.get(user_id="ann"))
        await asyncio.to_thread(engine.wait_entered, passes + 1)
        await click(r, "1", item="i0")
        late = asyncio.create_task(r.get(user_id="ann"))
        engine.release()
        first, second = await asyncio.gather(early, late)

        assert (ids(first)[0], ids(second)[0]) == ("i0", "i1")
        assert ids(await r.get(user_id="ann"))[0] == "i1"


@pytest.mark.parametrize("shared", [False, True])
async def test_an_event_that_fades_outdates_the_answer_and_stays_seen(shared: bool) -> None:
    """Nothing happened but time: what a request means for the user is part of the state."""
    rules = {"click": EventRule(weight=1.0, half_life_days=1.0)}
    size, clock = 0 if shared else 10_000_000, Clock()
    async with rig(MemoryCache(), rules=rules, cache_local_bytes=size, now=clock) as r:
        await click(r, "1", item="i0", time=1e9)
        for age_days, said, word in (
            (3.9, ("i0",), "miss"),
            (4.0, ("i0",), "hit"),
            (4.1, (), "miss"),
            (40.0, (), "hit"),
        ):
            clock.now = 1e9 + age_days * DAY_S
            answer = await r.get(user_id="ann")
            await settled(lambda: not r.service.recommender._parts.caches._fills)

            assert (answer["cache"], ids(answer)[0]) == (word, "i1")
            assert r.asked[-1].history == said
            assert r.asked[-1].seen == {"i0"}


async def test_a_hit_reads_no_more_than_the_version_of_its_user() -> None:
    events = MemoryEventStore()
    async with rig(events=events) as r:
        await click(r, "1", item="i0")
        assert (await r.get(user_id="ann"))["cache"] == "miss"
        assert events.reads == ["u:ann"]
        for _ in range(3):
            assert (await r.get(user_id="ann"))["cache"] == "hit"
        assert events.reads == ["u:ann"]
        await click(r, "2", item="i1")
        answer = await r.get(user_id="ann")
        assert (answer["cache"], ids(answer)[0]) == ("miss", "i2")


async def test_an_item_of_the_history_that_changes_outdates_the_answer() -> None:
    async with rig(users=MemoryUserStore({"u:ann": ["i7"]})) as r:
        first = await r.get(user_id="ann")
        assert "i7" not in ids(first)
        await r.service.catalogue.delete("i200")
        assert (await r.get(user_id="ann"))["cache"] == "hit"
        await r.service.catalogue.delete("i7")
        assert (await r.get(user_id="ann"))["cache"] == "miss"


AGED = (("age", 31.0),)


async def test_attributes_come_from_the_store_else_from_the_bundle_in_the_same_read() -> None:
    events = MemoryEventStore()
    async with rig(users=MemoryUserStore({}, {"u:ann": AGED, "s:ann": AGED}), events=events) as r:

        async def attributes(**said: Any) -> Any:
            before = len(events.reads)
            answer = await r.get(**said)
            assert (answer["cache"], len(events.reads) - before) == ("miss", bool(said))
            return r.asked[-1].attributes

        assert await attributes(user_id="ann") == AGED
        assert await attributes(user_id="bob") == ()
        await events.put_attributes("u:ann", (("country", "NZ"),))
        assert await attributes(user_id="ann") == (("country", "NZ"),)
        await events.put_attributes("u:ann", ())
        assert await attributes(user_id="ann") == ()
        await events.delete("u:ann")
        assert await attributes(user_id="ann") == ()
        assert await attributes() == ()
        assert events.reads == ["u:ann", "u:bob", "u:ann", "u:ann", "u:ann"]


async def test_no_attributes_where_no_state_may_be_read() -> None:
    events = MemoryEventStore()
    async with rig(users=MemoryUserStore({}, {"u:ann": AGED}), events=events) as r:
        await r.get(user_id="ann", personalize=False)
        assert r.asked[-1].attributes == ()
        events.down = True
        assert (await r.get(user_id="ann", query="x"))["degraded"] == ["user_state"]
        assert r.asked[-1].attributes == ()
