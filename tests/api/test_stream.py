"""`POST /recommend/stream` and `text: true` over HTTP without a socket: events, errors, gzip."""

import gzip
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonschema_rs
import orjson
import pytest

from app.api import schemas
from app.core.types import TextQuestion
from app.serving.intents.learning import Teacher
from app.testing.intent_store import MemoryIntentStore
from app.testing.language_model import ScriptedLanguageModel, ScriptedTextModel
from tests.api_rig import served
from tests.small_engine import small_engine

TITLES = {"alien": "Alien", "star": "Star Trip", "heist": "Bank Heist"}
SCHEMAS = {
    "items": schemas.ANSWER,
    "text": schemas.SENTENCE,
    "done": schemas.TEXT_DONE,
    "error": schemas.ERROR,
}


def events(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    assert text.endswith("\n\n")
    for block in text[:-2].split("\n\n"):
        name, data = block.split("\n")
        content = orjson.loads(data.removeprefix("data: "))
        jsonschema_rs.validate(SCHEMAS[name.removeprefix("event: ")], content)
        yield name.removeprefix("event: "), content


def told(text: str) -> list[tuple[str, str]]:
    return [(data["by"], data["text"]) for name, data in events(text) if name == "text"]


@asynccontextmanager
async def films(*sentences: str, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """A service over three films; its language model writes these sentences, if any."""

    async def write(_: TextQuestion) -> AsyncIterator[str]:
        for sentence in sentences:
            yield f"{sentence} "

    teacher = Teacher(
        ScriptedLanguageModel(lambda _: {}),
        MemoryIntentStore(),
        "m",
        writer=ScriptedTextModel(write) if sentences else None,
    )
    async with served(small_engine(titles=TITLES), teacher=teacher, **settings) as client:
        yield client


ALIEN = "Alien is from 1979."


async def test_the_answer_comes_first_then_sentences_then_the_end() -> None:
    async with films(ALIEN, "Star Trip is from 1979.") as client:
        reply = await client.post("/recommend/stream", json={"query": "alien", "k": 3})
        plain = (await client.post("/recommend", json={"query": "alien", "k": 3})).json()
    assert reply.status_code == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    assert reply.headers["x-cache"] == "miss"
    assert reply.headers["cache-control"] == "no-store"
    found = list(events(reply.text))
    assert [name for name, _ in found] == ["items", "text", "text", "done"]
    assert found[0][1]["items"] == plain["items"]
    assert "text" not in found[0][1]
    assert told(reply.text) == [
        ("model", ALIEN),
        ("template", "“Star Trip” is from 1977: Star, Trip."),
    ]
    assert found[-1][1] == {"sentences": 2, "by_model": 1}


async def test_without_a_model_the_template_speaks() -> None:
    async with films() as client:
        reply = await client.post("/v1/recommend/stream", json={"query": "alien", "k": 1})
    assert told(reply.text) == [
        ("template", "One suggestion for “alien”."),
        ("template", "“Alien” is from 1979: Alien."),
    ]


async def test_the_query_of_a_scenario_is_a_fact_of_the_text() -> None:
    async with films() as client:
        await client.put(
            "/admin/scenarios/space", json={"query": "alien", "filter": {"year": {"gt": 1900}}}
        )
        body = {"scenario": "space", "k": 1}
        await client.post("/recommend", json=body)
        reply = await client.post("/recommend/stream", json=body)
    assert reply.headers["x-cache"] == "hit"
    assert told(reply.text)[0] == ("template", "One suggestion for “alien”.")


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({"kk": 3}, 422, "invalid_request", "kk"),
        ({"fields": ["hue"]}, 422, "invalid_request", "fields"),
        ({"scenario": "none"}, 422, "invalid_request", "scenario"),
        ({"min_catalogue": 9, "budget_ms": 1}, 504, "deadline_exceeded", "min_catalogue"),
    ],
)
async def test_what_recommend_refuses_is_one_event(
    body: dict[str, Any], status: int, code: str, field: str | None
) -> None:
    async with films(ALIEN) as client:
        reply = await client.post("/recommend/stream", json=body)
        plain = await client.post("/recommend", json=body)
    assert reply.status_code == plain.status_code == status
    ((name, problem),) = events(reply.text)
    assert name == "error"
    assert problem["error"]["code"] == plain.json()["error"]["code"] == code
    assert problem["error"].get("field") == plain.json()["error"].get("field") == field
    assert problem["error"]["request_id"] == reply.headers["x-request-id"]


async def test_bodies_may_be_compressed_and_are_limited() -> None:
    async with films(ALIEN, max_body_bytes=1024) as client:
        packed = gzip.compress(b'{"query": "alien", "k": 1}')
        coding = {"content-encoding": "gzip", "content-type": "application/json"}
        reply = await client.post("/recommend/stream", content=packed, headers=coding)
        assert told(reply.text) == [("model", ALIEN)]
        large = await client.post("/recommend/stream", content=b" " * 2000)
        other = await client.post(
            "/recommend/stream", content=b"{}", headers={"content-encoding": "br"}
        )
    assert (large.status_code, other.status_code) == (413, 415)
    assert other.headers["accept-encoding"] == "gzip"


async def test_text_is_added_to_an_answer_where_asked_for() -> None:
    said = {"query": "alien", "k": 1}
    async with films(ALIEN) as client:
        first = (await client.post("/recommend", json={**said, "text": True})).json()
        again = first
        for _ in range(200):
            again = (await client.post("/recommend", json={**said, "text": True})).json()
            if again["text_by"] == "model":
                break
        plain = (await client.post("/recommend", json=said)).json()
        batch = await client.post("/recommend/batch", json={"requests": [{**said, "text": True}]})
    jsonschema_rs.validate(schemas.ANSWER, first)
    assert first["text"] == "One suggestion for “alien”. “Alien” is from 1979: Alien."
    assert (first["text_by"], first["cache"]) == ("template", "miss")
    # The text is no part of what is cached: the same answer serves both.
    assert (again["text"], again["text_by"], again["cache"]) == (ALIEN, "model", "hit")
    assert (plain["cache"], plain["items"]) == ("hit", again["items"])
    assert not {"text", "text_by"} & plain.keys()
    assert batch.json()["results"][0]["text"] == ALIEN


async def test_a_schema_of_an_event_can_fail() -> None:
    for name, wrong in (("text", {"text": "a", "by": "me"}), ("done", {"sentences": 1})):
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(SCHEMAS[name], wrong)
