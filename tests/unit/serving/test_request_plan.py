"""What a request becomes for the engine and the caches: its intent, its groups, its moment."""

import asyncio
from typing import Any

import orjson
import pytest

from app.core.errors import NotReadyError
from app.core.ranking import RankRequest
from app.core.types import Change
from app.domain.intent import INTENT_OFF, Intent
from app.serving.caching.keys import fingerprint
from app.testing.fakes import GatedEngine, MemoryCache
from tests.api_rig import served
from tests.clock import Clock
from tests.recommender_rig import rig, settled
from tests.redis_rig import RedisRig
from tests.redis_server import RedisServer


async def asked(**said: Any) -> RankRequest:
    """Return what reaches the engine of a request."""
    async with rig() as r:
        await r.get(**said)
        (request,) = r.asked
        assert isinstance(request, RankRequest)
        return request


@pytest.mark.parametrize(
    ("sent", "text"),
    [
        ({}, ""),
        ({"intent": None}, ""),
        ({"intent": True}, ""),
        ({"intent": False}, INTENT_OFF),
        ({"intent": {}}, Intent().text()),
        ({"intent": {"count": 3, "like": [7]}}, Intent(count=3, like=("7",)).text()),
        (
            {"intent": {"filters": {"n": {"lt": 9, "gte": 2}}, "prefers": {"n": {"eq": 3}}}},
            Intent(filters='{"n":{"gte":2,"lt":9}}', prefers='{"n":{"eq":3}}').text(),
        ),
        ({"intent": {"without": [" cafe\u0301  noir "]}}, Intent(without=("café noir",)).text()),
    ],
)
async def test_an_intent_reaches_the_engine_as_one_text(sent: dict[str, Any], text: str) -> None:
    assert (await asked(query="crime", **sent)).intent == text


async def test_what_a_sent_intent_likes_is_left_to_the_engine_to_exclude() -> None:
    assert (await asked(intent={"like": ["i1"]})).exclude == frozenset()


@pytest.mark.parametrize(
    ("said", "repeat"),
    [
        ({}, False),
        ({"repeat": True}, True),
        ({"candidates": ["i1"]}, True),
        ({"candidates": ["i1"], "repeat": False}, False),
    ],
)
async def test_and_the_engine_knows_whether_it_may_come_back(
    said: dict[str, Any], repeat: bool
) -> None:
    assert (await asked(intent={"like": ["i1"]}, **said)).repeat is repeat


@pytest.mark.parametrize(
    ("said", "open_"),
    [
        ({"query": "five films"}, True),
        ({"intent": {"count": 5}}, True),
        ({"query": "five films", "k": 10}, False),
        ({"query": "five films", "candidates": ["i1"]}, False),
        ({"query": "five films", "intent": False}, False),
        ({"user_id": "7"}, False),
    ],
)
async def test_a_query_may_say_how_many_where_the_caller_does_not(
    said: dict[str, Any], open_: bool
) -> None:
    assert (await asked(**said)).k_is_default is open_


async def test_what_fills_up_counts_where_a_filter_or_an_intent_may_leave_too_few() -> None:
    fills = {"on_empty": "popular"}
    assert (await asked(query="a", **fills)).on_empty == "popular"
    assert (await asked(intent={"sort": "newest"}, **fills)).on_empty == "popular"
    assert (await asked(filter={"n": {"gte": 0}}, **fills)).on_empty == "popular"
    assert (await asked(query="a", intent=False, **fills)).on_empty == "none"
    assert (await asked(**fills)).on_empty == "none"


async def test_groups_come_in_one_order_with_all_that_was_shown() -> None:
    async with rig() as r:
        first = await r.get(max_per={"title": 2, "n": 1}, k=3, exclude=["i0"])
        await r.get(max_per={"n": 1, "title": 2}, k=3, cursor=first["next_cursor"])

    one, two = r.asked
    assert one.max_per == two.max_per == (("n", 1), ("title", 2))
    assert (one.shown, two.shown) == ((), ("i1", "i2", "i3"))
    assert two.exclude == {"i1", "i2", "i3"}


