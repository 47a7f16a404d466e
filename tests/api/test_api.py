"""The HTTP surface over a real small engine: shapes, problems, headers."""

import asyncio
import copy
from collections.abc import AsyncIterator
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import item_schemas, schemas
from app.testing.fakes import GatedEngine
from tests.api_rig import served


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    async with served() as client:
        yield client


REQUESTS = [
    {"query": "space adventure", "k": 2, "fields": ["year", "categories"]},
    {"user_id": 7},
    {"query": "drama", "session_id": "s", "like": ["mob"], "dislike": ["love"]},
    {"candidates": ["mob", "love", "nope"]},
    {"query": "drama", "min_score": 0.5},
    {},
]


@pytest.mark.parametrize("request_", REQUESTS, ids=str)
async def test_an_answer_fits_the_declared_schema(
    client: httpx.AsyncClient, request_: dict[str, Any]
) -> None:
    for cache in ("miss", "hit"):
        answer = await client.post("/recommend", json=request_)

        assert (answer.status_code, answer.headers["x-cache"]) == (200, cache)
        jsonschema_rs.validate(schemas.ANSWER, answer.json())


async def test_the_schema_check_can_fail() -> None:
    async with served(GatedEngine()) as client:
        answer = (await client.post("/recommend", json={"query": "space"})).json()
    jsonschema_rs.validate(schemas.ANSWER, answer)
    mutants = [copy.deepcopy(answer) for _ in range(10)]
    mutants[0]["extra"] = 1
    del mutants[1]["recommendation_id"]
    mutants[2]["items"][0]["score"] = "high"
    mutants[3]["items"][0]["sources"][0]["rank"] = 0
    mutants[4]["cache"] = "warm"
    del mutants[5]["intent"]
    mutants[6]["intent"]["sort"] = "best"
    del mutants[7]["intent"]["filters"]
    mutants[8]["intent"]["valid_until"] = 0
    mutants[9]["intent"]["spans"] = [{"start": 0, "end": 5}]

    for mutant in mutants:
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schemas.ANSWER, mutant)


async def test_a_stored_event_is_not_recommended_again(client: httpx.AsyncClient) -> None:
    answer = (await client.post("/recommend", json={"user_id": "7", "k": 7})).json()

    assert "heist" not in {item["id"] for item in answer["items"]}
    assert answer["items"][0]["id"] == "mob"


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", None),
        (b"{", None),
        (b"[1]", None),
        (b'{"query":"\xff"}', None),
        (b'{"query":"\\ud800"}', None),
        (b'{"k":NaN}', "k"),
        (b'{"min_score":1e999}', "min_score"),
        (b'{"min_score":"-1"}', "min_score"),
        (b'{"quary":"x"}', "quary"),
        (b'{"history":["a",""]}', "history.1"),
        (b'{"fields":["colour"]}', "fields"),
    ],
)
async def test_bad_input_is_a_422_problem(
    client: httpx.AsyncClient, body: bytes, field: str | None
) -> None:
    answer = await client.post("/recommend", content=body)

    assert answer.status_code == 422
    jsonschema_rs.validate(schemas.ERROR, answer.json())
    error = answer.json()["error"]
    assert (error["code"], error.get("field")) == ("invalid_request", field)
    assert error["request_id"] == answer.headers["x-request-id"]


async def test_a_body_over_the_limit_is_refused_declared_or_not() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b" " * 100

    async with served(max_body_bytes=1024) as client:
        declared = await client.post("/recommend", content=b" " * 2000)
        chunked = await client.post("/recommend", content=chunks())

    for answer in (declared, chunked):
        assert answer.status_code == 413
        assert answer.json()["error"]["code"] == "body_too_large"


async def test_a_batch_answers_in_order_and_errors_stay_with_their_entry(
    client: httpx.AsyncClient,
) -> None:
    wanted = [
        {"query": "space", "k": 1},
        {"k": 0},
        {"candidates": ["mob"], "user_id": 10**40},
        {"history": [1.5]},
        "x",
    ]

    answer = await client.post("/recommend/batch", json={"requests": wanted})

    assert answer.status_code == 200
    jsonschema_rs.validate(schemas.BATCH_ANSWER, answer.json())
    first, second, third, fourth, fifth = answer.json()["results"]
    assert len(first["items"]) == 1
    assert second["error"]["field"] == "k"
    assert third["items"][0]["id"] == "mob"
    assert fourth["error"]["field"] == "history.0"
    assert fifth["error"]["code"] == "invalid_request"


