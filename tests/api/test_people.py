"""Events and users over HTTP: what is kept, what is refused and why, what is known of a user."""

import json
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import people_schemas, schemas
from app.serving.stores.sqlite_store import SqliteEventStore
from app.testing.event_store import MemoryEventStore
from tests.api_rig import served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served() as client:
        yield client


async def send(client: httpx.AsyncClient, *events: Any) -> dict[str, Any]:
    answer = await client.post("/events", json=list(events))
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(people_schemas.EVENTS_ANSWER, answer.json())
    taken: dict[str, Any] = answer.json()
    return taken


async def recommended(client: httpx.AsyncClient, **said: Any) -> list[str]:
    answer = await client.post("/recommend", json={"k": 7, **said})
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


async def user(client: httpx.AsyncClient, name: str) -> dict[str, Any]:
    answer = await client.get(f"/users/{name}")
    assert answer.status_code == 200, answer.text
    jsonschema_rs.validate(people_schemas.USER, answer.json())
    found: dict[str, Any] = answer.json()
    return found


async def test_a_click_is_in_the_very_next_answer(client: httpx.AsyncClient) -> None:
    assert "alien" in await recommended(client, user_id="ann")
    taken = await send(client, {"user_id": "ann", "item_id": "alien"})

    assert taken == {"accepted": 1, "duplicates": 0, "rejected": [], "warnings": []}
    after = await recommended(client, user_id="ann")
    assert "alien" not in after
    assert after[0] in {"star", "robot"}  # space, as that one
    assert "alien" in await recommended(client, user_id="bob")


async def test_a_like_that_is_taken_back_changes_the_very_next_answer(
    client: httpx.AsyncClient,
) -> None:
    before = await recommended(client, user_id="ann")
    await send(client, {"user_id": "ann", "item_id": "alien", "event": "like", "event_id": "a/1"})
    assert "alien" not in await recommended(client, user_id="ann")

    gone = await client.delete("/events/a/1")
    assert (gone.status_code, gone.json()) == (200, {"event_id": "a/1"})
    jsonschema_rs.validate(people_schemas.EVENT_UNDONE, gone.json())
    assert await recommended(client, user_id="ann") == before
    assert (await client.get("/users/ann")).status_code == 404

    again = await client.delete("/events/a/1")
    assert again.status_code == 404
    assert again.json()["error"]["field"] == "event_id"
    assert (await client.delete(f"/events/{'x' * 257}")).status_code == 422


async def test_a_dislike_pushes_away_what_is_like_it(client: httpx.AsyncClient) -> None:
    async def scores() -> dict[str, float]:
        said = {"user_id": "ann", "query": "crime space drama", "k": 7}
        items = (await client.post("/recommend", json=said)).json()["items"]
        return {item["id"]: item["score"] for item in items}

    before = await scores()
    await send(client, {"user_id": "ann", "item_id": "heist", "event": "dislike"})
    after = await scores()

    assert "heist" not in after
    assert after["mob"] < before["mob"]  # crime, as that one
    assert after["robot"] == pytest.approx(before["robot"])  # no word in common


async def test_an_object_with_events_is_the_same_as_an_array(client: httpx.AsyncClient) -> None:
    one = {"user_id": 7, "item_id": "alien", "event_id": 1}
    answer = await client.post("/events", json={"events": [one, {**one, "event_id": 2}]})

    assert answer.json()["accepted"] == 2
    assert (await send(client, one))["duplicates"] == 1


async def test_all_that_was_sent_comes_back(client: httpx.AsyncClient) -> None:
    sent = {
        "user_id": "ann",
        "item_id": "alien",
        "event": "rating",
        "value": 4.5,
        "timestamp": "2026-01-02T03:04:05Z",
        "event_id": "e1",
        "recommendation_id": "r1",
        "query": "space  films",
    }
    await send(client, sent, {"user_id": "ann", "item_id": "star", "timestamp": 1767323045})

    found = await user(client, "ann")
    assert found["events"][1] == {
        **{key: sent[key] for key in sent if key not in {"user_id", "timestamp"}},
        "timestamp": 1767323045.0,
        "query": "space films",
        "context": {},
    }
    assert found["events"][0]["query"] is None
    assert found["history"] == ["alien", "star"]
    assert found["counts"] == {"bundle": 0, "events": {"rating": 1, "click": 1}}


