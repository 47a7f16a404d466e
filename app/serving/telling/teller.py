"""Tells a short text about an answer: the template's at once, or the checked text of a model.

The text of a model is kept by the facts that it is made of, so the same answer has it at once the
next time. Callers with the same facts share one call; when all of them have left, it ends. Whatever
happens to the model, the template's sentences are there.
"""

import asyncio
import logging
import time
import uuid
from collections import OrderedDict
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import Final

import orjson

from app.core.errors import AppError, LanguageModelError
from app.core.ports import Engine, TextModel
from app.core.settings import Settings
from app.core.store_ports import IntentStore
from app.core.telemetry import Metrics
from app.serving.breaker import Breaker, Permit
from app.serving.telling.facts import Facts, facts_of
from app.serving.telling.prompt import text_question
from app.serving.telling.writing import Draft, Told, told_by_template

_MOST_KEPT: Final = 4096
_MOST_AT_ONCE: Final = 8
_LEASE_S: Final = 1.0
_FAILURES: Final = 3
_PAUSE_S: Final = 5.0
_LONGEST_PAUSE_S: Final = 300.0

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TextWriter:
    """A language model that writes texts, and the store that counts its calls."""

    model: TextModel
    store: IntentStore


@dataclass(frozen=True, slots=True)
class TextLimits:
    """Budget of a text: tokens, seconds, and how many may be asked for in a minute."""

    max_tokens: int
    seconds: float
    max_per_minute: int


def text_limits(settings: Settings) -> TextLimits:
    """Return the limits of the settings."""
    return TextLimits(
        settings.llm_text_tokens, settings.llm_text_ms / 1e3, settings.llm_max_per_minute
    )