@pytest.mark.parametrize("requests", [[], [{}] * 65, "x", {}])
async def test_a_wrong_batch_is_refused(client: httpx.AsyncClient, requests: Any) -> None:
    answer = await client.post("/recommend/batch", json={"requests": requests})

    assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


async def test_an_item_with_all_its_fields(client: httpx.AsyncClient) -> None:
    found = await client.get("/items/robot")
    missing = await client.get("/items/a%2Fb")

    assert found.json() == {
        "id": "robot",
        "title": "robot space adventure",
        "fields": {"categories": ["robot", "space", "adventure"], "year": 2020},
    }
    jsonschema_rs.validate(item_schemas.ITEM, found.json())
    assert (missing.status_code, missing.json()["error"]["code"]) == (404, "not_found")


async def test_info_says_what_is_served(client: httpx.AsyncClient) -> None:
    info = (await client.get("/info")).json()

    jsonschema_rs.validate(schemas.INFO, info)
    assert info["bundle"] == {"name": "small", "generation": "g1", "catalogue": 0}
    assert set(info["libraries"]) >= {"faiss-cpu", "onnxruntime"}
    assert info["fields"] == {"categories": "strings", "year": "number"}


async def test_metrics_count_requests_by_route_and_status(client: httpx.AsyncClient) -> None:
    await client.post("/recommend", json={})
    await client.post("/recommend", json={"k": 0})
    await client.get("/items/robot")
    await client.get("/nowhere/at/all")

    text = (await client.get("/metrics")).text

    assert 'recserve_requests_total{route="/recommend",status="200"} 1.0' in text
    assert 'recserve_requests_total{route="/recommend",status="422"} 1.0' in text
    assert 'recserve_requests_total{route="/items/{item_id:path}",status="200"} 1.0' in text
    assert 'recserve_requests_total{route="unmatched",status="404"} 1.0' in text


async def test_the_router_refuses_with_problems_too(client: httpx.AsyncClient) -> None:
    nowhere = await client.get("/nowhere")
    wrong = await client.get("/recommend")

    assert (nowhere.status_code, nowhere.json()["error"]["code"]) == (404, "not_found")
    assert (wrong.status_code, wrong.json()["error"]["code"]) == (405, "method_not_allowed")
    assert wrong.headers["allow"] == "OPTIONS, POST"
    for answer in (nowhere, wrong):
        jsonschema_rs.validate(schemas.ERROR, answer.json())


async def test_a_request_id_is_kept_if_harmless(client: httpx.AsyncClient) -> None:
    kept = await client.get("/livez", headers={"x-request-id": "abc-123"})
    replaced = await client.get("/livez", headers={"x-request-id": "a b"})

    assert kept.headers["x-request-id"] == "abc-123"
    assert len(replaced.headers["x-request-id"]) == 32


async def test_a_fault_of_ours_shows_no_trace() -> None:
    class Broken(GatedEngine):
        def item(self, item_id: str) -> None:
            raise ZeroDivisionError("secret")

    async with served(Broken()) as client:
        answer = await client.get("/items/x", headers={"x-request-id": "r1"})

    assert answer.status_code == 500
    assert answer.json()["error"] == {
        "code": "internal",
        "message": "internal error",
        "request_id": "r1",
    }


async def test_readiness_falls_with_the_engine_and_liveness_does_not() -> None:
    engine = GatedEngine()
    async with served(engine) as client:
        assert (await client.get("/readyz")).json() == {"status": "ok", "saturation": 0.0}
        engine.death = SystemExit("the worker thread is gone")
        lost = await client.post("/recommend", json={"query": "x"})

        assert (lost.status_code, lost.json()["error"]["code"]) == (503, "not_ready")
        assert (await client.get("/readyz")).status_code == 503
        assert (await client.get("/livez")).status_code == 200


async def test_overload_says_when_to_come_back() -> None:
    engine = GatedEngine()
    async with served(engine, max_pending_requests=1) as client:
        engine.hold()
        passes = len(engine.batches)
        running = asyncio.create_task(client.post("/recommend", json={"query": "a"}))
        await asyncio.to_thread(engine.wait_entered, passes + 1)
        waiting = asyncio.create_task(client.post("/recommend", json={"query": "b"}))
        refused = await _until_refused(client)
        engine.release()
        await asyncio.gather(running, waiting)

    assert refused.json()["error"]["code"] == "overloaded"
    assert refused.json()["error"]["retry_after_ms"] >= 1
    assert int(refused.headers["retry-after"]) >= 1


