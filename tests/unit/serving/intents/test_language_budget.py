"""A key's budget of the language features: over it a query is answered, and not learned."""

import pytest

from app.core.caller import Caller
from app.core.errors import RateLimitedError
from app.serving.access.budget import Budget
from app.testing.intent_store import MemoryIntentStore
from tests.clock import Clock
from tests.intent_rig import learning_rig, scripted
from tests.recommender_rig import ask, settled

_LONG_MS = 10_000


async def test_over_its_budget_a_key_teaches_nothing() -> None:
    clock, store = Clock(), MemoryIntentStore()
    store.down = True  # so what was noted waits
    model = scripted(lambda _: {"residual_text": "robots"})
    budget = Budget("language", 0.5, 2, clock)
    async with learning_rig(model, store, llm_min_callers=1) as r:
        recommend = r.service.recommender.recommend
        for n in range(5):
            answer = await recommend(
                ask(query=f"q{n}", budget_ms=_LONG_MS), Caller("1.2.3.4", language=budget)
            )
            assert (answer.x_cache, answer.degraded) == ("miss", ())
        await settled(lambda: r.metric("intents_waiting") == 2)
        clock.advance(2.0)
        await recommend(ask(query="later", budget_ms=_LONG_MS), Caller("", language=budget))
        await recommend(ask(query="too soon", budget_ms=_LONG_MS), Caller("", language=budget))
        await settled(lambda: r.metric("intents_waiting") == 3)
        # Others have their own budget, or none.
        await recommend(ask(query="free", budget_ms=_LONG_MS), Caller("5.6.7.8"))
        await settled(lambda: r.metric("intents_waiting") == 4)


async def test_a_text_that_is_over_the_budget_is_refused_before_any_work() -> None:
    budget = Budget("language", 0.5, 1, Clock())
    async with learning_rig(scripted(lambda _: {})) as r:
        recommend = r.service.recommender.recommend
        wanted = ask(query="q", text=True, budget_ms=_LONG_MS)
        await recommend(wanted, Caller(language=budget))
        asked = len(r.asked)
        with pytest.raises(RateLimitedError, match="the budget of language") as refused:
            await recommend(ask(query="p", text=True, budget_ms=_LONG_MS), Caller(language=budget))
        assert refused.value.retry_after_ms == 2000
        assert len(r.asked) == asked
