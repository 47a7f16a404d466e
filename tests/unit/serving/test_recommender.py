"""The story of a request over fakes: what is cached, what is shared, what degrades."""

import asyncio
from dataclasses import replace

import orjson
import pytest

from app.core.caller import Caller
from app.core.errors import EngineError, InvalidRequestError, NotReadyError, OverloadedError
from app.core.types import Generation
from app.domain.rule import Rule
from app.serving.current_engine import CurrentEngine
from app.testing.fakes import DownCache, DownUserStore, GatedEngine, MemoryCache, MemoryUserStore
from tests.recommender_rig import ask, begun_ahead, rig, settled


async def test_the_second_identical_answer_is_a_hit_with_a_fresh_head() -> None:
    async with rig() as r:
        first = await r.get(query="heist")
        second = await r.get(query=" heist ")

    assert (first["cache"], second["cache"]) == ("miss", "hit")
    assert first["items"] == second["items"]
    assert first["recommendation_id"] != second["recommendation_id"]
    assert second["timings_ms"]["encode"] == 0.0
    assert len(r.asked) == 1


async def test_the_budget_is_no_part_of_the_key() -> None:
    async with rig() as r:
        await r.get(query="heist", budget_ms=500)

        assert (await r.get(query="heist", budget_ms=900))["cache"] == "hit"


async def test_an_answer_of_another_process_is_a_hit() -> None:
    cache = MemoryCache()
    async with rig(cache) as one:
        await one.get(query="heist")
    async with rig(cache) as other:
        answer = await other.get(query="heist")

    assert (answer["cache"], other.asked) == ("hit", [])


async def test_cache_trouble_is_a_miss_and_a_header() -> None:
    async with rig(DownCache()) as r:
        answer = await r.get(query="heist")

    assert (answer["cache"], answer["x_cache"], answer["degraded"]) == ("miss", "error", [])


async def test_identical_requests_in_flight_share_one_computation() -> None:
    async with rig() as r:
        r.engine.hold()
        waiting = [asyncio.create_task(r.get(query="heist")) for _ in range(50)]
        await settled(lambda: r.metric("coalesced_total") == 49)
        r.engine.release()
        answers = await asyncio.gather(*waiting)

    assert sorted(answer["cache"] for answer in answers) == ["coalesced"] * 49 + ["miss"]
    assert len(r.asked) == 1


async def test_a_leader_that_leaves_does_not_take_followers_along() -> None:
    async with rig() as r:
        r.engine.hold()
        leader = asyncio.create_task(r.get(query="heist"))
        await settled(lambda: len(r.engine.batches) > r.warm_up)
        follower = asyncio.create_task(r.get(query="heist"))
        await settled(lambda: r.metric("coalesced_total") == 1)
        leader.cancel()
        r.engine.release()

        assert (await follower)["cache"] == "coalesced"
    assert len(r.asked) == 1


async def test_stored_events_come_before_the_history_of_the_request() -> None:
    async with rig(users=MemoryUserStore({"u:7": ["i1", "i2"]})) as r:
        answer = await r.get(
            user_id="7", history=["i3"], like=["i4"], dislike=["i5"], exclude=["i0"]
        )

    (request,) = r.asked
    assert request.history == ("i1", "i2", "i3")
    assert request.exclude == {"i0", "i3", "i4", "i5"}
    assert request.seen == {"i1", "i2"}
    assert not (request.exclude | request.seen) & {item["id"] for item in answer["items"]}


async def test_the_newest_two_hundred_of_stored_and_given_history_count() -> None:
    async with rig(users=MemoryUserStore({"s:x": [f"i{n}" for n in range(200)]})) as r:
        await r.get(session_id="x", history=["i250", "i251"])

    assert r.asked[0].history == (*(f"i{n}" for n in range(2, 200)), "i250", "i251")


async def test_repeat_lets_back_what_was_used_but_never_what_is_excluded() -> None:
    async with rig() as r:
        await r.get(history=["i1"], exclude=["i2"], repeat=True)

    assert r.asked[0].exclude == {"i2"}


async def test_history_excludes_no_candidate_unless_repeat_is_false() -> None:
    async with rig() as r:
        await r.get(history=["i1"], candidates=["i1", "i2"])
        await r.get(history=["i1"], candidates=["i1", "i2"], repeat=False)

    assert [(q.exclude, q.k) for q in r.asked] == [(frozenset(), 2), (frozenset({"i1"}), 2)]


async def test_a_store_that_is_down_degrades_and_nothing_is_cached() -> None:
    async with rig(users=DownUserStore()) as r:
        answers = [await r.get(user_id="7", query="heist") for _ in range(2)]
        plain = await r.get(query="heist")

    assert [(a["degraded"], a["cache"]) for a in answers] == [(["user_state"], "bypass")] * 2
    assert (plain["degraded"], plain["cache"]) == ([], "miss")
    assert len(r.asked) == 3
    assert r.metric("degraded_total", reason="user_state") == 2


