"""What was learned of queries, the same in all replicas: from the store into `Words`, checked.

`watch` looks several times a second whether another replica has learned or removed something, or
whether another bundle serves. What is new is checked against the catalogue; after a removal, or
with another bundle, everything is. The checks run in a thread of low priority.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, TypeAlias

from app.core.errors import AppError
from app.core.store_ports import IntentStore
from app.core.telemetry import Metrics
from app.core.types import LearnedIntent, LearnedState
from app.serving.batching.worker import NewThread, background_thread
from app.serving.current_engine import CurrentEngine
from app.serving.intents.checking import Checked, checked, shaped, titles_in
from app.serving.intents.facts import CatalogueFacts
from app.serving.intents.words import Words

ItemOfTitle: TypeAlias = Callable[[str], Awaitable[str | None]]
"""Looks up the item that a title means in the catalogue that serves."""

_PAGE: Final = 256
_COUNT_EVERY: Final = 40
"""Uses are written at every so many looks."""

_NOTHING: Final = Checked("")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ShownIntent:
    """What was learned, and what of it is used: JSON text, "" = nothing."""

    learned: LearnedIntent
    used: str


class IntentLearner:
    """Keeps `Words` as the store says. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        store: IntentStore,
        current: CurrentEngine,
        words: Words,
        metrics: Metrics,
        *,
        item_of_title: ItemOfTitle,
        now: Callable[[], float] = time.time,
        new_thread: NewThread = background_thread,
    ) -> None:
        """Know nothing yet.

        Args:
            store: what all replicas have learned.
            current: what serves; its facets must have been counted.
            words: what requests look into.
            metrics: where it is counted what was learned and dropped.
            item_of_title: looks up titles.
            now: unix seconds.
            new_thread: starts a thread with a name, for checks.
        """
        self._store, self._current, self._words = store, current, words
        self._metrics, self._item_of_title, self._now = metrics, item_of_title, now
        self._thread = new_thread("recserve-intents")
        self._lock = asyncio.Lock()
        self._facts: CatalogueFacts | None = None
        self._bundle, self._seq, self._removals = "", 0, 0
        self._results: dict[str, Checked] = {}  # what is known of the texts in use, for a bundle

    def __repr__(self) -> str:
        return f"<IntentLearner at {self._seq}, {self._words!r}>"

    def facts(self) -> CatalogueFacts | None:
        """Return the facts of the catalogue that serves; None if they were not counted."""
        # Nothing here may refer to a bundle after it was replaced.
        loaded = self._current.loaded
        if loaded.facets is None:
            return None
        if self._facts is None or self._facts.bundle != loaded.engine.info.bundle:
            self._facts = CatalogueFacts.of(loaded.engine, loaded.facets)
        return self._facts

    async def learn(self, words: str, query: str, said: Mapping[str, Any], asked: int) -> None:
        """Store what a language model said of some words, and use what of it fits.

        Args:
            words: of the query.
            query: as the model was asked.
            said: its answer.
            asked: how many requests had the words so far.

        Raises:
            StoreError: it could not be stored.
            OverloadedError: the store has too much to write.
        """
        shape, facts, result = shaped(said, query), self.facts(), _NOTHING
        if shape.text and facts is not None:
            result = (await self._checked([shape.text], facts, {}))[0]
        await self._store.put(words, shape.text, self._now(), asked)
        await self.catch_up()
        for reason in (*shape.dropped, *result.dropped):
            self._metrics.intents_rejected.labels(reason).inc()
        if result.text:
            self._metrics.intents_learned.inc()

    async def open(self) -> None:
        """Use what was learned in earlier runs; `watch` does it if the store cannot be read now."""
        try:
            await self.catch_up()
        except AppError as error:
            _log.warning("serving without learned intents: %s", error.message)

    async def catch_up(self) -> None:
        """Use what the store has, for the bundle that serves. Raises `StoreError`."""
        async with self._lock:
            facts = self.facts()
            if facts is None:
                return
            state = await self._store.state()
            if self._is_outdated(state, facts):
                known = self._results if facts.bundle == self._bundle else {}
                self._results = {}
                everything = await self._read(0, facts, known)
                self._words.replace(everything, facts.bundle)
                self._bundle = facts.bundle
            elif state.newest > self._seq:
                new = await self._read(self._seq, facts, self._results)
                for words, text in new.items():
                    self._words.learn(words, text)
            self._seq, self._removals = state.newest, state.removals

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Catch up for ever, every `interval_s` seconds, and count uses now and then."""
        looks = 0
        while True:
            try:
                await self.catch_up()
                if looks % _COUNT_EVERY == 0:
                    await self.count_uses()
            except AppError as error:
                _log.warning("learned intents may be behind: %s", error.message)
            except Exception:  # noqa: BLE001 - go on, or nothing would be learned any more
                _log.exception("learned intents could not be checked")
            looks += 1
            await sleep(interval_s)

    async def count_uses(self) -> None:
        """Write how often what was learned is used. Raises `StoreError`: those uses are lost."""
        if uses := self._words.take_uses():
            await self._store.count(uses, self._now())

    async def shown(self, after: int, limit: int) -> list[ShownIntent]:
        """Return what has a number above `after`, lowest first. Raises `StoreError`."""
        await self.catch_up()  # or what another replica has just learned would look unused
        page = await self._store.after(after, limit)
        return [ShownIntent(each, self._words.known(each.words) or "") for each in page]

    async def remove(self, words: str | None) -> int:
        """Remove what was learned of some words, None = of all; return how many were removed.

        Raises `StoreError`.
        """
        removed = await self._store.remove(words)
        await self.catch_up()
        return removed

    def close(self) -> None:
        """Stop the thread for checks, after its current call. Idempotent."""
        self._thread.stop()

    def _is_outdated(self, state: LearnedState, facts: CatalogueFacts) -> bool:
        return (
            facts.bundle != self._bundle
            or state.removals != self._removals
            or state.newest < self._seq  # another store, or an older copy of it
        )

    async def _read(
        self, seq: int, facts: CatalogueFacts, known: Mapping[str, Checked]
    ) -> dict[str, str]:
        """Return what has a number above `seq`, by words, checked; remember the results."""
        found: dict[str, str] = {}
        more = True
        while more:
            page = await self._store.after(seq, _PAGE)
            texts = [each.intent for each in page]
            results = await self._checked(texts, facts, known)
            self._results.update(zip(texts, results, strict=True))
            for each, result in zip(page, results, strict=True):
                found[each.words] = result.text
            more = len(page) == _PAGE
            seq = page[-1].seq if page else seq
        return found

    async def _checked(
        self, texts: Sequence[str], facts: CatalogueFacts, known: Mapping[str, Checked]
    ) -> list[Checked]:
        """Check shaped intents in the thread; "" stays nothing.

        `known`: results of the same bundle, which need not be found again.
        """
        new = list(dict.fromkeys(text for text in texts if text and text not in known))
        titles = dict.fromkeys(title for text in new for title in titles_in(text))
        found = {title: await self._item_of_title(title) for title in titles}
        titled = {title: item for title, item in found.items() if item is not None}
        outcome = await self._thread.run(partial(_check_all, new, facts, titled))
        if isinstance(outcome, Exception):
            raise outcome
        fresh = dict(zip(new, outcome, strict=True))
        return [fresh.get(text) or known.get(text, _NOTHING) for text in texts]


def _check_all(
    texts: Sequence[str], facts: CatalogueFacts, titled: Mapping[str, str]
) -> list[Checked]:
    return [checked(text, facts, titled) for text in texts]
