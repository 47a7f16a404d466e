"""The batcher: one queue, one task, one model thread, one promise per request.

Busy-server batching: a batch is taken the moment the engine is free, so an idle request starts at
once and batches grow with load; no timer forms a batch. What goes together is decided in
`batch_plan`. The batcher does not know what a request is: it sees items, their costs and a call.

    submit ─▶ queue ─▶ plan ─▶ model thread ─▶ answer each in order
                 ▲                  │ failed
                 └── each alone ◀───┘   once; a request that fails by itself has failed
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Any, Final, Generic, Self, TypeVar

from app.errors import DeadlineExceededError, EngineError, NotReadyError, OverloadedError
from app.serving.batch_plan import BatchPlan, Limits, PassTimes, next_batch
from app.serving.between import Between
from app.serving.entry import Entry, Pass, Submitted
from app.serving.model_thread import ModelThread
from app.serving.waiting import Waiting
from app.telemetry import Metrics

T = TypeVar("T")
R = TypeVar("R")
V = TypeVar("V")

_log = logging.getLogger(__name__)
_PLANNED_SHARE: Final = 2 / 3
"""Share of its time that a request may be foreseen to wait; its own pass comes after that. Planned
to the last moment, all deadlines get tight, and one slow pass loses many of them.
"""
_IDLE: Final[BatchPlan[Any]] = BatchPlan((), (), (), 0)


class Batcher(Generic[T, R]):
    """Runs submitted items in batches on one model thread.

    Use as `async with Batcher(...) as batcher`. All methods belong to the event loop it was
    entered in. Every `submit` ends exactly once: with a value, an `AppError`, or the caller's own
    cancellation.
    """

    def __init__(
        self,
        run: Callable[[Sequence[T]], Pass[R]],
        cost: Callable[[T], int],
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare a batcher; nothing runs before it is entered.

        Args:
            run: blocking; one result per item in the same order; called from one thread.
            cost: estimated tokens of an item; cheap, called on the event loop.
            limits: bounds of batches and of the queue.
            metrics: where queue, batches and failures are counted.
            clock: monotonic seconds; deadlines are on it.
        """
        self._run = run
        self._cost = cost
        self._limits = limits
        self._metrics = metrics
        self._clock = clock
        self._times = PassTimes()
        self._pending: Waiting[Entry[T, R]] = Waiting()
        self._between = Between()
        self._running: BatchPlan[Entry[T, R]] = _IDLE
        self._running_since = 0.0
        self._wake = asyncio.Event()
        self._thread: ModelThread | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        metrics.queue_requests.set_function(lambda: len(self._pending))
        metrics.engine_up.set_function(lambda: self.ready)

    def __repr__(self) -> str:
        state = "ready" if self.ready else "not ready"
        return f"<Batcher {state}, {len(self._pending)} waiting, {len(self._running.take)} running>"

    async def __aenter__(self) -> Self:
        self._thread = ModelThread("recserve-model")
        self._task = asyncio.create_task(self._serve(self._thread), name="recserve-batcher")
        self._task.add_done_callback(self._on_end)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    @property
    def ready(self) -> bool:
        """Whether submits are taken: open, and both task and thread are alive."""
        return (
            not self._closing
            and (self._task is not None and not self._task.done())
            and (self._thread is not None and self._thread.alive)
        )

    def predicted_wait(self) -> float:
        """Estimate, in seconds, how long a request submitted now would queue.

        A pass that is late is expected to take as long again as it is late, and so is a call
        between two passes: behind an engine that hangs, the wait grows until everybody is refused
        at the door.
        """
        wait = self._times.seconds(self._pending.tokens)
        if self._running.take or self._between.running:
            elapsed = self._clock() - self._running_since
            wait += abs(self._times.seconds(self._running.tokens) - elapsed)
        return wait

    def admit(self, deadline: float) -> None:
        """Refuse now what `submit` would refuse: for callers who can spare themselves the way.

        Raises:
            NotReadyError, OverloadedError, DeadlineExceededError: as `submit`.
        """
        self._admit(self._clock(), deadline)

    async def submit(self, item: T, deadline: float) -> Submitted[R]:
        """Queue one item and return its result.

        Args:
            item: what to run.
            deadline: monotonic time, in seconds, by which the answer must be there.

        Raises:
            NotReadyError: not open, closing, or the engine was lost.
            OverloadedError: the queue is full or the deadline cannot be met; nothing was started.
            DeadlineExceededError: the deadline passed first.
            AppError: what the call raised for this item; anything foreign is an `EngineError`.
            Exception: what `cost` raised for this item.
        """
        now = self._clock()
        self._admit(now, deadline)
        entry: Entry[T, R] = Entry(item, max(1, self._cost(item)), deadline, now)
        self._enqueue(entry)
        # Not what forms batches: a caller is told in time even if the engine hangs.
        timer = asyncio.get_running_loop().call_later(deadline - now, self._expire, entry)
        try:
            return await entry.answer
        except asyncio.CancelledError:
            self._metrics.dropped.inc()
            raise
        finally:
            timer.cancel()
            self._pending.discard(entry)
            if not entry.answer.cancelled():
                entry.answer.exception()  # read it: the caller may have left since it was set

    async def between(self, call: Callable[[], V]) -> V:
        """Run a blocking call in the model thread between two passes, ahead of waiting requests.

        For what no pass may see half done. One call at a time, in order; where several wait, a pass
        goes between each two. It runs to its end even if the caller leaves meanwhile. Keep it
        short: all requests wait.

        Raises:
            NotReadyError: not open, closing, or the engine was lost; it may have begun then.
            Exception: what the call raised; requests are not disturbed.
        """
        if not self.ready:
            raise _not_ready()
        self._wake.set()
        return await self._between.result(call)

    async def aclose(self, drain_s: float = 5.0) -> bool:
        """Refuse new submits, finish the waiting ones within `drain_s` seconds, fail the rest.

        Idempotent.

        Returns:
            Whether the model thread has ended. If not, a pass is still running (it cannot be
            interrupted), and what it uses must not be freed.
        """
        self._closing = True
        self._wake.set()
        if self._task is None or self._thread is None:
            return True
        await asyncio.wait({self._task}, timeout=drain_s)
        self._task.cancel()
        await asyncio.wait({self._task})
        self._thread.stop()
        if not self._thread.busy:
            await self._thread.wait_ended()
        return self._thread.ended

    def _admit(self, now: float, deadline: float) -> None:
        """Refuse what cannot be answered, before any work."""
        if not self.ready:
            raise _not_ready()
        if deadline <= now:
            raise self._late()
        wait = self.predicted_wait()
        full = len(self._pending) >= self._limits.max_pending
        if full or wait > _PLANNED_SHARE * (deadline - now):
            self._metrics.rejected.labels("overloaded").inc()
            message = "too many requests are waiting" if full else "cannot be done in time"
            raise OverloadedError(message, retry_after_ms=max(1, math.ceil(wait * 1000)))

    def _enqueue(self, entry: Entry[T, R], *, front: bool = False) -> None:
        self._pending.add(entry, front=front)
        self._wake.set()

    def _late(self) -> DeadlineExceededError:
        self._metrics.rejected.labels("deadline").inc()
        return DeadlineExceededError("the time budget ran out")

    def _expire(self, entry: Entry[T, R]) -> None:
        if not entry.left:
            entry.fail(self._late())

    async def _serve(self, thread: ModelThread) -> None:
        while self._between or self._pending or not self._closing:
            self._running_since = self._clock()
            await self._between.run_next(thread)
            plan = self._plan()
            if plan.take:
                await self._pass(thread, plan)
            elif not self._between and not self._closing:
                self._wake.clear()
                await self._wake.wait()

    def _plan(self) -> BatchPlan[Entry[T, R]]:
        """Move the next batch from waiting to running, answering those whose time is up."""
        now = self._clock()
        rate = self._times.seconds_per_token(min(self._pending.tokens, self._limits.max_tokens))
        plan = next_batch(self._pending, now, self._limits, rate)
        self._running, self._running_since = plan, now
        for entry in (*plan.take, *plan.left, *plan.expired):
            self._pending.discard(entry)
        for entry in plan.expired:
            self._expire(entry)
        return plan

    async def _pass(self, thread: ModelThread, plan: BatchPlan[Entry[T, R]]) -> None:
        """Run one batch and answer it, or send it back."""
        self._metrics.batch_size.observe(len(plan.take))
        self._metrics.batch_tokens.observe(plan.tokens)
        outcome = await thread.run(partial(self._checked, [entry.item for entry in plan.take]))
        seconds = self._clock() - self._running_since
        if isinstance(outcome, Exception):
            self._failed(plan.take, outcome)
        else:
            self._times.observe(plan.tokens, seconds)
            self._answer(plan.take, outcome)
        self._running = _IDLE

    def _checked(self, batch: Sequence[T]) -> Pass[R]:
        """Run a batch in the model thread; nobody is answered from a result that does not fit."""
        done = self._run(batch)
        if len(done.results) != len(batch):
            raise EngineError(f"{len(done.results)} results came back for {len(batch)} requests")
        return done

    def _answer(self, batch: Sequence[Entry[T, R]], done: Pass[R]) -> None:
        for entry, result in zip(batch, done.results, strict=True):
            queue_s = self._running_since - entry.since
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
        for entry in (*self._running.take, *self._pending):
            entry.fail(_not_ready())
        self._pending.clear()
        self._between.fail(_not_ready())


def _not_ready() -> NotReadyError:
    return NotReadyError("the engine takes no work: starting, stopping or lost")
