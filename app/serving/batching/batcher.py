"""The batcher: one queue, one task that forms batches, and one promise per request.

A batch is formed the moment the engine is free. So a request to an idle engine starts at once, and
batches grow with the load; no timer delays a batch. `plan` decides which requests go together, and
`passes` runs the batches. The batcher does not know what a request is: it sees items, their costs
and a call.

    submit ─▶ queue ─▶ plan ─▶ pass ─▶ answer each request, in order
                ▲               │ the pass failed
                └───────────────┘ each request is retried once, in a pass of its own
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, Self, TypeAlias, TypeVar

from app.core.errors import DeadlineExceededError, NotReadyError, OverloadedError
from app.core.lane import OPEN_LANE, Lane
from app.core.telemetry import Metrics
from app.serving.batching.lanes import PendingQueue
from app.serving.batching.passes import ExclusiveCalls, Passes, RunningBatch, Work
from app.serving.batching.plan import (
    MAX_PLANNED_WAIT,
    Admission,
    BatchPlan,
    Limits,
    PassTimes,
    next_batch,
)
from app.serving.batching.queue import Pass, QueueEntry, Submitted
from app.serving.batching.worker import REAL_THREADS, ThreadDiedError, Threads

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

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        work: Work[T, R],
        limits: Limits,
        metrics: Metrics,
        clock: Callable[[], float] = time.monotonic,
        lag: Callable[[], float] = lambda: 0.0,
        *,
        threads: Threads = REAL_THREADS,
    ) -> None:
        """Prepare a batcher; nothing runs before it is entered.

        Args:
            work: what a pass does.
            limits: limits of batches and of the queue.
            metrics: where queue, batches and failures are counted.
            clock: monotonic seconds; deadlines are on it.
            lag: how late the event loop is, in seconds.
            threads: how the threads of passes are started.
        """
        self._work, self._limits, self._metrics = work, limits, metrics
        self._clock, self._lag, self._threads = clock, lag, threads
        self._times = PassTimes()
        self._admission = Admission()
        self._pending: PendingQueue[QueueEntry[T, R]] = PendingQueue()
        self._exclusive, self._exclusive_since = ExclusiveCalls(), 0.0
        self._wake = asyncio.Event()
        self._passes: Passes[T, R] | None = None
        self._task: asyncio.Task[None] | None = None
        self._closing = False
        self._refused = metrics.rejected.labels("overloaded")
        metrics.queue_requests.set_function(lambda: len(self._pending))
        metrics.engine_up.set_function(lambda: self.ready)

    def __repr__(self) -> str:
        state = "ready" if self.ready else "not ready"
        running = len(self._passes.entries) if self._passes else 0
        return f"<Batcher {state}, {len(self._pending)} waiting, {running} running>"

    async def __aenter__(self) -> Self:
        self._passes = Passes(
            self._work,
            self._limits,
            clock=self._clock,
            changed=self._wake,
            ended=self._ended,
            threads=self._threads,
        )
        self._task = asyncio.create_task(self._serve(self._passes), name="recserve-batcher")
        self._task.add_done_callback(self._on_end)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    @property
    def ready(self) -> bool:
        """Whether requests are accepted: the batcher is open, its task and threads are alive."""
        return (
            not self._closing
            and (self._task is not None and not self._task.done())
            and (self._passes is not None and self._passes.alive)
        )

    def failure(self, longest_s: float) -> str | None:
        """Return what is lost for good, if anything is: the task, a thread, or a call that hangs.

        `longest_s`: how long a call of the engine may take.
        """
        if self._closing or self._task is None or self._passes is None:
            return None
        if self._task.done():
            return "the batcher has ended"
        if not self._passes.alive:
            return "a thread of the engine has died"
        since = self._clock()
        if self._exclusive.running:
            since = self._exclusive_since
        elif self._passes.busy:
            since = self._passes.since
        if self._clock() - since > longest_s:
            return f"a call of the engine has not returned for {longest_s:g} s"
        return None

    def give_up(self) -> None:
        """Fail all requests and calls that are not answered, and take no more. Idempotent."""
        if self._task is not None:
            self._task.cancel()  # `_on_end` fails them

    def predicted_wait(self, lane: Lane = OPEN_LANE) -> float:
        """Predict, in seconds, how long a request submitted now would wait for its pass.

        Only what has its turn before a request of this lane counts.

        The lag of the event loop counts twice: it delays reading the request and sending the
        answer. A pass that takes longer than predicted is expected to need as much again as it is
        late, and an exclusive call as much again as it has run. So if the engine hangs, the
        predicted wait grows until all new requests are refused.
        """
        wait_s = self._times.seconds(self._pending.tokens_ahead(lane)) + 2 * self._lag()
        if self._exclusive.running:
            wait_s += self._clock() - self._exclusive_since
        elif self._passes and self._passes.busy:
            elapsed_s = self._clock() - self._passes.since
            wait_s += abs(self._times.seconds(self._passes.tokens) - elapsed_s)
        return wait_s

    def saturation(self, budget_s: float) -> float:
        """Return how near the batcher is to refusing requests; it refuses from about 1.0 on.

        It is the fuller of two: the queue, and the wait that a request with a budget of `budget_s`
        seconds may be predicted to have.
        """
        queue = len(self._pending) / self._limits.max_pending
        return max(queue, self.predicted_wait() / (MAX_PLANNED_WAIT * budget_s))

    def begin(
        self, item: T, deadline: float, *, follows: bool = False, lane: Lane = OPEN_LANE
    ) -> "asyncio.Future[Submitted[R]]":
        """Queue one item and return the future of its result; cancel that to withdraw the item.

        Args:
            item: what to run.
            deadline: monotonic seconds by which the answer must be there.
            follows: whether the item belongs into the pass of the one that was begun before it.
            lane: whose turn it is.

        Raises:
            OverloadedError: the queue is full or the deadline cannot be met; nothing was started.
            Exception: what `cost` raised for this item.
            NotReadyError, DeadlineExceededError: as the future, which may end with
                NotReadyError: not open, closing, or the engine was lost;
                DeadlineExceededError: the deadline passed first;
                AppError: what the call raised for this item, foreign ones as `EngineError`.
        """
        now = self._clock()
        wait_s = self.admitted(now, deadline, lane)
        sized_item, cost = self._sized(item, wait_s, deadline - now)
        entry: QueueEntry[T, R] = QueueEntry(
            item=sized_item,
            cost=cost,
            deadline=deadline,
            submitted_at=now,
            follows=follows,
            lane=lane,
        )
        self._enqueue(entry)
        # Only for answering in time if the engine hangs: this timer forms no batches.
        timer = asyncio.get_running_loop().call_later(deadline - now, self._expire, entry)
        entry.answer.add_done_callback(partial(self._entry_done, entry, timer))
        return entry.answer

    async def submit(self, item: T, deadline: float, lane: Lane = OPEN_LANE) -> Submitted[R]:
        """Queue one item and return its result. Raises as `begin`, and what that ends with."""
        return await self.begin(item, deadline, lane=lane)

    async def run_exclusive(self, call: Callable[[], V]) -> V:
        """Run a blocking call in the encode thread, ahead of waiting requests.

        No pass runs meanwhile, so no pass sees the work half done. Calls run one at a time, in
        order, with a pass between every two. A call that has begun runs to its end even if its
        caller is cancelled, and the caller waits for that. Keep it short: all requests wait.

        Raises:
            NotReadyError: not open, closing, or the engine was lost. In the last case the call may
                have begun.
            Exception: what the call raised; requests are not disturbed.
        """
        if not self.ready:
            raise _not_ready()
        self._wake.set()
        return await self._exclusive.result(call)

    async def aclose(self, drain_s: float = 5.0) -> bool:
        """Refuse new requests, finish the waiting ones within `drain_s` seconds, fail the rest.

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

    def admitted(self, now: float, deadline: float, lane: Lane = OPEN_LANE) -> float:
        """Return the predicted wait, in seconds, of a request that is accepted now.

        Raises as `begin` for a request that is not.
        """
        if not self.ready:
            raise _not_ready()
        if deadline <= now:
            raise self._late()
        wait_s = self.predicted_wait(lane)
        full = not self._pending.has_room(lane, self._limits.max_pending)
        if full or self._admission.refuses(wait_s, deadline - now):
            self._refused.inc()
            message = "too many requests are waiting" if full else "cannot be done in time"
            raise OverloadedError(message, retry_after_ms=max(1, math.ceil(wait_s * 1000)))
        return wait_s

    def _sized(self, item: T, wait_s: float, remaining_s: float) -> tuple[T, int]:
        """Return what to run for an item, and its cost: fast encoding if time is short."""
        cost = max(1, self._work.cost(item))
        if self._admission.needs_fast_encoding(wait_s, self._times.seconds(cost), remaining_s):
            fast_encoding = self._work.fast_encoding(item)
            if fast_encoding is not None:
                return fast_encoding, max(1, self._work.cost(fast_encoding))
        return item, cost

    def _enqueue(self, entry: QueueEntry[T, R], *, front: bool = False) -> None:
        self._pending.add(entry, front=front)
        # If no batch can begin now, the end of the next half pass wakes the task anyway.
        if self._passes is None or self._passes.has_room(len(self._pending)):
            self._wake.set()

    def _entry_done(
        self, entry: QueueEntry[T, R], timer: asyncio.TimerHandle, answer: _Promise
    ) -> None:
        timer.cancel()
        self._pending.discard(entry)
        if answer.cancelled():
            self._metrics.dropped.inc()
        else:
            answer.exception()  # read it: the caller may have gone away since it was set

    def _late(self) -> DeadlineExceededError:
        self._metrics.rejected.labels("deadline").inc()
        return DeadlineExceededError("the time budget ran out")

    def _expire(self, entry: QueueEntry[T, R]) -> None:
        if not entry.abandoned:
            entry.fail(self._late())

    async def _serve(self, passes: Passes[T, R]) -> None:
        while True:
            if self._exclusive:
                await passes.idle()
                self._exclusive_since = self._clock()
                await self._exclusive.run_next(passes.encode_thread)
            if not passes.has_room(len(self._pending)):
                await self._woken()
                continue
            plan = self._plan(passes.max_batch(len(self._pending)))
            if plan.take:
                self._metrics.batch_size.observe(len(plan.take))
                self._metrics.batch_tokens.observe(plan.tokens)
                passes.begin(plan)
            elif not self._closing and not self._exclusive:
                await self._woken()
            else:
                await passes.idle()  # a failed pass may put requests back into the queue
                if not self._pending and not self._exclusive:
                    return

    async def _woken(self) -> None:
        self._wake.clear()
        await self._wake.wait()

    def _plan(self, max_requests: int) -> BatchPlan[QueueEntry[T, R]]:
        """Take the next batch out of the queue, and fail the requests whose time is up."""
        now = self._clock()
        rate = self._times.seconds_per_token(min(self._pending.tokens, self._limits.max_tokens))
        plan = next_batch(
            self._pending,
            now,
            self._limits,
            max_requests=max_requests,
            seconds_per_token=rate,
            longest_s=self._pending.longest_pass_s,
        )
        for entry in (*plan.take, *plan.abandoned, *plan.expired):
            self._pending.discard(entry)
        for entry in plan.expired:
            self._expire(entry)
        return plan

    def _ended(
        self,
        batch: RunningBatch[T, R],
        occupied_s: float,
        outcome: Pass[R] | Exception,
    ) -> None:
        """Answer the requests of one batch, or put them back into the queue."""
        if isinstance(outcome, ThreadDiedError):
            if self._task is not None:
                self._task.cancel()  # `_on_end` fails all requests
        elif isinstance(outcome, Exception):
            self._retry_alone(batch.plan.take, outcome)
        else:
            self._times.observe(batch.plan.tokens, occupied_s)
            self._answer(batch.plan.take, batch.started_at, outcome)

    def _answer(self, batch: Sequence[QueueEntry[T, R]], started_at: float, done: Pass[R]) -> None:
        for entry, result in zip(batch, done.results, strict=True):
            queue_s = started_at - entry.submitted_at
            self._metrics.queue_wait_seconds.observe(queue_s)
            entry.succeed(
                Submitted(
                    result=result,
                    queue_s=queue_s,
                    batch_size=len(batch),
                    timings=done.timings,
                    generation=done.generation,
                )
            )

    def _retry_alone(self, batch: Sequence[QueueEntry[T, R]], error: Exception) -> None:
        """Retry each request of a failed batch in its own pass; a lone request has failed."""
        if len(batch) == 1:
            batch[0].fail(error)
            return
        _log.warning("a pass over %d requests failed, each goes alone now: %r", len(batch), error)
        self._metrics.batch_retries.inc()
        for entry in reversed(batch):
            entry.retry_alone = True
            self._enqueue(entry, front=True)

    def _on_end(self, task: asyncio.Task[None]) -> None:
        """Fail all requests and calls that are not answered, whatever ended the task."""
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("the batcher died", exc_info=error)
        for entry in (*(self._passes.entries if self._passes else ()), *self._pending):
            entry.fail(_not_ready())
        self._pending.clear()
        self._exclusive.fail(_not_ready())


def _not_ready() -> NotReadyError:
    return NotReadyError("the engine takes no work: starting, stopping or lost")