async def test_what_has_no_time_happened_now_and_in_the_order_it_came(
    client: httpx.AsyncClient,
) -> None:
    before = time.time()
    await send(client, *({"user_id": "ann", "item_id": i} for i in ("star", "alien", "robot")))

    found = await user(client, "ann")
    assert found["history"] == ["star", "alien", "robot"]
    assert before <= found["events"][0]["timestamp"] <= time.time()
    assert len({event["event_id"] for event in found["events"]}) == 3


GOOD = {"user_id": "ann", "item_id": "alien"}


@pytest.mark.parametrize(
    ("event", "field"),
    [
        (1, None),
        (None, None),
        ([], None),
        ("x", None),
        ({}, "item_id"),
        ({"user_id": "ann"}, "item_id"),
        ({"item_id": "alien"}, "user_id"),
        ({**GOOD, "session_id": "s"}, "user_id"),
        ({**GOOD, "user_id": ""}, "user_id"),
        ({**GOOD, "user_id": "a\n"}, "user_id"),
        ({**GOOD, "user_id": True}, "user_id"),
        ({**GOOD, "user_id": 1.5}, "user_id"),
        ({**GOOD, "user_id": "x" * 257}, "user_id"),
        ({**GOOD, "item_id": None}, "item_id"),
        ({**GOOD, "item_id": ["alien"]}, "item_id"),
        ({**GOOD, "event": "x" * 65}, "event"),
        ({**GOOD, "event": 1}, "event"),
        ({**GOOD, "event": "a\x00"}, "event"),
        ({**GOOD, "value": "much"}, "value"),
        ({**GOOD, "value": True}, "value"),
        ({**GOOD, "value": "nan?"}, "value"),
        ({**GOOD, "user_id": "null"}, "user_id"),
        ({**GOOD, "user_id": r"\N"}, "user_id"),
        ({**GOOD, "item_id": "undefined"}, "item_id"),
        ({**GOOD, "timestamp": 1767323045000}, "timestamp"),
        ({**GOOD, "timestamp": "yesterday"}, "timestamp"),
        ({**GOOD, "timestamp": True}, "timestamp"),
        ({**GOOD, "timestamp": [1]}, "timestamp"),
        ({**GOOD, "timestamp": -1e300}, "timestamp"),
        ({**GOOD, "timestamp": 10**400}, "timestamp"),
        ({**GOOD, "event_id": ""}, "event_id"),
        ({**GOOD, "event_id": {}}, "event_id"),
        ({**GOOD, "recommendation_id": 1.5}, "recommendation_id"),
        ({**GOOD, "query": 7}, "query"),
        ({**GOOD, "query": ["a"]}, "query"),
        ({**GOOD, "query": "x" * 513}, "query"),
        ({**GOOD, "user": "ann"}, "user"),
        ({**GOOD, "context": []}, "context"),
        ({**GOOD, "context": "phone"}, "context"),
        ({**GOOD, "context": {"a": []}}, "context.a"),
        ({**GOOD, "context": {"a": {}}}, "context.a"),
        ({**GOOD, "context": {"a": "x" * 257}}, "context.a"),
        ({**GOOD, "context": {"": 1}}, "context"),
        ({**GOOD, "context": {"a\n": 1}}, "context"),
        ({**GOOD, "context": {f"a{n}": n for n in range(17)}}, "context"),
    ],
    ids=lambda value: json.dumps(value)[:60] if value != 10**400 else "huge",
)
async def test_a_wrong_event_is_rejected_by_itself(
    client: httpx.AsyncClient, event: Any, field: str | None
) -> None:
    taken = await send(client, GOOD, event, GOOD)

    assert taken["accepted"] == 2
    (rejected,) = taken["rejected"]
    assert (rejected["index"], rejected["code"]) == (1, "invalid_event")
    assert rejected["field"] == field
    assert rejected["message"]


