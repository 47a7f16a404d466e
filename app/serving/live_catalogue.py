"""The catalogue while it serves: changes are journalled, then shown by the very next pass.

    validate ─▶ journal (durable) ─▶ encode and plan, beside the passes ─▶ perform, between two

Every process reads the same journal, so all of them come to the same catalogue; what another one
acknowledged is taken in by `watch`. This module does not know what an item looks like.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

from app.core.errors import (
    AppError,
    DeadlineExceededError,
    NotFoundError,
    OverloadedError,
    StoreError,
)
from app.core.ports import Journal, LiveEngine
from app.core.telemetry import Metrics
from app.core.types import Change
from app.serving.batching.worker import WorkerThread, background_thread
from app.serving.turn import in_a_task

_TOGETHER: Final = 256
"""Changes that are taken in at once: their index of words is made anew each time."""

_MOST_WAITING: Final = 64
_NEVER: Final = -1
_RETRY_MS: Final = 500
_log = logging.getLogger(__name__)

V = TypeVar("V")

Runner: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a blocking call. `Batcher.run_exclusive` is one: no pass sees its work half done."""


class LiveCatalogue:
    """Changes the items of an engine. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - all but four have defaults
        self,
        engine: LiveEngine,
        run_exclusive: Runner,
        journal: Journal,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        new_thread: Callable[[str], WorkerThread] = background_thread,
    ) -> None:
        """Start the thread for changes; must be called inside the running event loop.

        Args:
            engine: whose items change.
            run_exclusive: runs a call that no pass may see half done.
            journal: where changes are made durable, and read from.
            metrics: where changes are counted.
            now: unix seconds, by which items appear and disappear.
            clock: monotonic seconds, for deadlines.
            new_thread: starts a thread of that name, in which changes are planned.
        """
        self._engine = engine
        self._exclusive = run_exclusive
        self._journal = journal
        self._metrics = metrics
        self._now, self._clock = now, clock
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._looked_at = _NEVER  # the catalogue's number when it was last asked whether to merge
        self._thread = new_thread("recserve-changes")

    def __repr__(self) -> str:
        return f"<LiveCatalogue at {self._engine.info.catalogue}, {self._waiting} waiting>"

    async def put(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Let items (each with its `id`) be so; return the number of the last change.

        Raises:
            StoreError: the journal cannot be written; nothing is acknowledged.
            OverloadedError: too many changes wait.
        """
        changes = [(str(r["id"]), {k: v for k, v in r.items() if k != "id"}) for r in records]
        async with self._turn():
            return await self._done(changes)

    async def patch(self, item_id: str, fields: Mapping[str, object]) -> int:
        """Change some fields of an item, None = remove; return the number of the change.

        Raises:
            NotFoundError: there is no such item.
            StoreError, OverloadedError: as `put`.
        """
        async with self._turn():
            # What another process changed meanwhile must not be undone.
            await self._catch_up()
            before = self._engine.record(item_id)
            if before is None:
                raise NotFoundError("there is no such item", field="item_id")
            after = {k: v for k, v in {**before, **fields}.items() if v is not None}
            return await self._done([(item_id, after)])

    async def delete(self, item_id: str) -> int:
        """Let an item be gone; return the number of the change. Raises as `patch`."""
        async with self._turn():
            await self._catch_up()
            if not self._engine.contains(item_id):
                raise NotFoundError("there is no such item", field="item_id")
            return await self._done([(item_id, None)])

    async def reach(self, seq: int, deadline: float) -> None:
        """Return once a change has been taken in. `deadline`: monotonic seconds.

        Raises:
            DeadlineExceededError: it was not there in time.
        """
        await in_a_task()
        while self._engine.info.catalogue < seq:
            try:
                async with asyncio.timeout_at(deadline):
                    async with self._turn():
                        await self._catch_up()
                    if self._engine.info.catalogue < seq:
                        await asyncio.sleep(0.02)
            except (TimeoutError, StoreError) as error:
                if isinstance(error, TimeoutError) or self._clock() >= deadline:
                    message = "the catalogue has not come so far"
                    raise DeadlineExceededError(message, field="min_catalogue") from error
                await asyncio.sleep(0.02)

    async def open(self) -> None:
        """Take in what was changed before; without a journal to read, later."""
        try:
            async with self._turn():
                await self._catch_up()
        except StoreError as error:
            _log.warning("serving without the changes of the catalogue: %s", error.message)

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Take in what other processes change, and what becomes visible; runs until cancelled.

        Args:
            interval_s: seconds between two looks.
            sleep: waits so many seconds.
        """
        while True:
            await sleep(interval_s)
            try:
                if await self._journal.newest() > self._engine.info.catalogue:
                    async with self._turn():
                        await self._catch_up()
                now = self._now()
                if now >= self._engine.next_boundary:
                    # In turn: a plan that is being made has copied what may be seen.
                    async with self._turn():
                        await self._exclusive(partial(self._engine.advance, now))
                await self._merge()
            except AppError as error:
                _log.warning("the catalogue may be behind: %s", error.message)
            except Exception:  # noqa: BLE001 - go on, or no further change would be seen
                _log.exception("a change of the catalogue could not be taken in")

    async def _merge(self) -> None:
        """Bring what was put into the main index, if it is much; changes wait meanwhile."""
        if self._looked_at == self._engine.info.catalogue:
            return
        async with self._turn():
            self._looked_at = self._engine.info.catalogue
            if (use := await self._beside(self._engine.merge)) is not None:
                await self._exclusive(use)

    @asynccontextmanager
    async def handover(self, engine: LiveEngine) -> AsyncIterator[None]:
        """Bring an engine that nobody uses yet to where this one is; it is the one from then on.

        No item changes inside the block, where it is put in the place of the old one.

        Raises:
            StoreError: the journal cannot be read; the old engine stays.
        """
        async with self._lock:
            await self._catch_up(engine, self._beside)
            yield
            self._engine, self._looked_at = engine, _NEVER

    def close(self) -> None:
        """End the thread, after what it is at. Idempotent."""
        self._thread.stop()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MOST_WAITING:
            raise OverloadedError("too many changes are waiting", retry_after_ms=_RETRY_MS)
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1

    async def _done(self, changes: Sequence[tuple[str, Mapping[str, object] | None]]) -> int:
        """Journal changes and take them in, after those that others journalled before."""
        kept = await self._journal.append(changes)
        if kept[0].seq == self._engine.info.catalogue + 1:
            for start in range(0, len(kept), _TOGETHER):
                await self._take_in(self._engine, kept[start : start + _TOGETHER], self._exclusive)
        else:
            await self._catch_up()
        self._metrics.catalogue_changes.inc(len(kept))
        return kept[-1].seq

    async def _catch_up(
        self,
        engine: LiveEngine | None = None,
        run: Runner | None = None,
    ) -> None:
        engine, run = engine or self._engine, run or self._exclusive
        more = True
        while more:
            changes = await self._journal.after(engine.info.catalogue, _TOGETHER)
            if changes:
                await self._take_in(engine, changes, run)
            more = len(changes) == _TOGETHER

    async def _take_in(
        self, engine: LiveEngine, changes: Sequence[Change], perform: Runner
    ) -> None:
        await perform(await self._beside(partial(engine.plan, changes, self._now())))

    async def _beside(self, call: Callable[[], V]) -> V:
        """Run a blocking call in the thread for changes, beside the passes."""
        outcome = await self._thread.run(call)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