async def test_an_unknown_field_is_refused_naming_the_fields_there_are() -> None:
    async with rig() as r:
        with pytest.raises(InvalidRequestError, match="there are: n") as caught:
            await r.get(fields=["m"])

    assert caught.value.field == "fields"
    assert r.asked == []


async def test_a_poisonous_request_fails_alone() -> None:
    async with rig() as r:
        r.engine.poison.add("bad")
        r.engine.hold()
        first = asyncio.create_task(r.get(query="first"))
        await settled(lambda: len(r.engine.batches) > r.warm_up)
        rest = [asyncio.create_task(r.get(query=q)) for q in ("a", "bad", "b")]
        await settled(lambda: r.metric("queue_requests") == 3)
        r.engine.release()
        await first
        a, bad, b = await asyncio.gather(*rest, return_exceptions=True)

    assert isinstance(bad, EngineError)
    assert [x["items"][0]["title"] for x in (a, b)] == ["a", "b"]


async def test_an_error_is_not_cached() -> None:
    async with rig(MemoryCache()) as r:
        r.engine.poison.add("bad")
        with pytest.raises(EngineError):
            await r.get(query="bad")
        r.engine.poison.clear()

        assert (await r.get(query="bad"))["cache"] == "miss"


async def test_hits_are_served_while_the_queue_is_full() -> None:
    async with rig(max_pending_requests=1) as r:
        await r.get(query="hot")
        r.engine.hold()
        busy = [asyncio.create_task(r.get(query="running"))]
        await settled(lambda: len(r.engine.batches) > r.warm_up + 1)
        busy.append(await begun_ahead(r, "begun ahead"))
        busy.append(asyncio.create_task(r.get(query="waiting")))
        await settled(lambda: r.metric("queue_requests") == 1)

        with pytest.raises(OverloadedError):
            await r.get(query="one too many")
        assert (await r.get(query="hot"))["cache"] == "hit"
        r.engine.release()
        await asyncio.gather(*busy)


async def test_after_closing_nothing_is_taken() -> None:
    async with rig() as r:
        pass

    with pytest.raises(NotReadyError):
        await r.get(query="late")
    assert r.engine.closed
    assert not r.service.ready


async def test_an_answer_of_another_generation_than_its_key_names_is_not_kept() -> None:
    """Asked while the old bundle served, ranked once the new one had taken over."""
    old, new = GatedEngine(), GatedEngine(bundle="fake/2")
    async with rig(engine=old) as r:
        current = r.service.engine
        assert isinstance(current, CurrentEngine)
        old.hold()
        first = asyncio.create_task(r.get(query="first"))
        await asyncio.to_thread(old.wait_entered, r.warm_up + 1)
        waits = asyncio.create_task(r.get(query="waits"))
        await settled(lambda: "1 waiting" in repr(r.service.batcher))
        before = current.replace(replace(current.loaded, engine=new))
        old.release()

        assert (await first)["generation"]["bundle"] == "fake/1"
        assert (await waits)["generation"]["bundle"] == "fake/2"
        assert (await r.get(query="first"))["cache"] == "miss"
        current.replace(before)
        again = await r.get(query="waits")
        assert (again["cache"], again["generation"]["bundle"]) == ("miss", "fake/1")
        assert (await r.get(query="first"))["cache"] == "hit"
        assert (await r.get(query="waits"))["cache"] == "hit"


async def test_a_page_of_an_old_generation_goes_on_in_the_new_one() -> None:
    async with rig() as r:
        first = await r.get(k=3)
        current = r.service.engine
        assert isinstance(current, CurrentEngine)
        current.replace(replace(current.loaded, engine=GatedEngine(bundle="fake/2")))
        second = await r.get(k=3, cursor=first["next_cursor"])

    assert second["generation"]["bundle"] == "fake/2"
    assert [item["id"] for item in second["items"]] == ["i3", "i4", "i5"]


async def test_an_older_answer_is_for_those_who_allow_it_and_a_new_one_is_made_meanwhile():
    async with rig() as r:
        await r.get(query="a")
        r.engine._generation = Generation("fake/1", 7, visible_since_seq=7)
        old = await r.get(query="a", max_stale_ms=60_000)
        assert (old["cache"], old["x_cache"], old["generation"]["catalogue"]) == ("hit", "stale", 0)
        assert r.metric("cache_reads_total", tier="local", result="stale") == 1
        await settled(lambda: not r.service.recommender._refreshes)
        new = await r.get(query="a", max_stale_ms=60_000)
        assert (new["cache"], new["x_cache"], new["generation"]["catalogue"]) == ("hit", "hit", 7)
        assert len(r.asked) == 2