async def test_numbers_that_json_does_not_have_are_rejected(client: httpx.AsyncClient) -> None:
    for wrong in (b"NaN", b"Infinity", b"1e999"):
        body = b'[{"user_id":"a","item_id":"b","value":%s}]' % wrong
        answer = await client.post("/events", content=body)
        assert answer.status_code in {200, 422}
        if answer.status_code == 200:
            assert answer.json()["rejected"][0]["field"] == "value"


async def test_times_that_cannot_be_are_rejected() -> None:
    now = time.time()
    async with served(store_max_age_days=10) as client:
        taken = await send(
            client,
            {**GOOD, "timestamp": now + 3 * 86_400},
            {**GOOD, "timestamp": now - 11 * 86_400},
            {**GOOD, "timestamp": now + 3600},
            {**GOOD, "timestamp": now - 9 * 86_400},
        )

    assert taken["accepted"] == 2
    assert [(r["index"], r["code"]) for r in taken["rejected"]] == [
        (0, "in_the_future"),
        (1, "too_old"),
    ]


@pytest.mark.parametrize("ahead_s", [1, 12 * 3600, 86_399])
async def test_a_time_ahead_of_ours_is_cut_to_now(client: httpx.AsyncClient, ahead_s: int) -> None:
    before = time.time()
    late_clock = {**GOOD, "event": "dislike", "timestamp": before + ahead_s}
    assert (await send(client, late_clock))["accepted"] == 1
    (stored,) = (await user(client, "ann"))["events"]
    assert before <= stored["timestamp"] <= time.time()

    await send(client, {**GOOD, "event": "like"})
    found = await user(client, "ann")
    assert (found["history"], found["disliked"]) == (["alien"], [])


async def test_of_one_call_the_last_event_counts_although_the_first_has_a_clock_ahead(
    client: httpx.AsyncClient,
) -> None:
    ahead = time.time() + 3600
    await send(client, {**GOOD, "event": "dislike", "timestamp": ahead}, {**GOOD, "event": "like"})
    assert (await user(client, "ann"))["history"] == ["alien"]


@pytest.mark.parametrize("kind", ["", " ", None, " click", "click  "])
async def test_a_blank_kind_is_a_click(client: httpx.AsyncClient, kind: str | None) -> None:
    taken = await send(client, {**GOOD, "event": kind})

    assert (taken["accepted"], taken["warnings"]) == (1, [])
    found = await user(client, "ann")
    assert (found["history"], found["counts"]["events"]) == (["alien"], {"click": 1})


@pytest.mark.parametrize(
    ("kind", "hint"),
    [
        ("purchases", "nearest kind: 'purchase'"),
        ("put_in_cart", "nearest kind: "),
        ("quick view", "nearest kind: "),
        ("zap", "known kinds: click, view, cart, "),
    ],
)
async def test_a_kind_without_a_rule_is_kept_and_warned_of(
    client: httpx.AsyncClient, kind: str, hint: str
) -> None:
    odd = {**GOOD, "event": kind}
    taken = await send(client, odd, GOOD, {**odd, "item_id": "not yet"})

    assert taken["accepted"] == 3
    assert [(w["index"], w["code"], w["field"]) for w in taken["warnings"]] == [
        (0, "unknown_event", "event"),
        (2, "unknown_item", "item_id"),
        (2, "unknown_event", "event"),
    ]
    assert hint in taken["warnings"][0]["message"]
    assert (await user(client, "ann"))["counts"]["events"][kind] == 2


