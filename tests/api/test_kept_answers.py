"""Kept answers over HTTP: what comes back, what is never kept, and what erases them."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from app.core.answer_port import AnswerStore
from app.testing.answer_store import MemoryAnswers, MemoryAnswerStore
from app.testing.event_store import MemoryEventStore
from tests.api_rig import served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served(answers=MemoryAnswerStore()) as client:
        yield client


async def answered(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    answer = (await client.post("/recommend", json={"budget_ms": 10_000, **request})).json()
    assert "recommendation_id" in answer, answer
    return dict(answer)


async def status(client: httpx.AsyncClient, answer: dict[str, Any]) -> int:
    return (await client.get(f"/recommendations/{answer['recommendation_id']}")).status_code


async def test_an_answer_comes_back_as_it_was_given(client: httpx.AsyncClient) -> None:
    request = {"query": "space", "user_id": "7", "k": 3, "fields": ["categories"]}
    first, second = await answered(client, **request), await answered(client, **request)
    assert (first["cache"], second["cache"]) == ("miss", "hit")
    for answer in (first, second):
        response = await client.get(f"/recommendations/{answer['recommendation_id']}")
        assert (response.status_code, response.headers["content-type"]) == (200, "application/json")
        kept = response.json()
        assert kept.pop("request") == {"budget_ms": 10_000, **request}
        assert kept.pop("given_at") > 1_700_000_000
        assert kept == answer


@pytest.mark.parametrize(
    "request_",
    [
        {"intent": False, "query": "space", "exclude_seen": True},
        {"exclude_seen": False, "user_id": "7"},
        {"exclude_seen": {"events": ["click"], "within": "30d"}, "session_id": "7"},
        {"intent": {"residual_text": "space"}, "filter": {"categories": {"any": ["Action"]}}},
        {"like": ["heist"], "dislike": [], "context": {"hour": 3}, "max_per": {"title": 1}},
    ],
)
async def test_the_request_is_kept_as_it_was_sent(
    client: httpx.AsyncClient, request_: dict[str, Any]
) -> None:
    answer = await answered(client, **request_)
    kept = (await client.get(f"/recommendations/{answer['recommendation_id']}")).json()
    assert kept["request"] == {"budget_ms": 10_000, **request_}


async def test_every_answer_of_a_batch_is_kept(client: httpx.AsyncClient) -> None:
    asked = [{"query": "heist"}, {"k": 0}, {"user_id": "7"}]
    requests = [{"budget_ms": 10_000, **each} for each in asked]
    sent = await client.post("/recommend/batch", json={"requests": requests})
    good = [each for each in sent.json()["results"] if "items" in each]
    assert [await status(client, each) for each in good] == [200, 200]


async def test_personalize_false_is_never_kept() -> None:
    store: dict[str, MemoryAnswers] = {}
    async with served(answers=MemoryAnswerStore("films", store)) as client:
        answer = await answered(client, user_id="7", personalize=False)
        assert await status(client, answer) == 404
    assert store["films"] == MemoryAnswers()


async def test_unknown_ids_are_not_found(client: httpx.AsyncClient) -> None:
    for unknown in ("0" * 32, "x", "%00", "é", "0" * 5000):
        response = await client.get(f"/recommendations/{unknown}")
        assert response.status_code == 404, unknown
        assert response.json()["error"]["code"] == "not_found"
    assert (await client.get("/recommendations/a/b")).status_code == 404


async def test_nothing_is_kept_by_default() -> None:
    async with served() as client:
        answer = await answered(client, query="space")
        response = await client.get(f"/recommendations/{answer['recommendation_id']}")
    assert response.status_code == 404
    assert "RECSERVE_KEEP_ANSWERS_HOURS" in response.json()["error"]["message"]


@pytest.mark.parametrize("written", [False, True])
async def test_deleting_a_user_erases_their_answers_at_once(*, written: bool) -> None:
    store: dict[str, MemoryAnswers] = {}
    async with served(answers=MemoryAnswerStore("films", store)) as client:
        mine = await answered(client, user_id="7", query="space")
        session = await answered(client, session_id="7")
        other = await answered(client, user_id="8")
        nobody = await answered(client, query="space")
        if written:
            assert await status(client, mine) == 200
        await client.post("/users/7/merge", json={"session_id": "7"})
        assert (await client.delete("/users/7")).status_code == 200
        each = (mine, session, other, nobody)
        assert [await status(client, answer) for answer in each] == [404, 404, 200, 200]
        assert {given.user for given in store["films"].answers.values()} == {"u:8", ""}
        assert len(store["films"].bodies) == 4
        again = await answered(client, user_id="7")
        assert await status(client, again) == 200


async def test_a_failed_erasure_deletes_nothing() -> None:
    store, events = MemoryAnswerStore(), MemoryEventStore()
    async with served(events=events, answers=store) as client:
        event = {"events": [{"user_id": "7", "item_id": "heist"}]}
        assert (await client.post("/events", json=event)).json()["accepted"] == 1
        store.down = True
        assert (await client.delete("/users/7")).status_code == 503
        assert (await client.get("/users/7")).json()["counts"]["events"] == {"click": 1}
        store.down = False
        assert (await client.delete("/users/7")).status_code == 200


async def test_a_store_that_is_down_hurts_no_answer() -> None:
    store = MemoryAnswerStore()
    store.down = True
    async with served(answers=store) as client:
        answer = await answered(client, query="space")
        response = await client.get(f"/recommendations/{answer['recommendation_id']}")
        assert (response.status_code, response.json()["error"]["code"]) == (
            503,
            "store_unavailable",
        )


def test_the_fake_is_a_store() -> None:
    store: AnswerStore = MemoryAnswerStore()
    assert repr(store) == "<MemoryAnswerStore 0 answers>"
