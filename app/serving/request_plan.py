"""From a validated request to what is computed for it: one `RequestPlan`, made in two steps.

`plan` needs little: what the request says, and the version of the user's state. That is enough to
look for a cached answer. `resolve` adds what the user did; only a cache miss pays for reading it.

    RecommendRequest ─▶ plan ─▶ cache lookup ─▶ hit
                                      │ miss
                                      └─▶ resolve ─▶ RankRequest for the engine
"""

import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from app.core.caller import NOBODY, Caller
from app.core.errors import ForbiddenError, InvalidRequestError, StoreError
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.store_ports import user_key
from app.core.types import Context, Goals
from app.domain.exposure import checked_exposure
from app.domain.filters import filter_text, no_such_field
from app.domain.intent import INTENT_OFF
from app.domain.named_values import WrongValue, bucketed, context_of
from app.domain.request import MAX_SEED, RecommendRequest
from app.domain.request_parts import MAX_HISTORY
from app.domain.sent_intent import SWITCHED_OFF
from app.serving.caching.answers import CacheLookup
from app.serving.caching.keys import fingerprint, state_of
from app.serving.control.control import Control
from app.serving.control.rules import Rules
from app.serving.cursor import Page, owned_by, read_cursor
from app.serving.goals import goals_of
from app.serving.intents.words import Words
from app.serving.user_state import UserStates, seen_items, taste_of

_FIRST_PAGE: Final = Page()
_NEVER: Final = float("inf")
_TITLE: Final = "title"
_LANGUAGE_NAMES: Final = ("language", "lang", "locale")
"""Names under which a context may say the language of the caller."""

# Seeded once by the system: what one answer has drawn tells nothing of the next.
_seeds = random.Random(random.SystemRandom().getrandbits(256))  # noqa: S311 - draws, not secrets

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RequestPlan:
    """What one computation is to do, and where its answer is cached.

    Attributes:
        ask: the validated request.
        request: what the engine is asked; `resolve` adds what the user did.
        user: key of the user whose state takes part; None = nobody's does.
        lookup: where the answer is cached, and in which state it must have been made.
        deadline: monotonic seconds.
        page: what earlier pages have shown.
        degraded: parts that had to be left out so far.
        valid_until: unix seconds at which an event of the user fades, which changes the answer.
        caller: who sent it, to tell callers apart and for nothing else; "" = nobody counts them.
        origin: who sent it, with what its key brings.
    """

    ask: RecommendRequest
    request: RankRequest
    user: str | None
    lookup: CacheLookup
    deadline: float
    page: Page
    degraded: tuple[str, ...] = ()
    valid_until: float = _NEVER
    caller: str = ""
    origin: Caller = NOBODY

    @property
    def explores(self) -> bool:
        """Whether places are drawn: such an answer is of this request alone."""
        return self.request.explore > 0

    @property
    def flight_key(self) -> bytes:
        """What identical requests in flight share; the catalogue of this moment is part of it."""
        now = f"{self.lookup.generation.catalogue} {' '.join(self.degraded)}"
        return self.lookup.key + self.lookup.state + now.encode()


