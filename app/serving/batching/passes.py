"""Engine passes over batches, in two threads: one batch is ranked while the next is prepared.

    begin ─▶ prepare, in the encode thread ─▶ rank, in the rank thread ─▶ ended

The two halves of one batch run one after the other. Halves of different batches overlap, so that
two cores have work. A batch with no other batch behind it stays in the encode thread for both
halves, because waking the rank thread would gain nothing. The encode thread hands a batch to the
rank thread directly: the event loop may be busy refusing requests.

Some calls must not overlap with any pass, such as a change of the catalogue. `ExclusiveCalls` holds
them in order; the batcher runs them in the encode thread when no pass is running.

This module does not know the queue, deadlines, or what a batch contains.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from app.core.errors import EngineError
from app.serving.batching.plan import BatchPlan, Limits, max_batch_share
from app.serving.batching.queue import Pass, QueueEntry
from app.serving.batching.worker import ThreadDiedError, Threads, Worker

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
V = TypeVar("V")

_Answer: TypeAlias = "asyncio.Future[Any]"


class ExclusiveCalls:
    """Waiting exclusive calls, in order. Each is answered once, with its value or exception."""

    def __init__(self) -> None:
        """Begin without any call."""
        self._waiting: deque[tuple[Callable[[], object], _Answer]] = deque()
        self.running = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def result(self, call: Callable[[], V]) -> V:
        """Queue a call and return its result. A caller cancelled before its turn cancels the call.

        A caller cancelled later leaves when the call has ended: what the caller does next, such as
        to release a lock, must not overlap with it.

        Raises:
            Exception: what the call raised, or the error given to `fail`.
        """
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        try:
            outcome: V | Exception = await asyncio.shield(answer)
        except asyncio.CancelledError:
            if self.running and self._waiting[0][1] is answer:
                await asyncio.wait({answer})
            answer.cancel()
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run_next(self, worker: Worker) -> None:
        """Run the call that has waited longest, if there is one."""
        if not self._waiting:
            return
        call, answer = self._waiting[0]
        if not answer.done():
            self.running = True
            _set(answer, await worker.run(call))
            self.running = False
        self._waiting.popleft()

    def fail(self, error: Exception) -> None:
        """Fail every call that is not answered, including the running one."""
        self.running = False
        while self._waiting:
            _set(self._waiting.popleft()[1], error)


def _set(answer: _Answer, outcome: object) -> None:
    if not answer.done():  # the caller may have gone away
        answer.set_result(outcome)


class Work(Protocol[T, R_co]):
    """What passes do, and what it costs; the port `Engine` is one.

    Both halves of a pass block. Two first halves never overlap, and neither do two second halves.
    The first half of one batch and the second half of another do.
    """

    def cost(self, item: T, /) -> int:
        """Return the estimated tokens of an item; cheap, called on the event loop."""
        ...

    def fast_encoding(self, item: T, /) -> T | None:
        """Return the item to run instead if time is short; None if there is no faster one."""
        ...

    def prepare(self, batch: Sequence[T], /) -> Callable[[], Pass[R_co]]:
        """Do the first half of a pass, and return a call that does the second half.

        That call returns one result per item, in the same order.
        """
        ...


@dataclass(slots=True, eq=False)
class RunningBatch(Generic[T, R]):
    """A batch whose pass is running. `started_at`: monotonic seconds."""

    plan: BatchPlan[QueueEntry[T, R]]
    started_at: float


class Passes(Generic[T, R]):
    """The running batches, oldest first. All methods belong to one event loop.

    Attributes:
        encode_thread: does first halves; exclusive calls run in it too.
    """

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        work: Work[T, R],
        limits: Limits,
        *,
        clock: Callable[[], float],
        changed: asyncio.Event,
        ended: Callable[[RunningBatch[T, R], float, Pass[R] | Exception], None],
        threads: Threads,
    ) -> None:
        """Start both threads.

        Args:
            work: what a pass does.
            limits: limits of a batch.
            clock: monotonic seconds.
            changed: set whenever a half of a pass has ended.
            ended: called at the end of each pass with its batch, the seconds for which it occupied
                the engine, and its outcome. The outcome is `ThreadDiedError` if a thread died.
            threads: how threads are started, and how one waits for the other.
        """
        self._work, self._limits, self._clock, self._ended = work, limits, clock, ended
        self.encode_thread = threads.for_passes("recserve-model")
        self._rank_thread = threads.for_passes("recserve-rank")
        self._rank_slot = threads.new_slot()  # held by the one batch that may be ranked
        self._running: list[RunningBatch[T, R]] = []
        self._unprepared = 0
        self._changed = changed
        self._last_end = clock()

    @property
    def entries(self) -> tuple[QueueEntry[T, R], ...]:
        """The entries of all running batches, the oldest batch first."""
        return tuple(entry for batch in self._running for entry in batch.plan.take)

    @property
    def busy(self) -> bool:
        """Whether any batch is running."""
        return bool(self._running)

    @property
    def requests(self) -> int:
        """How many requests the running batches contain."""
        return sum(len(batch.plan.take) for batch in self._running)

    @property
    def tokens(self) -> int:
        """The total cost of the running batches."""
        return sum(batch.plan.tokens for batch in self._running)

    @property
    def since(self) -> float:
        """When the oldest batch began, or the one before it ended, whichever is later."""
        return max([self._last_end, *(batch.started_at for batch in self._running[:1])])

    @property
    def alive(self) -> bool:
        """Whether both threads are alive."""
        return self.encode_thread.alive and self._rank_thread.alive

    def max_batch(self, waiting: int) -> int:
        """Return how many of the waiting requests the next batch may take."""
        return max_batch_share(waiting, self.requests, self._limits)

    def has_room(self, waiting: int) -> bool:
        """Return whether a batch may begin.

        It may if no batch waits to be prepared. It also may if one does, but the new batch would be
        full: then the encode thread has its next batch without waiting for the event loop. A batch
        that is not full is not begun ahead, because later requests could still join it.
        """
        return self._unprepared <= int(waiting >= self.max_batch(waiting))

    async def idle(self) -> None:
        """Wait until no batch is running."""
        # `_unprepared` counts on where a batch has ended but its report is not yet delivered.
        while self._running or self._unprepared:
            self._changed.clear()
            await self._changed.wait()

    def begin(self, plan: BatchPlan[QueueEntry[T, R]]) -> None:
        """Start a pass; `ended` is called at its end."""
        batch = RunningBatch(plan, self._clock())
        self._running.append(batch)
        self._unprepared += 1
        items = [entry.item for entry in plan.take]
        prepare = partial(self._prepare, batch, items)
        self.encode_thread.hand(prepare, partial(self._prepared, batch))

    async def stop(self) -> bool:
        """Stop both threads. Return whether they have ended: a call may still be running."""
        self._running.clear()
        threads = (self.encode_thread, self._rank_thread)
        busy = any(thread.alive and thread.busy for thread in threads)
        for thread in threads:
            thread.stop()
        if not busy:
            for thread in threads:
                await thread.wait_ended()
        return all(thread.ended for thread in threads)

    def _prepare(self, batch: RunningBatch[T, R], items: Sequence[T]) -> Pass[R] | None:
        """Do the first half. Then rank here if no batch waits, else hand over to the rank thread.

        Runs in the encode thread. The handover waits until the rank thread is free.
        """
        try:
            rank = self._work.prepare(items)
            waiting = self.encode_thread.has_waiting_call
            if not waiting and self._rank_slot.acquire(blocking=False):
                return self._rank(rank, len(items))
        except BaseException:
            del batch  # an error refers to this frame, which would refer to the entry's future
            raise
        self._rank_slot.acquire()
        self._rank_thread.hand(partial(self._rank, rank, len(items)), partial(self._end, batch))
        return None

    def _rank(self, rank: Callable[[], Pass[R]], n_items: int) -> Pass[R]:
        """Do the second half, and check that there is one result per request."""
        try:
            done = rank()
        finally:
            self._rank_slot.release()
        if len(done.results) != n_items:
            raise EngineError(f"{len(done.results)} results came back for {n_items} requests")
        return done

    def _prepared(self, batch: RunningBatch[T, R], outcome: Pass[R] | Exception | None) -> None:
        self._unprepared -= 1
        self._changed.set()
        if outcome is not None:
            self._end(batch, outcome)

    def _end(self, batch: RunningBatch[T, R], outcome: Pass[R] | Exception) -> None:
        if batch not in self._running:
            return  # stopped meanwhile
        if isinstance(outcome, ThreadDiedError):
            # The batch stays among the running ones: the batcher fails all their entries.
            self._ended(batch, 0.0, outcome)
            return
        now = self._clock()
        occupied_s = now - max(batch.started_at, self._last_end)
        self._last_end = now
        self._running.remove(batch)
        self._changed.set()
        self._ended(batch, occupied_s, outcome)