@dataclass(slots=True, eq=False)
class _Writing:
    """A text that is being written, and who reads along."""

    facts: Facts
    told: list[Told] = field(default_factory=list)
    done: bool = False
    readers: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    def tell(self, told: Told) -> None:
        self.told.append(told)
        self.notify()

    def notify(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()


class Teller:
    """Tells texts. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - clocks are injected
        self,
        engine: Engine,
        writer: TextWriter | None,
        limits: TextLimits,
        metrics: Metrics,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Tell about the items of an engine.

        Args:
            engine: knows the fields of items.
            writer: writes; None = only the template does. Its owner closes it.
            limits: budgets.
            metrics: where sentences and calls are counted.
            clock: monotonic seconds.
            now: unix seconds.
        """
        self._engine, self._writer, self._limits = engine, writer, limits
        self._metrics, self._now = metrics, now
        self._breaker = Breaker(_FAILURES, _PAUSE_S, clock, longest_pause_s=_LONGEST_PAUSE_S)
        self._kept: OrderedDict[bytes, tuple[Told, ...]] = OrderedDict()
        self._writings: dict[bytes, _Writing] = {}

    def __repr__(self) -> str:
        return f"<Teller {len(self._kept)} texts kept, {len(self._writings)} being written>"

    def facts(self, body: bytes, query: str) -> Facts:
        """Return the facts of an answer. `body`: its JSON. `query`: what was asked in words."""
        known = tuple(self._engine.info.attributes)
        return facts_of(body, query, self._engine.item, known)

    def at_once(self, facts: Facts) -> tuple[Told, ...]:
        """Return the text that is there now; the model begins to write what is not kept."""
        kept = self._find(facts)
        if kept is None:
            kept = told_by_template(facts)
            self._begin(facts, background=True)
        self._count(kept)
        return kept

    def with_text(self, body: bytes, query: str) -> bytes:
        """Return the JSON of an answer with the text that is there now."""
        facts = self.facts(body, query)
        sentences = self.at_once(facts)
        writers = {told.by for told in sentences}
        added = {
            "text": facts.language.template["space"].join(told.text for told in sentences),
            "text_by": writers.pop() if len(writers) == 1 else "both",
        }
        return body[:-1] + b"," + orjson.dumps(added)[1:]

    async def tell(self, facts: Facts) -> AsyncGenerator[Told, None]:
        """Yield the sentences of a text as they are there. Never fails."""
        kept = self._find(facts)
        if kept is None:
            writing = self._begin(facts, background=False)
            if writing is not None:
                async with aclosing(self._follow(writing)) as sentences:
                    async for told in sentences:
                        self._count((told,))
                        yield told
                return
            kept = told_by_template(facts)
        self._count(kept)
        for told in kept:
            yield told

    async def aclose(self) -> None:
        """End what is being written. Idempotent."""
        tasks = [each.task for each in self._writings.values() if each.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _find(self, facts: Facts) -> tuple[Told, ...] | None:
        kept = self._kept.get(facts.digest)
        if kept is not None:
            self._kept.move_to_end(facts.digest)
        return kept

    def _count(self, sentences: tuple[Told, ...]) -> None:
        for told in sentences:
            self._metrics.text_sentences.labels(told.by).inc()

    def _begin(self, facts: Facts, *, background: bool) -> _Writing | None:
        """Return the text that is being written, begun if it was not; None = only the template."""
        if self._writer is None or not facts.items:
            return None
        digest = facts.digest
        writing = self._writings.get(digest)
        if writing is None:
            if len(self._writings) >= _MOST_AT_ONCE:
                return None
            writing = _Writing(facts)
            self._writings[digest] = writing
            writing.task = asyncio.create_task(
                self._write(writing, digest, self._writer), name="recserve-text"
            )
        writing.readers += background
        return writing

    async def _follow(self, writing: _Writing) -> AsyncGenerator[Told, None]:
        """Yield a text that is being written; when the last reader has left, it ends."""
        writing.readers += 1
        read = 0
        try:
            while True:
                changed = writing.changed
                while read < len(writing.told):
                    read += 1
                    yield writing.told[read - 1]
                if writing.done:
                    return
                await changed.wait()
        finally:
            writing.readers -= 1
            if not writing.readers and writing.task is not None:
                writing.task.cancel()

    async def _write(self, writing: _Writing, digest: bytes, writer: TextWriter) -> None:
        draft = Draft(writing.facts)
        complete = False
        try:
            complete = await self._asked(writing, draft, writer)
        except Exception:  # noqa: BLE001 - the template is there
            _log.exception("a text could not be written")
        finally:
            # A reader may have come after the last one left: it gets the template's sentences.
            for told in draft.end(complete=complete):
                writing.tell(told)
            writing.done = True
            writing.notify()
            del self._writings[digest]
        if complete:
            self._kept[digest] = tuple(writing.told)
            if len(self._kept) > _MOST_KEPT:
                self._kept.popitem(last=False)

    async def _asked(self, writing: _Writing, draft: Draft, writer: TextWriter) -> bool:
        """Ask the model, if that is allowed now; return whether it has ended its text."""
        permit = self._breaker.permit()
        if permit is None:
            return False
        try:
            granted = await self._may_ask(writer.store)
            if granted:
                await self._read(writing, draft, writer.model)
        except LanguageModelError as error:
            self._failed(permit, error.reason, error.message)
            return False
        except TimeoutError:
            self._failed(permit, "timeout", "the language model has not ended its text in time")
            return False
        except BaseException:
            self._breaker.abandoned(permit)
            raise
        if not granted:
            self._breaker.abandoned(permit)
            return False
        self._breaker.succeeded(permit)
        self._metrics.llm_calls.labels("answered").inc()
        return True

    async def _read(self, writing: _Writing, draft: Draft, model: TextModel) -> None:
        question = text_question(writing.facts, self._limits.max_tokens)
        async with (
            asyncio.timeout(self._limits.seconds),
            aclosing(model.write(question)) as pieces,
        ):
            async for piece in pieces:
                for told in draft.take(piece):
                    writing.tell(told)
                if draft.full:
                    return

    def _failed(self, permit: Permit, reason: str, message: str) -> None:
        self._breaker.failed(permit)
        self._metrics.llm_calls.labels(reason).inc()
        _log.warning("%s; the template's text was used", message)

    async def _may_ask(self, store: IntentStore) -> bool:
        """Count a call in the store; return whether it is within the limit of all replicas."""
        try:
            claim = await store.claim(
                f"text {uuid.uuid4().hex}", self._now(), _LEASE_S, self._limits.max_per_minute
            )
        except AppError as error:
            _log.warning("no text is asked for: %s", error.message)
            return False
        return claim == "granted"