@pytest.mark.parametrize(
    ("kind", "known"),
    [("Purchase", "purchase"), ("AddToCart", "add_to_cart"), ("page view", "page_view")],
)
async def test_a_kind_is_known_however_it_is_spelled(
    client: httpx.AsyncClient, kind: str, known: str
) -> None:
    taken = await send(client, {**GOOD, "event": kind})

    (warning,) = taken["warnings"]
    assert (warning["code"], warning["field"]) == ("unknown_event", "event")
    assert warning["message"].endswith(f"they are read as {known!r}")
    found = await user(client, "ann")
    assert (found["history"], found["counts"]["events"]) == (["alien"], {known: 1})


@pytest.mark.parametrize(
    ("kind", "history", "disliked"),
    [
        *((kind, ["alien"], []) for kind in ("order", "add_to_cart", "transaction", "play")),
        *((kind, ["alien"], []) for kind in ("watch", "wishlist", "page_view", "booking")),
        *((kind, [], ["alien"]) for kind in ("skip", "return", "downvote")),
        *((kind, [], []) for kind in ("search", "remove_from_cart")),
    ],
)
async def test_words_that_many_programs_send_have_weights(
    client: httpx.AsyncClient, kind: str, history: list[str], disliked: list[str]
) -> None:
    assert (await send(client, {**GOOD, "event": kind}))["warnings"] == []
    found = await user(client, "ann")
    assert (found["history"], found["disliked"]) == (history, disliked)


@pytest.mark.parametrize(
    ("value", "stored"), [("4.5", 4.5), (" 5 ", 5.0), ("4,5", 4.5), ("N/A", None), ("", None)]
)
async def test_a_value_may_be_text(
    client: httpx.AsyncClient, value: str, stored: float | None
) -> None:
    assert (await send(client, {**GOOD, "event": "rating", "value": value}))["rejected"] == []
    assert (await user(client, "ann"))["events"][0]["value"] == stored


async def test_blanks_around_ids_go(client: httpx.AsyncClient) -> None:
    taken = await send(client, {"user_id": " ann ", "item_id": "alien "})
    assert (taken["accepted"], taken["warnings"]) == (1, [])
    assert (await user(client, "ann"))["history"] == ["alien"]


async def test_a_user_called_null_is_nobody(client: httpx.AsyncClient) -> None:
    both = {"user_id": "null", "session_id": "s1", "item_id": "alien"}
    assert (await send(client, both))["accepted"] == 1
    assert (await client.get("/users/null")).status_code == 404


@pytest.mark.parametrize("kind", ["impression", "dislike", "rating"])
async def test_a_kind_with_a_rule_is_not_warned_of(client: httpx.AsyncClient, kind: str) -> None:
    assert (await send(client, {**GOOD, "event": kind}))["warnings"] == []


async def test_an_unknown_item_is_kept_and_warned_of(client: httpx.AsyncClient) -> None:
    taken = await send(client, {"user_id": "ann", "item_id": "not yet"}, GOOD)

    assert taken["accepted"] == 2
    (warning,) = taken["warnings"]
    assert (warning["index"], warning["code"], warning["field"]) == (0, "unknown_item", "item_id")
    assert (await user(client, "ann"))["history"] == ["not yet", "alien"]


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"{", b"[", b"null", b"1", b'"x"', b"[]", b"{}", b'{"events":[]}'),
        *(b'{"events":{}}', b'{"events":[{}],"more":1}', b'[{}],"events":[{}]', b"\xff"),
        b"[" + b",".join([b"{}"] * 1001) + b"]",
        b'{"events":[' + b",".join([b"{}"] * 1001) + b"]}",
    ],
    ids=lambda body: body[:30],
)
async def test_a_body_that_is_no_list_of_events_is_a_422_problem(
    client: httpx.AsyncClient, body: bytes
) -> None:
    answer = await client.post("/events", content=body)

    assert answer.status_code == 422
    jsonschema_rs.validate(schemas.ERROR, answer.json())


async def test_a_thousand_events_are_taken(client: httpx.AsyncClient) -> None:
    many = [{"user_id": f"{n % 10}", "item_id": "alien", "event_id": n} for n in range(1000)]
    assert (await send(client, *many))["accepted"] == 1000
    assert (await send(client, *many))["duplicates"] == 1000


