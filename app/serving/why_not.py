"""Tells why an item is not in an answer: what the service keeps out, then what the engine does.

The request is planned as `POST /recommend` plans it, with the state of its user. The engine asks
itself in the thread that ranks, between two passes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from app.core.caller import Caller
from app.core.errors import StoreError
from app.core.explanation import KeptOut, LostItem
from app.core.ports import Engine
from app.core.ranking import RankRequest, RankResult
from app.domain.event_rules import EventRule
from app.domain.request import RecommendRequest
from app.serving.batching.batcher import Batcher
from app.serving.request_plan import Planner, RequestPlan
from app.serving.user_state import UserState, UserStates


@dataclass(frozen=True, slots=True)
class WhyNot:
    """Explains items that are not in answers. All methods belong to one event loop."""

    engine: Engine
    planner: Planner
    batcher: Batcher[RankRequest, RankResult]
    users: UserStates

    async def explain(
        self, ask: RecommendRequest, item_id: str, deadline: float, caller: Caller
    ) -> LostItem:
        """Return the stage at which a request loses an item, or that it is in the answer.

        Args:
            ask: the request.
            item_id: of the item.
            deadline: monotonic seconds.
            caller: whose users are named.

        Raises:
            InvalidRequestError, ForbiddenError: as `Recommender.recommend`.
            NotReadyError: stopping, or the engine is lost.
            EngineError: the model failed on this request.
        """
        plan = await self.planner.plan(self.planner.completed(ask, caller), deadline, caller)
        plan = await self.planner.resolve(plan)
        kept_out = _kept_out(plan, item_id) or await self._by_events(plan, item_id)
        return await self.batcher.run_exclusive(
            partial(self.engine.why_not, plan.request, item_id, kept_out)
        )

    async def _by_events(self, plan: RequestPlan, item_id: str) -> KeptOut | None:
        """Return which stored event keeps an item out, if one does."""
        if plan.user is None or item_id not in plan.request.exclude | plan.request.seen:
            return None
        try:
            state = await self.users.read(plan.user, plan.ask.seen)
        except StoreError:
            return None
        return _by_event(state, item_id, self.users.rules)


def _kept_out(plan: RequestPlan, item_id: str) -> KeptOut | None:
    """Return what in the request, or which earlier page, keeps an item out; None = neither."""
    ask = plan.ask
    if item_id in ask.exclude:
        return KeptOut("excluded", "exclude")
    if item_id in plan.page.shown:
        return KeptOut("shown", "shown")
    named = {"history": ask.history, "like": ask.like, "dislike": ask.dislike}
    for name, ids in named.items():
        if item_id in ids and not ask.repeats:
            return KeptOut("excluded", name)
    return None


def _by_event(state: UserState, item_id: str, rules: Mapping[str, EventRule]) -> KeptOut:
    newest = max(_seen(state, item_id), key=lambda event: event[1], default=None)
    if newest is not None:
        kind, at = newest
        return KeptOut("seen", "seen", {"event": kind, "time": at})
    for event in reversed(state.stored.events):
        rule = rules.get(event.kind)
        if event.item == item_id and rule is not None and rule.sign(event.value) < 0:
            return KeptOut("seen", "disliked", {"event": event.kind, "time": event.time})
    return KeptOut("seen", "seen_before")


def _seen(state: UserState, item_id: str) -> Iterator[tuple[str, float]]:
    """Yield the kinds of events that make an item seen, and their times, unix seconds."""
    for kind, items in state.stored.seen.items():
        for each in items:
            if each.item == item_id:
                yield kind, each.time