@pytest.mark.parametrize(
    ("said", "max_per"),
    [
        ({"query": "a"}, (("title", 1),)),
        ({"user_id": "7"}, (("title", 1),)),
        ({"max_per": {"n": 2}}, (("n", 2),)),
        ({"max_per": {}}, ()),
        ({"candidates": ["i1", "i2"]}, ()),
        ({"candidates": ["i1", "i2"], "max_per": {"title": 1}}, (("title", 1),)),
    ],
    ids=str,
)
async def test_the_default_of_the_recipe_holds_where_a_request_has_none(
    said: dict[str, Any], max_per: tuple[tuple[str, int], ...]
) -> None:
    engine = GatedEngine()
    engine.max_per = (("title", 1),)
    async with rig(engine=engine) as r:
        await r.get(**said)
        assert [request.max_per for request in r.asked] == [max_per]


async def test_the_default_said_by_a_request_is_the_same_request() -> None:
    engine = GatedEngine()
    engine.max_per = (("n", 2), ("title", 1))
    async with rig(engine=engine) as r:
        assert (await r.get(query="a"))["cache"] == "miss"
        assert (await r.get(query="a", max_per={"title": 1, "n": 2}))["cache"] == "hit"
        assert (await r.get(query="a", max_per={}))["cache"] == "miss"


async def test_the_engine_is_told_the_time_which_splits_neither_flights_nor_answers() -> None:
    now = Clock(1000.0)
    async with rig(now=now) as r:
        r.engine.hold()
        first = asyncio.create_task(r.get(query="newest crime"))
        await settled(lambda: len(r.asked) == 1)
        now.advance(1.0)
        second = asyncio.create_task(r.get(query="newest crime"))
        await settled(lambda: r.metric("coalesced_total") == 1)
        r.engine.release()
        assert ((await first)["cache"], (await second)["cache"]) == ("miss", "coalesced")
        now.advance(1.0)
        assert (await r.get(query="newest crime"))["cache"] == "hit"
        await r.get(query="another")

    assert [request.now for request in r.asked] == [1000.0, 1002.0]


@pytest.mark.parametrize("shared", [False, True])
async def test_an_answer_holds_as_long_as_the_words_mean_the_same(shared: bool) -> None:
    now, cache = Clock(1000.0), MemoryCache()
    engine = GatedEngine()
    engine.valid_until = 1500.0
    async with rig(cache, engine=engine, now=now) as r:
        assert (await r.get(query="this week"))["cache"] == "miss"
        now.advance(500.0)
        assert (await r.get(query="this week"))["cache"] == "hit"
        now.advance(1.0)
        engine.valid_until = 2000.0
        if not shared:
            assert (await r.get(query="this week", max_stale_ms=60_000))["cache"] == "miss"
            assert (await r.get(query="this week"))["cache"] == "hit"
    if shared:
        async with rig(cache, now=now) as other:
            assert (await other.get(query="this week"))["cache"] == "miss"


@pytest.mark.parametrize(
    ("said", "after"),
    [
        ({"query": "films"}, "hit"),
        ({"query": "3 films"}, "miss"),
        ({"query": "3 films", "intent": False}, "hit"),
        ({"filter": {"n": {"gte": 1}}}, "miss"),
        ({"max_per": {"title": 1}}, "miss"),
        ({"intent": {"like": ["i98"]}}, "miss"),
        ({"like": ["i98"]}, "hit"),
        ({"like": ["i99"]}, "miss"),
    ],
    ids=str,
)
async def test_a_change_outdates_what_depends_on_it(said: dict[str, Any], after: str) -> None:
    """The item that goes is in none of the answers."""
    async with rig() as r:
        assert (await r.get(**said))["cache"] == "miss"
        r.engine.plan([Change(1, "i99", None)])()
        assert (await r.get(**said))["cache"] == after


async def test_what_another_process_left_in_redis_is_checked_in_the_same_way(
    redis_server: RedisServer,
) -> None:
    now, engine = Clock(1000.0), GatedEngine()
    engine.valid_until = 1500.0

    async def answered() -> list[str]:
        """Return where the answers of a new process come from."""
        async with rig(RedisRig(redis_server.url).cache, engine=engine, now=now) as r:
            return [(await r.get(query=query))["cache"] for query in ("films", "3 films")]

    assert await answered() == ["miss", "miss"]
    now.advance(500.0)
    assert await answered() == ["hit", "hit"]
    engine.plan([Change(1, "i99", None)])()
    assert await answered() == ["hit", "miss"]
    now.advance(1.0)
    assert await answered() == ["miss", "miss"]