async def test_a_body_over_the_limit_is_refused() -> None:
    async with served(max_body_bytes=1024) as client:
        answer = await client.post("/events", content=b"[" + b" " * 2000)
    assert answer.json()["error"]["code"] == "body_too_large"


async def test_a_user_of_the_bundle_is_known(client: httpx.AsyncClient) -> None:
    found = await user(client, "7")
    assert (found["history"], found["counts"]) == (["heist"], {"bundle": 1, "events": {}})


@pytest.mark.parametrize("name", ["nobody", "a%2Fb", "%E6%9C%80", "%ED%A0%80"])
async def test_an_unknown_user_is_a_404(client: httpx.AsyncClient, name: str) -> None:
    answer = await client.get(f"/users/{name}")

    assert (answer.status_code, answer.json()["error"]["field"]) == (404, "user_id")


@pytest.mark.parametrize("name", ["a%00", "x" * 257, "%01b", "a/%00"])
async def test_what_is_no_id_is_a_422(client: httpx.AsyncClient, name: str) -> None:
    for answer in (
        await client.get(f"/users/{name}"),
        await client.delete(f"/users/{name}"),
        await client.post(f"/users/{name}/merge", json={"session_id": "s"}),
        await client.put(f"/users/{name}", json={"attributes": {}}),
    ):
        assert (answer.status_code, answer.json()["error"]["field"]) == (422, "user_id")


async def test_a_deleted_user_is_unreachable_everywhere(client: httpx.AsyncClient) -> None:
    await send(client, {"user_id": "7", "item_id": "alien"}, {"user_id": "7", "item_id": "star"})
    before = await recommended(client, user_id="7")
    stranger = await recommended(client, user_id="nobody")
    answer = await client.delete("/users/7")

    jsonschema_rs.validate(people_schemas.USER_DELETED, answer.json())
    assert answer.json() == {"user_id": "7", "deleted": {"store": 2, "bundle": 1}}
    assert (await client.get("/users/7")).status_code == 404
    assert await recommended(client, user_id="7") == stranger != before
    again = await client.delete("/users/7")
    assert again.json()["deleted"] == {"store": 0, "bundle": 0}


async def test_a_session_becomes_a_user(client: httpx.AsyncClient) -> None:
    await send(client, {"session_id": "s/1", "item_id": "alien"})
    await send(client, {"user_id": "a/b", "item_id": "star"})
    answer = await client.post("/users/a%2Fb/merge", json={"session_id": "s/1"})

    jsonschema_rs.validate(people_schemas.USER_MERGED, answer.json())
    assert answer.json() == {"user_id": "a/b", "session_id": "s/1", "moved": 1}
    assert sorted((await user(client, "a/b"))["history"]) == ["alien", "star"]
    assert "alien" in await recommended(client, session_id="s/1")


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "session_id"),
        ({"session_id": ""}, "session_id"),
        ({"session_id": 1.5}, "session_id"),
        ({"session_id": "s", "x": 1}, "x"),
        ([], None),
    ],
    ids=str,
)
async def test_a_wrong_merge_is_a_422(
    client: httpx.AsyncClient, body: Any, field: str | None
) -> None:
    answer = await client.post("/users/ann/merge", json=body)

    assert (answer.status_code, answer.json()["error"].get("field")) == (422, field)


async def test_a_store_that_is_down_is_a_503_and_recommending_goes_on() -> None:
    store = MemoryEventStore()
    async with served(events=store) as client:
        store.down = True
        answers = [
            await client.post("/events", json=[GOOD]),
            await client.get("/users/ann"),
            await client.delete("/users/ann"),
            await client.post("/users/ann/merge", json={"session_id": "s"}),
            await client.put("/users/ann", json={"attributes": {}}),
        ]
        assert [answer.status_code for answer in answers] == [503] * 5
        for answer in answers:
            jsonschema_rs.validate(schemas.ERROR, answer.json())
            assert answer.json()["error"]["code"] == "store_unavailable"
        degraded = await client.post("/recommend", json={"user_id": "7"})
        assert (degraded.status_code, degraded.json()["degraded"]) == (200, ["user_state"])


