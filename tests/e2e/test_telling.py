"""Texts about answers over HTTP: a service, a language model behind a real server, and no buffers.

The language model is a server of ours that writes what a test wants, as slowly as it wants.
"""

import asyncio
import gzip
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.chat_server import ChatRequest, chatting, event, http, piece, streamed
from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

SAID = {"query": "crime", "k": 2, "filter": {"categories": {"any": ["Crime"]}}, "budget_ms": 10_000}
TRUE = "Heat is a crime thriller from 1995."
LIE = "Goodfellas is the best film of 1991."
INSTEAD = "“Goodfellas” is from 1990: Crime, Drama."


class Model:
    """A language model in a thread. `mode`: "writes", "hangs" in the middle, or "fails"."""

    def __init__(self) -> None:
        self.mode = "writes"
        self.url = ""
        self.asked: list[dict[str, Any]] = []
        self.left = threading.Event()
        self.go_on = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=[self._run()])

    async def _run(self) -> None:
        async with chatting(self._answer) as server:
            self.url = server.url
            self._ready.set()
            await self._stop.wait()

    async def _answer(self, request: ChatRequest) -> bytes:
        self.asked.append(request.body)
        if self.mode == "fails":
            return http(500, b"{}")
        if self.mode == "hangs":
            return await streamed(request, piece(f"{TRUE} Good"), self._until_left(request))
        return await streamed(
            request, piece(f"{TRUE} Good"), self._until_told(), piece(LIE[4:]), event("[DONE]")
        )

    async def _until_told(self) -> bytes:
        await asyncio.to_thread(self.go_on.wait, 30)
        return b""

    async def _until_left(self, request: ChatRequest) -> bytes:
        try:
            while not request.writer.transport.is_closing():
                request.writer.write(b": \n")
                await request.writer.drain()
                await asyncio.sleep(0.01)
        finally:
            self.left.set()
        return b""

    @contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        assert self._ready.wait(20)
        try:
            yield
        finally:
            self.go_on.set()
            self._loop.call_soon_threadsafe(self._stop.set)
            self._thread.join()
            self._loop.close()


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    model = Model()
    with model.running():
        yield model


@pytest.fixture(scope="module")
def service(
    bundle: Path, model: Model, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    flags = ("--llm-url", model.url, "--llm-max-per-minute", "1000", "--llm-text-ms", "60000")
    with serving(bundle, tmp_path_factory.mktemp("telling"), *flags) as running:
        yield running


def read(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    """Yield events as they arrive."""
    name = ""
    for line in lines:
        if line.startswith("event: "):
            name = line.removeprefix("event: ")
        elif line:
            yield name, json.loads(line.removeprefix("data: "))


def test_each_event_is_sent_when_it_is_there(service: Running, model: Model) -> None:
    model.mode = "writes"
    model.go_on.clear()
    with service.client.stream("POST", "/recommend/stream", json=SAID) as reply:
        assert reply.status_code == 200
        assert reply.headers["content-type"].startswith("text/event-stream")
        events = read(reply.iter_lines())
        name, answer = next(events)
        assert (name, len(answer["items"])) == ("items", 2)
        # The model has not ended its text: nothing waits for it, neither here nor there.
        assert next(events) == ("text", {"text": TRUE, "by": "model"})
        assert not model.go_on.is_set()
        model.go_on.set()
        assert next(events) == ("text", {"text": INSTEAD, "by": "template"})
        assert list(events) == [("done", {"sentences": 2, "by_model": 1})]
    (asked,) = model.asked
    assert asked["stream"] is True
    assert "Goodfellas" in asked["messages"][-1]["content"]

    # The second time the text is there, on every path to it, and the model is not asked.
    packed = gzip.compress(json.dumps(SAID).encode())
    again = service.client.post(
        "/v1/recommend/stream", content=packed, headers={"content-encoding": "gzip"}
    )
    assert [name for name, _ in read(iter(again.text.splitlines()))] == [
        *("items", "text", "text", "done")
    ]
    plain = service.client.post("/recommend", json={**SAID, "text": True}).json()
    assert (plain["text"], plain["text_by"]) == (f"{TRUE} {INSTEAD}", "both")
    assert len(model.asked) == 1
    assert "text" not in service.client.post("/recommend", json=SAID).json()
    metrics = service.client.get("/metrics").text
    assert 'recserve_text_sentences_total{by="model"} 3.0' in metrics


def test_a_caller_that_leaves_ends_the_call(service: Running, model: Model) -> None:
    model.mode = "hangs"
    model.left.clear()
    said = {**SAID, "k": 1}
    with service.client.stream("POST", "/recommend/stream", json=said) as reply:
        events = read(reply.iter_lines())
        assert [next(events)[0], next(events)[0]] == ["items", "text"]
        assert not model.left.is_set()
    assert model.left.wait(20)
    assert service.client.get("/livez").status_code == 200


def test_a_model_that_is_down_costs_only_its_text(service: Running, model: Model) -> None:
    model.mode = "fails"
    for k in (3, 4, 5, 6, 7):  # more than the circuit breaker takes
        reply = service.client.post("/recommend/stream", json={"k": k, "budget_ms": 10_000})
        found = list(read(iter(reply.text.splitlines())))
        assert (reply.status_code, found[-1]) == (200, ("done", {"sentences": 4, "by_model": 0}))
    told = [data["text"] for name, data in found if name == "text"]
    assert told[0] == "7 suggestions."
    assert all(text.startswith("“") for text in told[1:])


def test_what_recommend_refuses_is_an_error_event(service: Running) -> None:
    for body, status in (({"k": 0}, 422), ({"fields": ["hue"]}, 422), ({"cursor": "no"}, 422)):
        reply = service.client.post("/recommend/stream", json=body)
        ((name, problem),) = read(iter(reply.text.splitlines()))
        assert (reply.status_code, name) == (status, "error")
        assert problem["error"]["code"] == "invalid_request"
        assert problem["error"]["field"] == next(iter(body))


def test_the_document_says_it_is_a_stream(service: Running) -> None:
    paths = httpx.get(f"{service.url}/openapi.json").json()["paths"]
    answers = paths["/recommend/stream"]["post"]["responses"]
    assert list(answers["200"]["content"]) == ["text/event-stream"]
    assert list(answers["422"]["content"]) == ["text/event-stream"]
