"""The batcher: one queue, one task, passes whose halves overlap, one promise per request.

Busy-server batching: a batch is taken the moment the engine is free, so an idle request starts at
once and batches grow with load; no timer forms a batch. `batch_plan` decides what goes together.
The batcher does not know what a request is: it sees items, their costs and a call.

    submit ─▶ queue ─▶ plan ─▶ passes ─▶ answer each in order
                 ▲               │ failed
                 └─ each alone ◀─┘   once; a request that fails by itself has failed
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Self, TypeAlias, TypeVar

from app.core.errors import DeadlineExceededError, NotReadyError, OverloadedError
from app.core.telemetry import Metrics
from app.serving.batching.passes import ExclusiveCalls, Passes, Work
from app.serving.batching.plan import Admission, BatchPlan, Limits, PassTimes, next_batch
from app.serving.batching.queue import Entry, Pass, Submitted, Waiting
from app.serving.batching.worker import ThreadDiedError

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")

_Promise: TypeAlias = "asyncio.Future[Any]"

_log = logging.getLogger(__name__)


class Batcher(Generic[T, R]):
    """Runs submitted items in batches, in the threads of `Passes`.

    Use as `async with Batcher(...) as batcher`. All methods belong to the event loop it was
    entered in. Every `submit` ends exactly once: with a value, an `AppError`, or the caller's own
    cancellation.
    """

    def __init__(
        self,
        work: Work[T, R],
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        lag: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """Prepare a batcher; nothing runs before it is entered.

        Args:
            work: what a pass does.
            limits: bounds of batches and of the queue.
            metrics: where queue, batches and failures are counted.
            clock: monotonic seconds; deadlines are on it.
            lag: how late the event loop is, in seconds.
        """
        self._work, self._limits, self._metrics = work, limits, metrics
        self._clock, self._lag = clock, lag
        self._times = PassTimes()
        self._admission = Admission()
        self._pending: Waiting[Entry[T, R]] = Waiting()
        self._exclusive, self._call_since = ExclusiveCalls(), 0.0
        self._wake = asyncio.Event()
        self._passes: Passes[T, R] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._refused = metrics.rejected.labels("overloaded")
        metrics.queue_requests.set_function(lambda: len(self._pending))
        metrics.engine_up.set_function(lambda: self.ready)

    def __repr__(self) -> str:
        state = "ready" if self.ready else "not ready"
        running = len(self._passes.running) if self._passes else 0
        return f"<Batcher {state}, {len(self._pending)} waiting, {running} running>"

    async def __aenter__(self) -> Self:
        self._passes = Passes(self._work, self._limits, self._clock, self._wake, self._ended)
        self._task = asyncio.create_task(self._serve(self._passes), name="recserve-batcher")
        self._task.add_done_callback(self._on_end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def ready(self) -> bool:
        """Whether submits are taken: open, and task and threads are alive."""
        return (
            not self._closing
            and (self._task is not None and not self._task.done())
            and (self._passes is not None and self._passes.alive)
        )

    def predicted_wait(self) -> float:
        """Estimate, in seconds, how long a request submitted now would queue.

        A loop that is late was late to read it, and will be to answer. A pass that is late takes as
        long again as it is late, and so does a call between two: behind an engine that hangs, the
        wait grows until everybody is refused at the door.
        """
        wait = self._times.seconds(self._pending.tokens) + 2 * self._lag()
        if self._exclusive.running:
            wait += self._clock() - self._call_since
        elif self._passes and self._passes.busy:
            elapsed = self._clock() - self._passes.since
            wait += abs(self._times.seconds(self._passes.tokens) - elapsed)
        return wait

    def begin(self, item: T, deadline: float) -> "asyncio.Future[Submitted[R]]":
        """Queue one item and promise its result; whoever does not want it any more cancels that.

        Args:
            item: what to run.
            deadline: monotonic time, in seconds, by which the answer must be there.

        Raises:
            OverloadedError: the queue is full or the deadline cannot be met; nothing was started.
            Exception: what `cost` raised for this item.
            NotReadyError, DeadlineExceededError: as the promise, which may end with
                NotReadyError: not open, closing, or the engine was lost;
                DeadlineExceededError: the deadline passed first;
                AppError: what the call raised for this item, foreign ones as `EngineError`.
        """
        now = self._clock()
        wait = self.admitted(now, deadline)
        entry: Entry[T, R] = Entry(*self._sized(item, wait, deadline - now), deadline, now)
        self._enqueue(entry)
        # Not what forms batches: a caller is told in time even if the engine hangs.
        timer = asyncio.get_running_loop().call_later(deadline - now, self._expire, entry)
        entry.answer.add_done_callback(partial(self._over, entry, timer))
        return entry.answer

    async def submit(self, item: T, deadline: float) -> Submitted[R]:
        """Queue one item and return its result. Raises as `begin`, and what that ends with."""
        return await self.begin(item, deadline)

    async def run_exclusive(self, call: Callable[[], V]) -> V:
        """Run a blocking call in the first model thread, ahead of waiting requests.

        No pass is under way, for none may see it half done. One call at a time, in order; where
        several wait, a pass goes between each two. It runs to its end even if the caller leaves
        meanwhile. Keep it short: all requests wait.

        Raises:
            NotReadyError: not open, closing, or the engine was lost; it may have begun then.
            Exception: what the call raised; requests are not disturbed.
        """
        if not self.ready:
            raise _not_ready()
        self._wake.set()
        return await self._exclusive.result(call)

    async def aclose(self, drain_s: float = 5.0) -> bool:
        """Refuse new submits, finish the waiting ones within `drain_s` seconds, fail the rest.

        Idempotent. Returns whether the threads have ended: if not, do not free what a pass uses.
        """
        self._closing = True
        self._wake.set()
        if self._task is None or self._passes is None:
            return True
        await asyncio.wait({self._task}, timeout=drain_s)
        self._task.cancel()
        await asyncio.wait({self._task})
        return await self._passes.stop()

    def admitted(self, now: float, deadline: float) -> float:
        """Refuse what cannot be answered, as `begin`; return how long the rest would wait."""
        if not self.ready:
            raise _not_ready()
        if deadline <= now:
            raise self._late()
        wait = self.predicted_wait()
        full = len(self._pending) >= self._limits.max_pending
        if full or self._admission.refuses(wait, deadline - now):
            self._refused.inc()
            message = "too many requests are waiting" if full else "cannot be done in time"
            raise OverloadedError(message, retry_after_ms=max(1, math.ceil(wait * 1000)))
        return wait

    def _sized(self, item: T, wait: float, left: float) -> tuple[T, int]:
        """Return what to run for an item, and its cost: less work where time is short."""
        cost = max(1, self._work.cost(item))
        if self._admission.needs_fast_encoding(wait, self._times.seconds(cost), left):
            fast_encoding = self._work.fast_encoding(item)
            if fast_encoding is not None:
                return fast_encoding, max(1, self._work.cost(fast_encoding))
        return item, cost

    def _enqueue(self, entry: Entry[T, R], *, front: bool = False) -> None:
        self._pending.add(entry, front=front)
        # What cannot begin yet is looked at again when a pass has come further.
        if self._passes is None or self._passes.has_room(len(self._pending)):
            self._wake.set()

    def _over(self, entry: Entry[T, R], timer: asyncio.TimerHandle, answer: _Promise) -> None:
        timer.cancel()
        self._pending.discard(entry)
        if answer.cancelled():
            self._metrics.dropped.inc()
        else:
            answer.exception()  # read it: the caller may have left since it was set

    def _late(self) -> DeadlineExceededError:
        self._metrics.rejected.labels("deadline").inc()
        return DeadlineExceededError("the time budget ran out")

    def _expire(self, entry: Entry[T, R]) -> None:
        if not entry.left:
            entry.fail(self._late())

    async def _serve(self, passes: Passes[T, R]) -> None:
        while True:
            if self._exclusive:
                await passes.idle()
                self._call_since = self._clock()
                await self._exclusive.run_next(passes.first)
            if not passes.has_room(len(self._pending)):
                await self._woken()
                continue
            plan = self._plan(passes.share(len(self._pending)))
            if plan.take:
                self._metrics.batch_size.observe(len(plan.take))
                self._metrics.batch_tokens.observe(plan.tokens)
                passes.begin(plan)
            elif not self._closing and not self._exclusive:
                await self._woken()
            else:
                await passes.idle()  # they may send requests back
                if not self._pending and not self._exclusive:
                    return

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    def _plan(self, most: int) -> BatchPlan[Entry[T, R]]:
        """Take the next batch out of the queue, answering those whose time is up."""
        now = self._clock()
        rate = self._times.seconds_per_token(min(self._pending.tokens, self._limits.max_tokens))
        plan = next_batch(self._pending, now, self._limits, most, rate)
        for entry in (*plan.take, *plan.left, *plan.expired):
            self._pending.discard(entry)
        for entry in plan.expired:
            self._expire(entry)
        return plan

    def _ended(
        self,
        plan: BatchPlan[Entry[T, R]],
        began: float,
        kept_s: float,
        outcome: Pass[R] | Exception,
    ) -> None:
        """Answer one batch, or send it back."""
        if isinstance(outcome, ThreadDiedError):
            if self._task is not None:
                self._task.cancel()  # `_on_end` tells everybody
        elif isinstance(outcome, Exception):
            self._failed(plan.take, outcome)
        else:
            self._times.observe(plan.tokens, kept_s)
            self._answer(plan.take, began, outcome)

    def _answer(self, batch: Sequence[Entry[T, R]], began: float, done: Pass[R]) -> None:
        for entry, result in zip(batch, done.results, strict=True):
            queue_s = began - entry.since
            self._metrics.queue_wait_seconds.observe(queue_s)
            entry.succeed(Submitted(result, queue_s, len(batch), done.timings, done.generation))

    def _failed(self, batch: Sequence[Entry[T, R]], error: Exception) -> None:
        """Fail a lone request; send those of a larger batch back to the front, each alone."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        _log.warning("a pass over %d requests failed, each goes alone now: %r", len(batch), error)
        self._metrics.batch_retries.inc()
        for entry in reversed(batch):
            entry.alone = True
            self._enqueue(entry, front=True)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Whatever ended the task, nobody is left waiting."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the batcher died", exc_info=error)
        for entry in (*(self._passes.running if self._passes else ()), *self._pending):
            entry.fail(_not_ready())
        self._pending.clear()
        self._exclusive.fail(_not_ready())


def _not_ready() -> NotReadyError:
    return NotReadyError("the engine takes no work: starting, stopping or lost")