@pytest.mark.parametrize(
    ("said", "field"),
    [
        ({"exclude_seen": 1}, "exclude_seen"),
        ({"exclude_seen": "yes"}, "exclude_seen"),
        ({"exclude_seen": []}, "exclude_seen"),
        ({"exclude_seen": {"within": "30"}}, "exclude_seen.within"),
        ({"exclude_seen": {"within": "0d"}}, "exclude_seen.within"),
        ({"exclude_seen": {"within": 30}}, "exclude_seen.within"),
        ({"exclude_seen": {"within": "30d\n"}}, "exclude_seen.within"),
        ({"exclude_seen": {"events": "click"}}, "exclude_seen.events"),
        ({"exclude_seen": {"events": [""]}}, "exclude_seen.events.0"),
        ({"exclude_seen": {"events": ["x"] * 17}}, "exclude_seen.events"),
        ({"exclude_seen": {"since": 1}}, "exclude_seen.since"),
        ({"cursor": ""}, "cursor"),
        ({"cursor": "AAAA"}, "cursor"),
        ({"cursor": "AA=="}, "cursor"),
        ({"cursor": 1}, "cursor"),
        ({"cursor": "x" * 32_769}, "cursor"),
        ({"personalize": "no"}, "personalize"),
        ({"personalize": 0}, "personalize"),
    ],
    ids=str,
)
async def test_what_recommend_refuses_of_it(
    client: httpx.AsyncClient, said: dict[str, Any], field: str
) -> None:
    answer = await client.post("/recommend", json={"user_id": "ann", **said})

    assert answer.status_code == 422
    assert answer.json()["error"]["field"] == field


async def test_metrics_count_events(client: httpx.AsyncClient) -> None:
    await send(client, {**GOOD, "event_id": 1}, {**GOOD, "event_id": 1}, {})
    text = (await client.get("/metrics")).text

    for result in ("accepted", "duplicate", "rejected"):
        assert f'recserve_events_total{{result="{result}"}} 1.0' in text


