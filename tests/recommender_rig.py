"""A service wired over a gated engine and fakes, and short words for what tests look at."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import orjson
from prometheus_client import CollectorRegistry

from app.bootstrap import Service, wire
from app.core.answer_port import AnswerStore
from app.core.caller import Caller
from app.core.ports import Cache
from app.core.settings import Settings
from app.core.store_ports import UserStore
from app.core.telemetry import Metrics
from app.domain.event_rules import DEFAULT_EVENT_RULES, EventRule
from app.domain.request import RecommendRequest
from app.serving.intents.learning import Teacher
from app.testing.control_store import MemoryControlStore
from app.testing.event_store import MemoryEventStore
from app.testing.fakes import GatedEngine, MemoryUserStore
from app.testing.journal import MemoryJournal


def ask(**fields: Any) -> RecommendRequest:
    return RecommendRequest.model_validate_json(orjson.dumps(fields))


class Rig:
    """A wired service over a gated engine, and short words for what tests look at."""

    def __init__(self, service: Service, engine: GatedEngine) -> None:
        self.service = service
        self.engine = engine
        self.warm_up = len(engine.batches)

    async def get(self, address: str = "", /, **fields: Any) -> dict[str, Any]:
        """Ask. A request has as long as it may have: a busy machine makes no test fail."""
        fields = {"budget_ms": 10_000, **fields}
        answer = await self.service.recommender.recommend(ask(**fields), Caller(address))
        return {**orjson.loads(answer.body), "x_cache": answer.x_cache}

    @property
    def asked(self) -> list[Any]:
        """Requests that reached the engine since the warm-up."""
        return [request for batch in self.engine.batches[self.warm_up :] for request in batch]

    def metric(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(f"recserve_{name}", labels) or 0.0


OpenRig = Callable[..., AbstractAsyncContextManager[Rig]]


@asynccontextmanager
async def rig(
    shared: Cache | None = None,
    users: UserStore | None = None,
    events: MemoryEventStore | None = None,
    engine: GatedEngine | None = None,
    rules: Mapping[str, EventRule] = DEFAULT_EVENT_RULES,
    *,
    teacher: Teacher | None = None,
    control: MemoryControlStore | None = None,
    answers: AnswerStore | None = None,
    now: Callable[[], float] = time.time,
    **settings: Any,
) -> AsyncIterator[Rig]:
    engine = engine or GatedEngine()
    metrics = Metrics(CollectorRegistry())
    users = users or MemoryUserStore({})
    events = events or MemoryEventStore()
    async with wire(
        Settings(**settings),
        metrics,
        engine,
        users,
        shared,
        events=events,
        journal=MemoryJournal("films"),
        control=control or MemoryControlStore(),
        answers=answers,
        teacher=teacher,
        rules=rules,
        now=now,
    ) as service:
        yield Rig(service, engine)


_BUSY_TURNS = 200


async def settled(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    """Let the loop turn until the condition holds.

    After some turns it rests a little before each: a loop that only turns would keep the
    interpreter from the other threads that it waits for.
    """
    turns = 0
    async with asyncio.timeout(timeout_s):
        while not condition():
            turns += 1
            await asyncio.sleep(0 if turns < _BUSY_TURNS else 0.001)


async def begun_ahead(r: Rig, query: str) -> asyncio.Task[dict[str, Any]]:
    """Ask, and return once it is in the batch that follows the one in the held engine."""
    begun = r.metric("batch_size_count")
    task = asyncio.create_task(r.get(query=query))
    await settled(lambda: r.metric("batch_size_count") > begun)
    return task
