"""Tries rules on some requests: the lists with the rules in force, and with the others beside them.

Nothing is stored, and no cache is read or filled. Both lists come out of one pass of the engine.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.caller import Caller
from app.core.errors import AppError
from app.core.lane import Lane
from app.core.ranking import RankRequest, RankResult
from app.domain.intent import INTENT_OFF
from app.domain.request import RecommendRequest
from app.domain.rule import Rule
from app.serving.batching.batcher import Batcher
from app.serving.control.checking import ControlWarning
from app.serving.control.control import Control
from app.serving.control.rule_book import RuleBook
from app.serving.request_plan import Planner

_OPERATOR: Final = Caller(lane=Lane("operators", interactive=False))
"""An administrator, who is bound to nothing, and waits until no interactive request does."""


@dataclass(frozen=True, slots=True)
class PlaceChange:
    """An item whose place differs: `before` and `after` count from 1; None = not in the list."""

    id: str
    before: int | None
    after: int | None


@dataclass(frozen=True, slots=True)
class Compared:
    """The two lists of a request."""

    before: RankResult
    after: RankResult

    @property
    def changes(self) -> list[PlaceChange]:
        """The items whose place differs: those that come in or move, by their new place; others."""
        old = {item.id: place for place, item in enumerate(self.before.items, 1)}
        new = {item.id: place for place, item in enumerate(self.after.items, 1)}
        return [
            PlaceChange(name, old.get(name), new.get(name))
            for name in (*new, *(name for name in old if name not in new))
            if old.get(name) != new.get(name)
        ]


class DryRun:
    """Tries rules. All methods belong to one event loop."""

    def __init__(
        self,
        control: Control,
        planner: Planner,
        batcher: Batcher[RankRequest, RankResult],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Plan with `planner` and rank with `batcher`. `clock`: monotonic seconds."""
        self._control, self._planner, self._batcher = control, planner, batcher
        self._clock = clock

    async def run(
        self, rules: Sequence[Rule], asks: Sequence[RecommendRequest], where: str
    ) -> tuple[list[Compared | AppError], list[ControlWarning]]:
        """Return the two lists of each request, or why it fails, and what looks wrong in the rules.

        Args:
            rules: beside those in force, in the place of those with the same id.
            asks: the requests.
            where: the name of the list of rules in what was sent.

        Raises:
            InvalidRequestError: a rule does not fit the catalogue; see `Rules.check`.
            StoreError: the rules in force cannot be read.
        """
        await self._control.catch_up()
        warnings = await self._control.check_rules(rules, where)
        book = self._control.rules.book_with(rules)
        # One after another: requests that callers wait for come between.
        return [await self._compared(ask, book) for ask in asks], warnings

    async def _compared(self, ask: RecommendRequest, book: RuleBook) -> Compared | AppError:
        try:
            ask = self._planner.completed(ask, _OPERATOR)
            deadline = self._clock() + ask.budget_ms / 1e3
            plan = await self._planner.resolve(await self._planner.plan(ask, deadline, _OPERATOR))
            request = plan.request
            interpreted = request.intent != INTENT_OFF and bool(request.intent or request.query)
            rules = book.matching(ask.query, ask.scenario, interpreted=interpreted)
            both = (request, request._replace(rules=rules))
            before, after = await asyncio.gather(
                *(self._batcher.submit(each, deadline, _OPERATOR.lane) for each in both)
            )
        except AppError as error:
            return error
        return Compared(before.result, after.result)