async def test_a_service_that_stops_refreshes_nothing_any_more():
    async with rig() as r:
        await r.get(query="a")
        r.engine._generation = Generation("fake/1", 7, visible_since_seq=7)
        await r.service.recommender.aclose()
        assert (await r.get(query="a", max_stale_ms=60_000))["x_cache"] == "stale"
        assert not r.service.recommender._refreshes
        assert len(r.asked) == 1


async def test_under_a_rule_that_reads_fields_any_change_ends_an_answer():
    """An item that was blocked may not be any more: nothing in the answer shows it."""
    blocked = Rule.model_validate({"id": "low", "block": {"filter": {"n": {"lt": 2}}}})
    async with rig() as r:
        for rules, after_a_change in (([], "hit"), ([blocked], "miss")):
            if rules:
                await r.service.control.put_rules(rules)
            await r.get(query="a", k=3)
            await r.service.catalogue.delete(f"i{200 + len(rules)}")
            assert (await r.get(query="a", k=3))["cache"] == after_a_change


async def test_who_allows_no_older_answer_gets_none():
    async with rig() as r:
        await r.get(query="a")
        r.engine._generation = Generation("fake/1", 7, visible_since_seq=7)
        assert (await r.get(query="a"))["cache"] == "miss"
        r.engine._generation = Generation("fake/1", 8, visible_since_seq=8)
        asked = await r.get(query="a", max_stale_ms=60_000, min_catalogue=8)
        assert (asked["cache"], asked["generation"]["catalogue"]) == ("miss", 8)


async def test_an_older_answer_is_given_though_there_is_no_time_for_a_new_one():
    async with rig(max_pending_requests=1) as r:
        await r.get(query="a")
        r.engine._generation = Generation("fake/1", 7, visible_since_seq=7)
        r.engine.hold()
        entered = len(r.engine.batches)
        busy = [asyncio.create_task(r.get(query="b"))]
        await settled(lambda: len(r.engine.batches) > entered)
        busy.append(await begun_ahead(r, "begun ahead"))
        busy.append(asyncio.create_task(r.get(query="c")))
        await settled(lambda: r.metric("queue_requests") == 1)
        with pytest.raises(OverloadedError):
            await r.get(query="d")
        assert (await r.get(query="a", max_stale_ms=60_000))["x_cache"] == "stale"
        await settled(lambda: not r.service.recommender._refreshes)
        r.engine.release()
        await asyncio.gather(*busy)
        queries = [request.query for batch in r.engine.batches[entered:] for request in batch]
        assert queries == ["b", "begun ahead", "c"]


async def test_only_so_many_new_answers_are_made_for_nobody():
    async with rig() as r:
        for n in range(20):
            await r.get(query=f"q{n}")
        r.engine._generation = Generation("fake/1", 7, visible_since_seq=7)
        r.engine.hold()
        for n in range(20):
            assert (await r.get(query=f"q{n}", max_stale_ms=60_000))["x_cache"] == "stale"
        assert len(r.service.recommender._refreshes) == 8
        r.engine.release()
        await settled(lambda: not r.service.recommender._refreshes)
        assert len(r.asked) == 20 + 8


async def test_requests_asked_together_go_into_one_batch_and_fail_alone() -> None:
    async with rig() as r:
        cached = await r.get(query="cached")
        batches = len(r.engine.batches)
        asks = [ask(query="one"), ask(query="cached"), ask(fields=["no"]), ask(query="two")]
        asks = [each.model_copy(update={"budget_ms": 10_000}) for each in asks]
        one, hit, wrong, two = await r.service.recommender.recommend_together(asks, Caller())

    assert [[each.query for each in batch] for batch in r.engine.batches[batches:]] == [
        ["one", "two"]
    ]
    assert isinstance(wrong, InvalidRequestError)
    assert [each.x_cache for each in (one, hit, two)] == ["miss", "hit", "miss"]
    assert orjson.loads(hit.body)["items"] == cached["items"]


async def test_draws_join_no_flight_and_each_has_a_seed_of_its_own():
    async with rig() as r:
        r.engine.hold()
        same = [asyncio.create_task(r.get(query="a", explore=0.5, seed=3)) for _ in range(2)]
        drawn = [asyncio.create_task(r.get(query="a", explore=0.5)) for _ in range(2)]
        await asyncio.to_thread(r.engine.wait_entered, r.warm_up + 1)
        r.engine.release()
        answers = await asyncio.gather(*same, *drawn)

    assert [answer["x_cache"] for answer in answers] == ["bypass"] * 4
    assert len(r.asked) == 4
    seeds = [request.seed for request in r.asked]
    assert seeds.count(3) == 2
    assert len(set(seeds)) == 3
    assert r.metric("coalesced_requests_total") == 0