async def _until_refused(client: httpx.AsyncClient) -> httpx.Response:
    """Ask with a budget of 1 ms until the queue is full: what got in meanwhile times out."""
    while True:
        answer = await client.post("/recommend", json={"query": "c", "budget_ms": 1})
        if answer.status_code == 429:
            return answer
        assert answer.status_code == 504


async def test_a_caller_that_hangs_up_costs_no_engine_pass() -> None:
    """Over raw ASGI, because a client library cannot hang up in the middle."""
    engine = GatedEngine()
    async with served(engine) as client:
        app = client._transport.app
        engine.hold()
        passes = len(engine.batches)
        running = asyncio.create_task(client.post("/recommend", json={"query": "a"}))
        await asyncio.to_thread(engine.wait_entered, passes + 1)
        ahead = asyncio.create_task(client.post("/recommend", json={"query": "begun ahead"}))
        await _until(client, "recserve_batch_size_count", passes + 2)
        hang_up = asyncio.Event()
        sent: list[Any] = []
        call = asyncio.create_task(app(_scope(), _receive(b'{"query":"b"}', hang_up), sent.append))
        await _until(client, "recserve_queue_requests", 1)
        hang_up.set()
        await call
        engine.release()
        await asyncio.gather(running, ahead)

        assert await _metric(client, "recserve_dropped_total") == 1
        assert (
            await _metric(client, 'recserve_requests_total{route="/recommend",status="499"}') == 1
        )
    assert sent == []
    asked = [request.query for batch in engine.batches[passes:] for request in batch]
    assert asked == ["a", "begun ahead"]


def _scope() -> dict[str, Any]:
    return {
        "type": "http",
        "method": "POST",
        "path": "/recommend",
        "raw_path": b"/recommend",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "http_version": "1.1",
        "server": ("test", 80),
        "client": ("test", 1),
        "root_path": "",
    }


def _receive(body: bytes, hang_up: asyncio.Event) -> Any:
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await hang_up.wait()
        return {"type": "http.disconnect"}

    return receive


async def _until(client: httpx.AsyncClient, name: str, value: float) -> None:
    for _ in range(10_000):
        if await _metric(client, name) == value:
            return
        await asyncio.sleep(0)  # asking for the metrics never waits, so nobody else had a turn
    pytest.fail(f"{name} never was {value}")


async def _metric(client: httpx.AsyncClient, name: str) -> float:
    lines = (await client.get("/metrics")).text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith(f"{name} "))


async def test_the_openapi_names_every_route_and_the_docs_need_no_network(
    client: httpx.AsyncClient,
) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    page = (await client.get("/docs")).text

    assert set(paths) == {
        *("/recommend", "/recommend/batch", "/interpret", "/items", "/items/{item_id}"),
        *("/catalogue", "/facets", "/admin/rules", "/admin/rules/{rule_id}"),
        *("/admin/rules/dry-run", "/admin/scenarios", "/admin/scenarios/{name}"),
        *("/similar", "/popular", "/trending", "/newest", "/shelves"),
        *("/why-not", "/recommend/stream", "/admin/doctor"),
        "/recommendations/{recommendation_id}",
        *("/events", "/events/{event_id}", "/users/{user_id}", "/users/{user_id}/merge"),
        *("/livez", "/readyz", "/info", "/metrics", "/admin/reload", "/admin/intents"),
        *("/admin/doctor", "/recommend/stream"),
    }
    assert "https://" not in page
    script = page.split('<script src="')[1].split('"')[0]
    assert (await client.get(script)).status_code == 200


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/recomend", "there is no such path; did you mean /recommend?"),
        ("/v1/Catalog", "there is no such path; did you mean /catalogue?"),
        ("/nothing-like-it", "there is no such path; see /docs"),
    ],
)
async def test_an_unknown_path_names_the_nearest(
    client: httpx.AsyncClient, path: str, said: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["error"]["message"]) == (404, said)


async def test_a_wrong_method_is_told_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.get("/recommend")
    assert answer.status_code == 405
    said = answer.json()["error"]["message"]
    assert said == "this path does not take GET; it takes OPTIONS, POST"


async def test_a_bound_beyond_float32_is_a_bound(client: httpx.AsyncClient) -> None:
    high = await client.post("/recommend", json={"min_score": 1e308})
    low = await client.post("/recommend", json={"min_score": -1e308, "k": 3})
    assert (high.status_code, high.json()["items"]) == (200, [])
    assert len(low.json()["items"]) == 3
