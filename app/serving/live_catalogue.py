"""The live catalogue: changes of items while the service runs.

A change is first planned by the engine beside the passes, in a thread for changes. Then it is
written to the journal, which makes it durable. Last it is performed between two passes, and the
next pass sees it:

    validate ─▶ encode and plan, beside the passes ─▶ journal ─▶ perform, between two passes

So what cannot be planned does not get into the journal, where every process would meet it again. If
another process wrote to the journal meanwhile, the plan is dropped, and what the journal says is
applied in its order.

All processes read the same journal, so all come to the same catalogue. `watch` applies the changes
that other processes have acknowledged. This module does not know what an item looks like.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final, TypeVar

from app.core.errors import (
    AppError,
    DeadlineExceededError,
    NotFoundError,
    NotReadyError,
    OverloadedError,
    StoreError,
)
from app.core.ports import LiveEngine
from app.core.store_ports import Journal
from app.core.telemetry import Metrics
from app.core.types import Change
from app.serving.batching.worker import NewThread, ThreadDiedError, background_thread
from app.serving.change_applier import ChangeApplier, Runner
from app.serving.turn import in_a_task

_CHUNK: Final = 256
"""Most changes that are applied in one step: each step rebuilds the word index of the changes."""

_MAX_WAITING: Final = 64
"""Most calls that wait to change the catalogue; more are refused."""
_NEVER: Final = -1
_RETRY_MS: Final = 500
_POLL_S: Final = 0.02
_log = logging.getLogger(__name__)

V = TypeVar("V")


class LiveCatalogue:
    """Changes the items of an engine. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        engine: LiveEngine,
        run_exclusive: Runner,
        journal: Journal,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        new_thread: NewThread = background_thread,
    ) -> None:
        """Keep the items of an engine as the journal says.

        Args:
            engine: is changed.
            run_exclusive: applies changes between passes.
            journal: keeps the changes of all processes.
            metrics: where changes are counted.
            now: unix seconds.
            clock: monotonic seconds; deadlines are on it.
            new_thread: starts a thread with a name, in which changes are planned.
        """
        self._exclusive = run_exclusive
        self._journal = journal
        self._metrics = metrics
        self._now = now
        self._clock = clock
        self._lock = asyncio.Lock()
        self._waiting = 0
        self._merge_checked_at = _NEVER  # number of the catalogue at the last check for a merge
        self._busy_since: float | None = None
        self._thread = new_thread("recserve-changes")
        self._applier = ChangeApplier(engine, run_exclusive, self._beside, now)
        metrics.changes_set_aside.set_function(lambda: len(self.set_aside))

    def __repr__(self) -> str:
        return f"<LiveCatalogue at {self._engine.info.catalogue}, {self._waiting} waiting>"

    @property
    def set_aside(self) -> Mapping[str, int]:
        """Items whose newest change could not be applied, and the number of that change."""
        return self._applier.set_aside

    def failure(self, longest_s: float) -> str | None:
        """Return what is lost for good, if anything is: the thread, or a call in it that hangs.

        `longest_s`: how long a call may take.
        """
        if not self._thread.alive:
            return "the thread for changes has died"
        if self._busy_since is not None and self._clock() - self._busy_since > longest_s:
            return f"a change has been planned for {longest_s:g} s"
        return None

    @property
    def _engine(self) -> LiveEngine:
        return self._applier.engine

    async def put(self, records: Sequence[Mapping[str, Any]]) -> int:
        """Add or replace items, each with its `id`; return the number of the last change.

        If one of many cannot be used, those before it may have been stored.

        Raises:
            Exception: what planning raised: the engine cannot use an item.
            StoreError: the journal cannot be written.
            OverloadedError: too many changes wait.
        """
        changes = [(str(r["id"]), {k: v for k, v in r.items() if k != "id"}) for r in records]
        async with self._turn():
            await self._catch_up()
            return await self._record(changes)

    async def patch(self, item_id: str, fields: Mapping[str, object]) -> int:
        """Change some fields of an item, None = remove; return the number of the change.

        Raises:
            NotFoundError: there is no such item.
            StoreError, OverloadedError: as `put`.
        """
        async with self._turn():
            # Otherwise a change that another process has made meanwhile would be undone.
            await self._catch_up()
            before = self._engine.record(item_id)
            if before is None:
                raise NotFoundError("there is no such item", field="item_id")
            after = {k: v for k, v in {**before, **fields}.items() if v is not None}
            return await self._record([(item_id, after)])

    async def delete(self, item_id: str) -> int:
        """Delete an item; return the number of the change. Raises as `patch`."""
        async with self._turn():
            await self._catch_up()
            if not self._engine.contains(item_id):
                raise NotFoundError("there is no such item", field="item_id")
            return await self._record([(item_id, None)])

    async def reach(self, seq: int, deadline: float) -> None:
        """Return once the catalogue has come to the change `seq`. `deadline`: monotonic seconds.

        Raises:
            DeadlineExceededError: the change was not applied in time.
        """
        await in_a_task()
        try:
            async with asyncio.timeout(deadline - self._clock()):
                while self._engine.info.catalogue < seq:
                    await self._try_to_catch_up()
                    if self._engine.info.catalogue < seq:
                        await asyncio.sleep(_POLL_S)
        except TimeoutError as error:
            message = "the catalogue has not come so far"
            raise DeadlineExceededError(message, field="min_catalogue") from error

    async def _try_to_catch_up(self) -> None:
        """Apply the changes in the journal; a journal that cannot be read is tried again later."""
        with suppress(StoreError):
            async with self._turn():
                await self._catch_up()

    async def open(self) -> None:
        """Apply the changes of earlier runs; `watch` does it if the journal cannot be read now."""
        try:
            async with self._turn():
                await self._catch_up()
        except StoreError as error:
            _log.warning("the catalogue may be behind: %s", error.message)

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Apply changes of other processes; show and hide items on time. Runs until cancelled.

        Args:
            interval_s: seconds between two looks at the journal.
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
                    # Not while a change is planned: its plan contains a copy of what is visible.
                    async with self._turn():
                        await self._exclusive(partial(self._engine.advance, now))
                await self._merge()
            except AppError as error:
                _log.warning("the catalogue may be behind: %s", error.message)
            except Exception:  # noqa: BLE001 - later changes must still be applied
                _log.exception("a change of the catalogue could not be applied")

    async def _merge(self) -> None:
        """Merge changed items into the main index, if there are many; changes wait meanwhile."""
        if self._merge_checked_at == self._engine.info.catalogue:
            return
        async with self._turn():
            self._merge_checked_at = self._engine.info.catalogue
            if (apply := await self._beside(self._engine.merge)) is not None:
                await self._exclusive(apply)

    @asynccontextmanager
    async def handover(self, engine: LiveEngine) -> AsyncIterator[None]:
        """Apply all changes to an engine that is not used yet, and change that one from now on.

        The caller swaps the engines inside the block, where no item changes.

        Raises:
            StoreError: the journal cannot be read; the old engine stays.
        """
        async with self._lock:
            applier = ChangeApplier(engine, self._beside, self._beside, self._now)
            await self._catch_up(applier)
            yield
            self._applier = applier.performing_with(self._exclusive)
            self._merge_checked_at = _NEVER

    def close(self) -> None:
        """Stop the thread for changes, after its current call. Idempotent."""
        self._thread.stop()

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        if self._waiting >= _MAX_WAITING:
            raise OverloadedError("too many changes are waiting", retry_after_ms=_RETRY_MS)
        self._waiting += 1
        try:
            async with self._lock:
                yield
        finally:
            self._waiting -= 1

    async def _record(self, changes: Sequence[tuple[str, Mapping[str, object] | None]]) -> int:
        """Plan changes, write them to the journal and perform them; return the last number."""
        last = 0
        for start in range(0, len(changes), _CHUNK):
            last = await self._record_some(changes[start : start + _CHUNK])
        return last

    async def _record_some(self, changes: Sequence[tuple[str, Mapping[str, object] | None]]) -> int:
        first = self._engine.info.catalogue + 1
        foreseen = [Change(n, item, record) for n, (item, record) in enumerate(changes, first)]
        planned = await self._applier.plan(foreseen)
        journalled = await self._journal.append(changes)
        if journalled[0].seq == first:
            await self._applier.perform(foreseen, planned)
        else:
            await self._catch_up()
        self._metrics.catalogue_changes.inc(len(journalled))
        return journalled[-1].seq

    async def _catch_up(self, applier: ChangeApplier | None = None) -> None:
        applier = applier or self._applier
        more = True
        while more:
            changes = await self._journal.after(applier.engine.info.catalogue, _CHUNK)
            if changes:
                await applier.apply(changes)
            more = len(changes) == _CHUNK

    async def _beside(self, call: Callable[[], V]) -> V:
        """Run a blocking call in the thread for changes, beside the passes.

        Raises:
            NotReadyError: the service is stopping, or the thread died.
            Exception: what the call raised.
        """
        self._busy_since = self._clock()
        try:
            outcome = await self._thread.run(call)
        except ThreadDiedError as error:
            raise NotReadyError("items cannot be changed: stopping, or lost") from error
        finally:
            self._busy_since = None
        if isinstance(outcome, Exception):
            raise outcome
        return outcome