@pytest.mark.parametrize(
    ("said", "items", "more"),
    [
        ({"query": "3 films"}, 3, True),
        ({"query": "15 films"}, 15, True),
        ({"query": "50 films", "filter": {"n": {"lt": 20}}}, 20, False),
        ({"query": "3 films", "k": 5}, 5, True),
        ({"intent": {"count": 3}}, 3, True),
        ({"query": "3 films", "intent": False}, 10, True),
    ],
    ids=str,
)
async def test_there_is_a_next_page_where_this_one_is_full(
    said: dict[str, Any], items: int, more: bool
) -> None:
    async with rig() as r:
        answer = await r.get(**said)
        assert (len(answer["items"]), answer["next_cursor"] is not None) == (items, more)


async def test_interpret_asks_the_engine() -> None:
    async with rig() as r:
        text = await r.service.recommender.interpret("3 films")
        assert orjson.loads(text) == orjson.loads(Intent(count=3, residual_text="3 films").text())
        assert r.asked == []


async def test_only_titles_are_looked_up_between_two_passes() -> None:
    async with rig() as r:
        await r.service.batcher.aclose()  # no pass and no call runs any more
        text = await r.service.recommender.interpret("3 films")
        assert orjson.loads(text)["count"] == 3
        with pytest.raises(NotReadyError):
            await r.service.recommender.interpret("like i1")


async def test_a_context_reaches_the_engine_sorted_and_in_buckets() -> None:
    here = {"hour": 14, "device": " phone ", "lat": -36.8485, "new": True, "none": None, "x": " "}
    assert (await asked(query="crime", context=here)).context == (
        ("device", "phone"),
        ("hour", 14.0),
        ("lat", -37.0),
        ("new", True),
    )
    for nothing in ({}, {"context": None}, {"context": {}}, {"context": {"x": ""}}):
        assert (await asked(query="crime", **nothing)).context == ()


async def test_answers_are_shared_within_a_bucket_and_with_no_context_at_all() -> None:
    async with rig() as r:
        sent: list[dict[str, Any] | None] = [
            *({"hour": 14}, {"hour": 14.0}, {"hour": "14"}, {"hour": 15}, {"hour": True}),
            *({"hour": 14.04}, {"hour": 14, "x": None}, {"hour": 14, "x": 1}),
            *({}, None),
        ]
        caches = [(await r.get(query="crime", context=context))["cache"] for context in sent]
        assert caches == [
            *("miss", "hit", "miss", "miss", "miss"),
            *("hit", "hit", "miss"),
            *("miss", "hit"),
        ]


async def test_what_the_engine_does_not_know_splits_no_answers() -> None:
    async with rig() as r:
        assert (await r.get(query="crime", context={"hour": 14}))["cache"] == "miss"
        for more in ({"unknown": 1}, {"unknown": "x"}):
            answer = await r.get(query="crime", context={"hour": 14, **more})
            assert answer["cache"] == "hit"
        assert r.asked[-1].context == (("hour", 14.0),)


async def test_a_request_without_context_has_the_key_that_it_always_had() -> None:
    key = fingerprint(RankRequest(query="crime", k=5), "demo/1", who=("u:ann", "rule"))
    assert orjson.loads(key)[1:] == ["demo/1", ["u:ann", "rule"], "query", "crime", "k", 5]


@pytest.mark.parametrize(
    ("context", "field"),
    [
        ([], "context"),
        ("phone", "context"),
        ({"a": []}, "context.a"),
        ({"a": {}}, "context.a"),
        ({"a": "x" * 257}, "context.a"),
        ({"x" * 65: 1}, "context"),
        ({f"a{n}": n for n in range(17)}, "context"),
    ],
    ids=lambda value: str(value)[:20],
)
async def test_a_wrong_context_is_refused(context: Any, field: str) -> None:
    async with served() as client:
        said = {"query": "crime", "context": context}
        answer = await client.post("/recommend", json=said)
        both = await client.post("/recommend/batch", json={"requests": [said, {"query": "crime"}]})

    assert (answer.status_code, answer.json()["error"]["field"]) == (422, field)
    wrong, right = both.json()["results"]
    assert wrong["error"]["field"] == field
    assert right["items"]
