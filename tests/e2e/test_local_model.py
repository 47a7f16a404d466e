"""A real language model, small enough for any machine, behind a real HTTP server.

What it says of a query is often wrong: it has 135 million parameters. What is tested is that all of
it fits together: the schema, the HTTP client, the checks and the store.
"""

import threading
from collections.abc import Iterator

import jsonschema_rs
import pytest
from prometheus_client import CollectorRegistry

from app.core.telemetry import Metrics
from app.core.types import ModelQuestion
from app.language_model.endpoint import HttpLanguageModel
from app.serving.intents.facts import CatalogueFacts, count_values
from app.serving.intents.question import question
from app.serving.telling.check import Check
from app.serving.telling.teller import Teller, TextLimits, TextWriter
from app.serving.telling.template import template_text
from app.testing.intent_store import MemoryIntentStore
from loadtest.runners import local_model
from tests.intent_rig import ids, learning_rig
from tests.recommender_rig import settled
from tests.small_engine import small_engine
from tests.telling_rig import facts

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.model,
    pytest.mark.skipif(
        bool(local_model.missing()), reason=f"not installed: {local_model.missing()}"
    ),
]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    server = local_model.server_of(local_model.Model())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    server.server_close()
    thread.join()


def asked() -> ModelQuestion:
    engine = small_engine()
    return question("newest space films", CatalogueFacts.of(engine, count_values(engine)))


async def test_the_answer_of_a_real_model_fits_the_schema(url: str) -> None:
    model = HttpLanguageModel(url, local_model.NAME, None, 60.0)
    answer = await model.ask(asked())
    await model.aclose()
    jsonschema_rs.validator_for(asked().schema).validate(answer.content)
    assert answer.prompt_tokens > 300
    assert answer.answer_tokens > 10


async def test_a_real_model_tells_nothing_that_is_not_checked(url: str) -> None:
    model = HttpLanguageModel(url, local_model.NAME, None, 60.0)
    writer = TextWriter(model, MemoryIntentStore())
    limits = TextLimits(max_tokens=60, seconds=60.0, max_per_minute=9)
    teller = Teller(small_engine(), writer, limits, Metrics(CollectorRegistry()))
    films = facts("films")
    told = [each async for each in teller.tell(films)]
    await teller.aclose()
    await model.aclose()
    assert told
    assert list(teller.at_once(films)) == told  # the model has ended its text
    true = {*template_text(films)}
    assert all(each.text in true for each in told if each.by == "template")
    judge, before = Check(films), frozenset[int]()
    for each in told:
        if each.by == "model":
            assert judge(each.text, before).passed
        before = frozenset(n for n, item in enumerate(films.items) if item.title in each.text)


async def test_a_service_learns_from_a_real_model(url: str) -> None:
    model = HttpLanguageModel(url, local_model.NAME, None, 60.0)
    async with learning_rig(model) as r:
        for user in ("ann", "bob", "cid"):
            before = await r.get(query="something calm for the evening", user_id=user)
        await settled(lambda: r.service.intents._seq == 1, timeout_s=60)
        assert r.metric("llm_calls_total", result="answered") == 1
        after = await r.get(query="something calm for the evening", user_id="dan")
        assert len(ids(after)) == len(ids(before)) == 10
        assert r.metric("llm_tokens_total", kind="prompt") > 300
        shown = await r.service.intents.shown(0, 10)
        assert [each.learned.words for each in shown] == ["something calm for the evening"]
