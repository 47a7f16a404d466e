"""The routes for whoever runs the service, over fakes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import jsonschema_rs
import pytest

from app.api import schemas
from app.api.server import create_app
from app.bootstrap import Service, wire
from app.core.errors import BundleError
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.serving.current_engine import LoadedBundle
from app.serving.reloader import BundleSource
from app.testing.control_store import MemoryControlStore
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from app.testing.journal import MemoryJournal


class Bundles:
    """Generation `fake/1` serves first; a load of `broken` fails."""

    def __init__(self) -> None:
        self.points_to = "fake/1"

    def load(self) -> LoadedBundle:
        if self.points_to == "broken":
            raise BundleError("the bundle lacks its file 'vectors.npy'")
        engine = GatedEngine(bundle=self.points_to)
        return LoadedBundle(engine, MemoryUserStore({}), DEFAULT_EVENT_RULES)


@asynccontextmanager
async def served(bundles: Bundles) -> AsyncIterator[httpx.AsyncClient]:
    @asynccontextmanager
    async def open_service(settings: Settings, metrics: Metrics) -> AsyncIterator[Service]:
        source = BundleSource(lambda: bundles.points_to, bundles.load)
        parts = (settings, metrics, GatedEngine(), MemoryUserStore({}), None)
        async with wire(
            *parts,
            events=MemoryEventStore(),
            journal=MemoryJournal("films"),
            control=MemoryControlStore(),
            source=source,
        ) as service:
            yield service

    app = create_app(Settings(), open_service)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as client,
    ):
        yield client


async def reload(client: httpx.AsyncClient, **rest: Any) -> httpx.Response:
    return await client.post("/admin/reload", **rest)


async def generation(client: httpx.AsyncClient) -> str:
    answer = (await client.post("/recommend", json={"query": "heist"})).json()
    shown = (await client.get("/info")).json()["bundle"]["generation"]
    assert answer["generation"]["bundle"] == shown
    return str(shown)


@pytest.mark.parametrize("sent", [{}, {"json": {}}, {"content": b"  "}], ids=str)
async def test_another_generation_takes_over(sent: dict[str, Any]) -> None:
    bundles = Bundles()
    async with served(bundles) as client:
        assert await generation(client) == "fake/1"
        bundles.points_to = "fake/2"
        answer = await reload(client, **sent)

        assert answer.status_code == 200
        body = answer.json()
        jsonschema_rs.validate(schemas.RELOAD, body)
        assert body.pop("seconds") >= 0
        assert body == {
            "generation": {"bundle": "fake/2", "catalogue": 0},
            "previous": "fake/1",
            "reloaded": True,
        }
        assert await generation(client) == "fake/2"


async def test_the_one_that_serves_already_is_left_alone() -> None:
    async with served(Bundles()) as client:
        body = (await reload(client)).json()

        assert (body["previous"], body["reloaded"]) == ("fake/1", False)
        assert body["generation"]["bundle"] == "fake/1"


async def test_a_broken_one_is_refused_and_the_old_one_serves_on() -> None:
    bundles = Bundles()
    async with served(bundles) as client:
        bundles.points_to = "broken"
        answer = await reload(client)

        assert answer.status_code == 409
        error = answer.json()["error"]
        jsonschema_rs.validate(schemas.ERROR, answer.json())
        assert (error["code"], error["message"][:15]) == ("bundle_invalid", "the bundle lack")
        assert await generation(client) == "fake/1"
        metrics = (await client.get("/metrics")).text
        assert 'recserve_reloads_total{result="refused"} 1.0' in metrics


async def test_a_body_that_says_something_is_refused() -> None:
    async with served(Bundles()) as client:
        for content in (b'{"generation":"x"}', b"[]", b"nonsense"):
            answer = await reload(client, content=content)
            assert (answer.status_code, answer.json()["error"]["code"]) == (422, "invalid_request")


async def test_the_wrong_method_is_told_the_right_one() -> None:
    async with served(Bundles()) as client:
        answer = await client.get("/admin/reload")

    assert (answer.status_code, answer.headers["allow"]) == (405, "OPTIONS, POST")