class Planner:
    """Makes plans. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - the clock is injected
        self,
        engine: Engine,
        users: UserStates,
        cursor_life_s: float,
        now: Callable[[], float] = time.time,
        *,
        control: Control,
        words: Words | None = None,
    ) -> None:
        """Plan for `engine` and `users`.

        Args:
            engine: knows the fields of the catalogue, and its generation.
            users: reads what users did.
            control: knows the scenarios, and which rules may apply.
            cursor_life_s: age up to which a cursor is valid, in seconds.
            now: unix seconds.
            words: what was learned of the words of queries; None = nothing is learned.
        """
        self._engine, self._users = engine, users
        self._cursor_life_s, self._now = cursor_life_s, now
        self._control, self._words = control, words

    def completed(self, ask: RecommendRequest, caller: Caller) -> RecommendRequest:
        """Return a request with the fields of its scenario; this comes before everything else.

        Raises:
            InvalidRequestError: there is no such scenario.
            ForbiddenError: the caller may not ask with it.
        """
        default = _bound_to(ask, caller.scenarios) if caller.scenarios else None
        return self._control.scenarios.completed(ask, default)

    async def plan(self, ask: RecommendRequest, deadline: float, caller: Caller) -> RequestPlan:
        """Return the plan of a request that is `completed`, without what its user did.

        A user store that cannot be read costs the personal part, not the answer. `deadline`:
        monotonic seconds. `caller`: whose users are named.

        Raises:
            InvalidRequestError: a field that the catalogue does not have, a filter that does not
                fit it, a wrong context, goals that the bundle does not have, a cursor that is not
                valid any more.
        """
        filter_ = self._filter_of(ask.filter, "filter")
        intent, asked_by = self._intent_of(ask), ""
        if self._words is not None and ask.query and ask.intent is None:
            asked_by = _told_apart(ask, caller)
            intent = self._learned(self._words, ask.query, asked_by, caller)
        self._check_fields(ask)
        info = self._engine.info
        goals = goals_of(ask.goals, info)
        page = self._page(ask)
        named = ask.personalize and (ask.user_id is not None or ask.session_id is not None)
        user = user_key(ask.user_id, ask.session_id, caller.namespace) if named else None
        version = b""
        degraded: tuple[str, ...] = ()
        if user is not None:
            try:
                version = await self._users.version(user, deadline)
            except StoreError as error:
                user, degraded = None, _without_user(error)
        if not degraded:
            page = owned_by(version, page)
        request = _request_of(
            ask,
            filter_=filter_,
            intent=intent,
            page=page,
            now=self._now(),
            max_per=info.max_per,
            context=self._context_of(ask.context) if ask.context else (),
            rules=self._control.rules,
            exposure=(
                ""
                if ask.exposure is None
                else checked_exposure(ask.exposure, info.attributes, info.roles)
            ),
            seed=_seed_of(ask),
            goals=goals,
        )
        generation = info.generation
        lookup = CacheLookup(
            key=fingerprint(request, generation.bundle, who=_who(user, ask)),
            generation=generation,
            user_state=b"" if user is None else state_of(version),
            min_catalogue_seq=ask.min_catalogue,
        )
        return RequestPlan(
            ask=ask,
            request=request,
            user=user,
            lookup=lookup,
            deadline=deadline,
            page=page,
            degraded=degraded,
            caller=asked_by,
            origin=caller,
        )

    async def resolve(self, plan: RequestPlan) -> RequestPlan:
        """Return the plan with what its user did: taste, and what must not come back."""
        if plan.user is None:
            return plan
        ask, request = plan.ask, plan.request
        try:
            state = await self._users.read(plan.user, ask.seen, deadline=plan.deadline)
        except StoreError as error:
            return replace(plan, user=None, degraded=_without_user(error))
        rules, now = self._users.rules, self._now()
        taste = taste_of(state, rules, now)
        seen, valid_until = seen_items(state, rule=ask.seen, rules=rules, now=now)
        # What the request itself says of an item counts more than what is stored.
        named = {*ask.history, *ask.like, *ask.dislike}
        disliked = tuple(item for item in taste.disliked if item not in named)
        had = seen if ask.repeats else seen.union(disliked)
        request = request._replace(
            history=(*taste.history, *ask.history)[-MAX_HISTORY:],
            dislike=(*disliked, *ask.dislike)[-MAX_HISTORY:],
            exclude=request.exclude if ask.exclude_seen is None else request.exclude.union(had),
            seen=had if ask.exclude_seen is None else frozenset(),
            attributes=state.attributes,
        )
        # The state was read after its version: the answer belongs to the newer one.
        lookup = replace(plan.lookup, user_state=state_of(state.stored.version))
        until = min(taste.valid_until, valid_until, state.stored.valid_until)
        return replace(plan, request=request, lookup=lookup, valid_until=until)

    def _filter_of(self, raw: Mapping[str, object] | None, where: str) -> str:
        text = filter_text(raw, where)
        if text:
            self._engine.check_filter(text, where)
        return text

    def _context_of(self, sent: Mapping[str, object]) -> Context:
        """Return what the engine knows of a context, in buckets. Raises `InvalidRequestError`."""
        try:
            return self._engine.known_context(bucketed(context_of(sent)))
        except WrongValue as wrong:
            field = "context" if wrong.name is None else f"context.{wrong.name}"
            raise InvalidRequestError(str(wrong), field=field) from wrong

    def _intent_of(self, ask: RecommendRequest) -> str:
        """Return `RankRequest.intent`."""
        if ask.intent is None:
            return ""
        if ask.intent is SWITCHED_OFF:
            return INTENT_OFF if ask.query else ""
        self._filter_of(ask.intent.filters, "intent.filters")
        self._filter_of(ask.intent.prefers, "intent.prefers")
        return ask.intent.meaning().text()

    def _learned(self, words: Words, query: str, asked_by: str, caller: Caller) -> str:
        """Return what was learned of a query; it is used as if the caller had sent it."""
        intent = words.find(query, self._engine.info.bundle)
        if intent is None and may_teach(caller):
            words.count(query, asked_by)
        return intent or ""

    def _check_fields(self, ask: RecommendRequest) -> None:
        if not (ask.fields or ask.max_per):
            return
        known = self._engine.info.attributes
        for name in ask.fields:
            if name not in known:
                raise no_such_field(name, known, "fields")
        for name in ask.max_per or ():
            if name not in known and name != _TITLE:
                raise no_such_field(name, (*known, _TITLE), "max_per")

    def _page(self, ask: RecommendRequest) -> Page:
        if ask.cursor is None:
            return _FIRST_PAGE
        return read_cursor(ask.cursor, self._now(), self._cursor_life_s)


def _bound_to(ask: RecommendRequest, scenarios: tuple[str, ...]) -> str:
    """Return the scenario with which a caller asks who may ask with these; one is the default.

    Raises:
        ForbiddenError: the request has none of them.
    """
    if ask.scenario in scenarios:
        return ask.scenario
    if ask.scenario is None and len(scenarios) == 1:
        return scenarios[0]
    there = ", ".join(scenarios)
    raise ForbiddenError(f"this key may ask with these scenarios only: {there}", field="scenario")


def may_teach(caller: Caller) -> bool:
    """Tell whether a query of a caller may be learned, and spend what that costs."""
    return caller.language is None or caller.language.allows()


def _told_apart(ask: RecommendRequest, caller: Caller) -> str:
    """Return what different callers differ in."""
    return user_key(ask.user_id, ask.session_id, caller.namespace) or f"a:{caller.address}"


def _seed_of(ask: RecommendRequest) -> int:
    """Return the seed of the draws: 0 where nothing is drawn, so that it makes no other key."""
    if not ask.explore:
        return 0
    return _seeds.randrange(MAX_SEED) if ask.seed is None else ask.seed


def _request_of(  # noqa: PLR0913 - one argument a part
    ask: RecommendRequest,
    *,
    filter_: str,
    intent: str,
    page: Page,
    now: float,
    max_per: tuple[tuple[str, int], ...],
    context: Context,
    rules: Rules,
    exposure: str,
    seed: int,
    goals: Goals,
) -> RankRequest:
    """Return what the engine is asked for nobody in particular.

    `max_per`: the default of the recipe, for a request that says nothing of it. `context`: in
    buckets. `rules`: finds those that may apply. `exposure`: checked. `seed`: of the draws.
    """
    named = () if ask.repeats else (*ask.history, *ask.like, *ask.dislike)
    interpreted = bool(intent or ask.query) and intent != INTENT_OFF
    if ask.max_per is not None:
        max_per = tuple(sorted(ask.max_per.items()))
    elif ask.candidates is not None:
        max_per = ()  # all of them come back, unless the request itself says otherwise
    return RankRequest(
        query=ask.query,
        history=ask.history,
        like=ask.like,
        dislike=ask.dislike,
        exclude=frozenset((*ask.exclude, *named, *page.shown)),
        candidates=ask.candidates,
        k=ask.size,
        fields=ask.fields,
        filter=filter_,
        # Without a filter or an intent every item passes.
        on_empty=ask.on_empty if filter_ or interpreted else "none",
        intent=intent,
        # With candidates all of them come back.
        k_is_default=interpreted and ask.k is None and ask.candidates is None,
        now=now,
        max_per=max_per,
        shown=page.shown,
        repeat=ask.repeats,
        min_score=ask.min_score,
        by=ask.by,
        context=context,
        rules=rules.matching(ask.query, ask.scenario, interpreted=interpreted),
        explain=ask.explain,
        language=_language_of(ask) if ask.explain else "",
        diversity=ask.diversity,
        popularity_bias=ask.popularity_bias,
        explore=ask.explore,
        seed=seed,
        exposure=exposure,
        goals=goals,
    )


def _language_of(ask: RecommendRequest) -> str:
    """Return the code of the language that the context names, such as "es" of "es-MX"."""
    for name in _LANGUAGE_NAMES:
        value = (ask.context or {}).get(name)
        if isinstance(value, str):
            return value.casefold().replace("_", "-").partition("-")[0]
    return ""


def _who(user: str | None, ask: RecommendRequest) -> tuple[str, ...]:
    """Return whose state takes part in the answer, and how: a part of the cache key."""
    if user is None:
        return ()
    rule = ask.seen
    return user, f"{rule.events} {rule.within} {ask.exclude_seen is None}"


def _without_user(error: StoreError) -> tuple[str, ...]:
    log.warning("recommending without user state: %s", error.message)
    return ("user_state",)
