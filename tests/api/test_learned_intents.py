"""What a language model has taught, over HTTP: used, shown and removed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from app.core.store_ports import IntentStore
from app.serving.intents.learning import Teacher
from app.testing.intent_store import MemoryIntentStore
from tests.api_rig import served
from tests.intent_rig import scripted, weak_engine
from tests.recommender_rig import settled

SHOWN = jsonschema_rs.validator_for(schemas.LEARNED_INTENTS)
SAID = {"sort": "newest", "filters": {"n": {"gte": 200}}, "residual_text": "robots"}


@asynccontextmanager
async def taught(
    *queries: str, store: IntentStore | None = None
) -> AsyncIterator[httpx.AsyncClient]:
    """Serve with a model that has taught something of each query."""
    model = scripted(lambda query: {} if query == "nothing" else SAID)
    teacher = Teacher(model, store or MemoryIntentStore(), "tiny")
    async with served(
        weak_engine(), teacher=teacher, llm_min_callers=1, llm_model="tiny"
    ) as client:
        for n, query in enumerate(queries, 1):
            await client.post("/recommend", json={"query": query})
            await settled(lambda n=n: len(model.asked) == n)
        yield client


async def shown(client: httpx.AsyncClient, **page: Any) -> dict[str, Any]:
    answer = await client.get("/admin/intents", params=page)
    assert answer.status_code == 200
    SHOWN.validate(answer.json())
    return answer.json()


async def all_shown(client: httpx.AsyncClient, n: int) -> dict[str, Any]:
    # The tasks that learn need turns of the loop; a request over ASGI takes none.
    async with asyncio.timeout(10):
        while len((page := await shown(client))["intents"]) != n:  # noqa: ASYNC110 - see above
            await asyncio.sleep(0)
    return page


async def used(client: httpx.AsyncClient, words: str) -> dict[str, Any]:
    """Wait until what was learned is used: it is in the store a little earlier."""
    async with asyncio.timeout(10):
        while True:
            page = await shown(client)
            if any(each["words"] == words and each["intent"] for each in page["intents"]):
                return page
            await asyncio.sleep(0)


async def test_what_was_learned_is_shown() -> None:
    async with taught("Space", "nothing") as client:
        await all_shown(client, 2)
        page = await used(client, "space")
        assert (page["enabled"], page["model"], page["next"]) == (True, "tiny", None)
        by_words = {each["words"]: each for each in page["intents"]}
        assert by_words["nothing"]["intent"] is None
        learned = by_words["space"]
        assert learned["intent"]["sort"] == "newest"
        assert learned["intent"]["residual_text"] == "robots"
        assert learned["uses"] == 1
        # Both are asked for side by side: either may be learned first.
        assert sorted(each["seq"] for each in page["intents"]) == [1, 2]
        answer = (await client.post("/recommend", json={"query": "space"})).json()
        assert answer["intent"] == learned["intent"]
        interpreted = (await client.post("/interpret", json={"query": "SPACE"})).json()
        assert interpreted == {"intent": learned["intent"]}


async def test_a_mutated_page_is_refused_by_the_schema() -> None:
    async with taught("space") as client:
        page = await used(client, "space")
    for wrong in (
        {**page, "more": 1},
        {**page, "next": "x"},
        {**page, "intents": [{**page["intents"][0], "callers": 3}]},
        {**page, "intents": [{**page["intents"][0], "intent": {"sort": "best"}}]},
    ):
        assert not SHOWN.is_valid(wrong)


async def test_pages_follow_each_other() -> None:
    async with taught("a", "b", "c") as client:
        await all_shown(client, 3)
        words, after = [], 0
        while after is not None:
            page = await shown(client, after=after, limit=2)
            words.append([each["words"] for each in page["intents"]])
            after = page["next"]
        assert words == [["a", "b"], ["c"]]


async def test_one_is_removed_then_all() -> None:
    async with taught("a  B", "c", "d") as client:
        await all_shown(client, 3)
        for words, removed in ((" A b", 1), ("a b", 0), ("unknown", 0)):
            answer = await client.delete("/admin/intents", params={"words": words})
            assert (answer.status_code, answer.json()) == (200, {"removed": removed})
        assert [each["words"] for each in (await shown(client))["intents"]] == ["c", "d"]
        plain = (await client.post("/recommend", json={"query": "a B"})).json()
        assert plain["intent"]["residual_text"] == "a B"
        assert (await client.delete("/admin/intents")).json() == {"removed": 2}
        assert (await shown(client))["intents"] == []


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("GET", {"limit": "0"}, "limit"),
        ("GET", {"limit": "1001"}, "limit"),
        ("GET", {"after": "-1"}, "after"),
        ("GET", {"after": "x"}, "after"),
        ("GET", {"page": "2"}, "page"),
        ("DELETE", {"words": ""}, "words"),
        ("DELETE", {"words": "x" * 513}, "words"),
        ("DELETE", {"word": "typing error"}, "word"),
    ],
)
async def test_wrong_parameters_are_refused(
    method: str, params: dict[str, str], field: str
) -> None:
    async with taught("a") as client:
        await all_shown(client, 1)
        answer = await client.request(method, "/admin/intents", params=params)
        assert answer.status_code == 422
        assert answer.json()["error"]["field"] == field
        assert len((await shown(client))["intents"]) == 1


async def test_without_a_model_there_is_nothing_to_show() -> None:
    async with served() as client:
        assert await shown(client) == {
            "enabled": False,
            "model": None,
            "intents": [],
            "next": None,
        }
        assert (await client.delete("/admin/intents")).json() == {"removed": 0}


async def test_a_store_that_is_down_is_a_503() -> None:
    store = MemoryIntentStore()
    async with taught(store=store) as client:
        store.down = True
        for method in ("GET", "DELETE"):
            answer = await client.request(method, "/admin/intents")
            assert answer.status_code == 503
            assert answer.json()["error"]["code"] == "store_unavailable"


async def test_the_key_is_in_no_answer() -> None:
    async with served(llm_url="http://127.0.0.1:1/v1", llm_api_key="very-secret") as client:
        for path in ("/info", "/metrics", "/openapi.json"):
            assert "very-secret" not in (await client.get(path)).text
