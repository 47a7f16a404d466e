"""A service that learns queries from a scripted language model, over fakes."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import orjson

from app.core.ports import LanguageModel
from app.core.store_ports import IntentStore
from app.core.types import ModelAnswer, ModelQuestion
from app.serving.intents.learning import Teacher
from app.testing.fakes import GatedEngine
from app.testing.intent_store import MemoryIntentStore
from app.testing.language_model import ScriptedLanguageModel
from tests.recommender_rig import Rig, rig

Says = Callable[[str], "Mapping[str, Any] | ModelAnswer"]
"""What a model says of the words of a query."""


def query_in(question: ModelQuestion) -> str:
    query: str = orjson.loads(question.text)["query"]
    return query


def scripted(says: Says) -> ScriptedLanguageModel:
    return ScriptedLanguageModel(lambda question: says(query_in(question)))


class EveryQueryIsWeak(set[str]):
    """For `GatedEngine.weak`."""

    def __contains__(self, query: object) -> bool:
        return True


def weak_engine(n_items: int = 300, bundle: str = "fake/1") -> GatedEngine:
    engine = GatedEngine(n_items, bundle=bundle)
    engine.weak = EveryQueryIsWeak()
    return engine


@asynccontextmanager
async def learning_rig(
    model: LanguageModel,
    store: IntentStore | None = None,
    engine: GatedEngine | None = None,
    **options: Any,
) -> AsyncIterator[Rig]:
    teacher = Teacher(model, store or MemoryIntentStore(), "m")
    async with rig(engine=engine or weak_engine(), teacher=teacher, **options) as r:
        yield r


async def ask_as(r: Rig, query: str, *callers: str, **fields: Any) -> dict[str, Any]:
    """Send a query as several users; return the last answer."""
    for caller in callers:
        answer = await r.get(query=query, user_id=caller, **fields)
    return answer


def ids(answer: Mapping[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]
