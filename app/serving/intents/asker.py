"""Asks a language model about words, beside the path of requests.

The most asked words come first, each in one call at a time over all replicas (a claim in the
store), so many a minute over all replicas, and a circuit breaker leaves a model that fails alone.
Whatever happens here, requests are answered as if it did not run.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from app.core.errors import AppError, LanguageModelError
from app.core.ports import LanguageModel
from app.core.store_ports import IntentStore
from app.core.telemetry import Metrics
from app.core.types import ModelAnswer
from app.serving.breaker import Breaker, Permit
from app.serving.intents.facts import CatalogueFacts
from app.serving.intents.learner import IntentLearner
from app.serving.intents.question import question
from app.serving.intents.words import Note, Words

_AT_ONCE: Final = 2
"""Calls that may run at the same time."""

_IDLE_S: Final = 1.0
_STORE_PAUSE_S: Final = 5.0
_RETRY_S: Final = 60.0
_MAX_FAILURES: Final = 4
"""Words of which so many calls failed are forgotten; they may be noted again."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AskLimits:
    """How often the model is asked.

    Attributes:
        max_per_minute: most calls a minute, of all replicas together.
        lease_s: for so long other replicas leave words alone that this one asks; longer than a
            call may take.
    """

    max_per_minute: int
    lease_s: float


@dataclass(frozen=True, slots=True)
class AskerParts:
    """What an asker is wired from."""

    model: LanguageModel
    store: IntentStore
    words: Words
    learner: IntentLearner
    breaker: Breaker
    metrics: Metrics


class Asker:
    """Asks while `run` runs. All methods belong to one event loop."""

    def __init__(
        self,
        parts: AskerParts,
        limits: AskLimits,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Ask nothing yet. `now`: unix seconds. `clock`: monotonic seconds."""
        self._parts, self._limits = parts, limits
        self._now, self._clock = now, clock
        self._wake = asyncio.Event()
        self._resume_at = 0.0
        metrics, breaker = parts.metrics, parts.breaker
        self._in_flight = 0
        metrics.llm_calls_in_flight.set_function(lambda: self._in_flight)
        metrics.llm_breaker_open.set_function(lambda: breaker.open)
        metrics.intents_waiting.set_function(lambda: parts.words.waiting)

    def wake(self) -> None:
        """Look for words to ask now."""
        self._wake.set()

    async def run(self) -> None:
        """Ask until cancelled."""
        await asyncio.gather(*(self._work() for _ in range(_AT_ONCE)))

    async def _work(self) -> None:
        while True:
            try:
                asked = await self._ask_next()
            except Exception:  # noqa: BLE001 - go on, or nothing would be learned any more
                _log.exception("a query could not be asked")
                asked = False
            if not asked:
                self._wake.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(_IDLE_S):
                        await self._wake.wait()

    async def _ask_next(self) -> bool:
        """Ask about the most asked words; return whether there may be more to do now."""
        parts, facts = self._parts, self._parts.learner.facts()
        if facts is None or not parts.words.waiting or self._clock() < self._resume_at:
            return False
        permit = parts.breaker.permit()
        if permit is None:
            return False
        taken = parts.words.next(self._clock())
        if taken is None:
            parts.breaker.abandoned(permit)
            return False
        words, note = taken
        if not await self._may_ask(words, note):
            parts.breaker.abandoned(permit)
            return False
        answer = await self._answer(words, note, facts, permit)
        if answer is not None:
            await self._learn(words, note, answer)
        return True

    async def _may_ask(self, words: str, note: Note) -> bool:
        """Claim words in the store; put them off if that fails."""
        parts, limits = self._parts, self._limits
        try:
            claim = await parts.store.claim(
                words, self._now(), limits.lease_s, limits.max_per_minute
            )
        except AppError as error:
            _log.warning("nothing is asked for a while: %s", error.message)
            parts.words.put_off(words, note, self._pause(_STORE_PAUSE_S))
            return False
        if claim == "taken":
            # Another replica asks. What it learns arrives by the store, and settles the words.
            parts.words.put_off(words, note, self._clock() + limits.lease_s)
        elif claim == "spent":
            parts.words.put_off(words, note, self._pause(60.0 - self._now() % 60.0))
        return claim == "granted"

    async def _answer(
        self, words: str, note: Note, facts: CatalogueFacts, permit: Permit
    ) -> ModelAnswer | None:
        """Call the model; None if that failed, and the words are put off."""
        parts, metrics = self._parts, self._parts.metrics
        self._in_flight += 1
        try:
            answer = await parts.model.ask(question(note.query, facts))
        except LanguageModelError as error:
            parts.breaker.failed(permit)
            metrics.llm_calls.labels(error.reason).inc()
            _log.warning("%s (%s)", error.message, parts.model)
            if error.retry_after_s:
                self._pause(error.retry_after_s)
            self._retry(words, note)
            return None
        except BaseException:
            parts.breaker.abandoned(permit)
            self._retry(words, note)
            raise
        finally:
            self._in_flight -= 1
        parts.breaker.succeeded(permit)
        metrics.llm_calls.labels("answered").inc()
        metrics.llm_tokens.labels("prompt").inc(answer.prompt_tokens)
        metrics.llm_tokens.labels("answer").inc(answer.answer_tokens)
        return answer

    async def _learn(self, words: str, note: Note, answer: ModelAnswer) -> None:
        try:
            await self._parts.learner.learn(words, note.query, answer.content, note.asked)
        except AppError as error:
            _log.warning("what was learned is lost: %s", error.message)
            self._retry(words, note)
        except Exception:
            self._retry(words, note)
            raise

    def _retry(self, words: str, note: Note) -> None:
        """Let words wait longer after each failure, then forget them."""
        note.failures += 1
        if note.failures >= _MAX_FAILURES:
            self._parts.words.settle(words)
        else:
            pause_s = max(_RETRY_S * 4 ** (note.failures - 1), self._limits.lease_s)
            self._parts.words.put_off(words, note, self._clock() + pause_s)

    def _pause(self, seconds: float) -> float:
        """Ask nothing for some seconds; return when that is over."""
        self._resume_at = max(self._resume_at, self._clock() + seconds)
        return self._resume_at
