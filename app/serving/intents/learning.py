"""Everything that learns queries, put together: opened, started and closed as one.

It is made only where the settings name a language model.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import orjson

from app.core.errors import AppError
from app.core.ports import Engine, LanguageModel, TextModel
from app.core.settings import Settings
from app.core.store_ports import IntentStore
from app.core.telemetry import Metrics
from app.serving.breaker import Breaker
from app.serving.current_engine import CurrentEngine
from app.serving.intents.asker import Asker, AskerParts, AskLimits
from app.serving.intents.learner import IntentLearner, ItemOfTitle
from app.serving.intents.question import PROMPT_VERSION
from app.serving.intents.words import Words

_LOOK_S: Final = 0.25
"""How often it is looked what other replicas have learned: they see it within a second."""

_REST: Final = 9.0
RunExclusive: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]

_FAILURES: Final = 3
_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0
_LEASE_MARGIN_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Teacher:
    """A language model, the store of what it teaches, and the name of the model.

    `writer`: the same model, where it also writes texts; None = it does not.
    """

    model: LanguageModel
    store: IntentStore
    name: str
    writer: TextModel | None = None


@dataclass(frozen=True, slots=True)
class LearningLimits:
    """When and how often the model is asked; `min_callers`: different callers of some words."""

    min_callers: int
    asks: AskLimits


def learning_limits(settings: Settings) -> LearningLimits:
    """Return the limits of the settings."""
    lease_s = settings.llm_timeout_ms / 1e3 + _LEASE_MARGIN_S
    return LearningLimits(settings.llm_min_callers, AskLimits(settings.llm_max_per_minute, lease_s))


def namespace_of(catalogue: str, model: str) -> str:
    """Return the name under which a model's intents over a catalogue are stored."""
    return orjson.dumps([catalogue, model, PROMPT_VERSION]).decode()


class TitleSearch:
    """Looks titles up in the thread that ranks, at most a tenth of the time.

    A look-up takes milliseconds in a large catalogue, and requests wait meanwhile.
    """

    def __init__(
        self,
        engine: Engine,
        run_exclusive: RunExclusive,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """Search the titles of `engine`.

        Args:
            engine: what serves.
            run_exclusive: runs a call between two passes: `Batcher.run_exclusive`.
            clock: monotonic seconds.
            sleep: waits so many seconds.
        """
        self._engine, self._run_exclusive = engine, run_exclusive
        self._clock, self._sleep = clock, sleep

    async def __call__(self, title: str) -> str | None:
        """Return the id of the item that a title means; None if it means none."""
        item: str | None
        item, seconds = await self._run_exclusive(lambda: self._timed(title))
        await self._sleep(_REST * seconds)
        return item

    def _timed(self, title: str) -> tuple[str | None, float]:
        start = self._clock()
        item = self._engine.item_of_title(title)
        return item, self._clock() - start


class Learning:
    """The words, the learner and the asker of one service. Belongs to one event loop."""

    def __init__(  # noqa: PLR0913 - clocks are injected
        self,
        teacher: Teacher,
        current: CurrentEngine,
        metrics: Metrics,
        limits: LearningLimits,
        *,
        item_of_title: ItemOfTitle,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Wire the parts; nothing runs before `start`.

        Args:
            teacher: is owned and closed.
            current: what serves; its facets must have been counted.
            metrics: where everything is counted.
            limits: when the model is asked.
            item_of_title: looks up titles.
            now: unix seconds.
            clock: monotonic seconds.
        """
        self._teacher = teacher
        self._tasks: list[asyncio.Task[None]] = []
        self.words = Words(
            limits.min_callers,
            on_ready=self._wake,
            on_used=metrics.intents_used.inc,
        )
        self.learner = IntentLearner(
            teacher.store, current, self.words, metrics, item_of_title=item_of_title, now=now
        )
        parts = AskerParts(
            model=teacher.model,
            store=teacher.store,
            words=self.words,
            learner=self.learner,
            breaker=Breaker(_FAILURES, _PAUSE_S, clock, longest_pause_s=_LONGEST_PAUSE_S),
            metrics=metrics,
        )
        self._asker = Asker(parts, limits.asks, now, clock)

    def _wake(self) -> None:
        self._asker.wake()

    async def start(self) -> None:
        """Use what was learned before, and begin to learn, in tasks."""
        await self.learner.open()
        self._tasks = [
            asyncio.create_task(self.learner.watch(_LOOK_S), name="recserve-intents"),
            asyncio.create_task(self._asker.run(), name="recserve-asker"),
        ]

    async def aclose(self) -> None:
        """Stop, write how often what was learned was used, and close the teacher. Idempotent."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._tasks:
            with suppress(AppError):
                await self.learner.count_uses()
        self._tasks = []
        self.learner.close()
        await self._teacher.model.aclose()
        await self._teacher.store.aclose()