async def test_over_the_embedded_store_too(tmp_path) -> None:
    store = SqliteEventStore(tmp_path / "store.sqlite")
    async with served(events=store) as client:
        await send(client, {**GOOD, "event_id": "e"})
        assert "alien" not in await recommended(client, user_id="ann")
        assert (await client.delete("/users/ann")).json()["deleted"]["store"] == 1
        assert "alien" in await recommended(client, user_id="ann")


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/users/7", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/users/7/merge", "OPTIONS, POST"),
        ("/users/a/b", "DELETE, GET, HEAD, OPTIONS, PUT"),
        ("/events", "OPTIONS, POST"),
        ("/items/7", "DELETE, GET, HEAD, OPTIONS, PATCH"),
    ],
)
async def test_a_wrong_method_is_told_the_right_ones(
    client: httpx.AsyncClient, path: str, allowed: str
) -> None:
    answer = await client.request("PROPFIND", path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
    jsonschema_rs.validate(schemas.ERROR, answer.json())


async def test_the_context_of_an_event_comes_back(client: httpx.AsyncClient) -> None:
    here = {"device": " phone ", "hour": 14, "share": 0.5, "new": False, "none": None, "blank": ""}
    await send(client, {**GOOD, "context": here}, {**GOOD, "context": {}}, GOOD)

    last, middle, first = (await user(client, "ann"))["events"]
    assert first["context"] == {"device": "phone", "hour": 14, "share": 0.5, "new": False}
    assert last["context"] == middle["context"] == {}


WHO = {"country": " NZ ", "age": 31, "tall": 1.5, "new": False, "likes": ["tea", "hiking"]}


async def test_who_a_user_is_can_be_put_replaced_and_forgotten(client: httpx.AsyncClient) -> None:
    put = await client.put("/users/a%2Fb", json={"attributes": {**WHO, "": "x"}})
    assert (put.status_code, put.json()["error"]["field"]) == (422, "attributes")
    put = await client.put("/users/a%2Fb", json={"attributes": {**WHO, "none": None, "blank": ""}})
    assert put.status_code == 200
    jsonschema_rs.validate(people_schemas.USER_PUT, put.json())
    assert put.json() == {"user_id": "a/b", "attributes": {**WHO, "country": "NZ"}}
    assert (await user(client, "a%2Fb"))["attributes"] == {**WHO, "country": "NZ"}

    await client.put("/users/a%2Fb", json={"attributes": {"city": "Ōtautahi"}})
    found = await user(client, "a%2Fb")
    assert (found["attributes"], found["history"]) == ({"city": "Ōtautahi"}, [])
    assert (await client.delete("/users/a%2Fb")).status_code == 200
    assert (await client.get("/users/a%2Fb")).status_code == 404


async def test_attributes_of_the_bundle_count_until_others_are_put(
    client: httpx.AsyncClient,
) -> None:
    assert (await user(client, "7"))["attributes"] == {"age": 31, "country": "NZ"}
    await client.put("/users/7", json={"attributes": {}})
    assert (await user(client, "7"))["attributes"] == {}
    await client.put("/users/7", json={"attributes": {"age": 32}})
    assert (await user(client, "7"))["attributes"] == {"age": 32}
    await client.delete("/users/7")
    await send(client, {"user_id": "7", "item_id": "alien"})
    assert (await user(client, "7"))["attributes"] == {}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "attributes"),
        ([], None),
        ({"attributes": None}, "attributes"),
        ({"attributes": []}, "attributes"),
        ({"attributes": {}, "more": 1}, "more"),
        ({"attributes": {"a": {}}}, "attributes.a"),
        ({"attributes": {"a": [1]}}, "attributes.a"),
        ({"attributes": {"a": ["x"] * 17}}, "attributes.a"),
        ({"attributes": {"a": "x" * 257}}, "attributes.a"),
        ({"attributes": {"a": 10**400}}, "attributes.a"),
        ({"attributes": {"id": 1}}, "attributes.id"),
        ({"attributes": {"x" * 65: 1}}, "attributes"),
        ({"attributes": {"a\n": 1}}, "attributes"),
        ({"attributes": {f"a{n}": n for n in range(17)}}, "attributes"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_wrong_attributes_are_a_422(
    client: httpx.AsyncClient, body: Any, field: str | None
) -> None:
    answer = await client.put("/users/ann", content=json.dumps(body))

    assert (answer.status_code, answer.json()["error"].get("field")) == (422, field)
    jsonschema_rs.validate(schemas.ERROR, answer.json())
    assert (await client.get("/users/ann")).status_code == 404


async def test_a_put_changes_the_version_of_the_user_and_no_answer(
    client: httpx.AsyncClient,
) -> None:
    before = await recommended(client, user_id="ann")
    await client.put("/users/ann", json={"attributes": WHO})
    answer = await client.post("/recommend", json={"k": 7, "user_id": "ann"})
    assert (answer.json()["cache"], await recommended(client, user_id="ann")) == ("miss", before)


async def test_a_user_whose_id_ends_like_a_route_can_be_forgotten(
    client: httpx.AsyncClient,
) -> None:
    await send(client, {"user_id": "7/merge", "item_id": "alien"})
    for method in ("GET", "PUT", "DELETE"):
        other = await client.request(method, "/users/7/merge")
        assert (other.status_code, other.headers["allow"]) == (405, "OPTIONS, POST")

    assert (await user(client, "7%2Fmerge"))["history"] == ["alien"]
    gone = await client.delete("/users/7%2Fmerge")
    assert gone.json() == {"user_id": "7/merge", "deleted": {"store": 1, "bundle": 0}}
