"""Passes over batches, in two threads: while one batch is ranked, the next is prepared.

    begin ─▶ prepare, in one thread ─▶ rank, in the other ─▶ ended

The halves of a batch follow each other; those of two batches overlap, so that two cores have work.
A batch that is alone stays in the first thread: nothing is gained by waking the other.
One thread hands over to the other without the event loop, which may be busy refusing requests. Does
not know queues, deadlines, or what a batch is made of.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeAlias, TypeVar

from app.core.errors import EngineError
from app.serving.batching.plan import BatchPlan, Limits, share_of
from app.serving.batching.queue import Entry, Pass
from app.serving.batching.worker import ThreadDiedError, WorkerThread

# Calls that wait for the first model thread, to run between two passes. Decides nothing else.

V = TypeVar("V")

_Answer: TypeAlias = "asyncio.Future[Any]"


class ExclusiveCalls:
    """The calls that wait, in order; each is answered once, with its value or its exception."""

    def __init__(self) -> None:
        """Start without any."""
        self._waiting: deque[tuple[Callable[[], object], _Answer]] = deque()
        self.running = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def result(self, call: Callable[[], V]) -> V:
        """Wait for a call's turn and its end; whoever leaves before its turn takes it along.

        Raises:
            Exception: what it raised, or what `fail` was given.
        """
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        outcome: V | Exception = await answer
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run_next(self, thread: WorkerThread) -> None:
        """Run the call that has waited longest, if there is one."""
        if not self._waiting:
            return
        call, answer = self._waiting[0]
        if not answer.done():
            self.running = True
            _set(answer, await thread.run(call))
            self.running = False
        self._waiting.popleft()

    def fail(self, error: Exception) -> None:
        """Fail every call that is not answered, the running one included."""
        self.running = False
        while self._waiting:
            _set(self._waiting.popleft()[1], error)


def _set(answer: _Answer, outcome: object) -> None:
    if not answer.done():  # the caller may have left
        answer.set_result(outcome)


T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Work(Protocol[T, R_co]):
    """What passes do, and what it costs; the port `Engine` is one.

    Both halves of a pass block. No two first halves overlap, nor do two second halves; the first
    half of one batch and the second half of another do.
    """

    def cost(self, item: T, /) -> int:
        """Return estimated tokens; cheap, called on the event loop."""
        ...

    def fast_encoding(self, item: T, /) -> T | None:
        """Return the item to run in place of another where time is short; None = that one."""
        ...

    def prepare(self, batch: Sequence[T], /) -> Callable[[], Pass[R_co]]:
        """Do the first half of a pass, and return a call that does the second half.

        That call returns one result per item, in the same order.
        """
        ...


@dataclass(slots=True, eq=False)
class _UnderWay(Generic[T, R]):
    """A batch under way. `began`: monotonic seconds."""

    plan: BatchPlan[Entry[T, R]]
    began: float


class Passes(Generic[T, R]):
    """Batches under way, oldest first. All methods belong to one event loop."""

    def __init__(
        self,
        work: Work[T, R],
        limits: Limits,
        clock: Callable[[], float],
        changed: asyncio.Event,
        ended: Callable[[BatchPlan[Entry[T, R]], float, float, Pass[R] | Exception], None],
    ) -> None:
        """Start both threads.

        Args:
            work: what a pass does.
            limits: bounds of a batch.
            clock: monotonic seconds.
            changed: set when a batch has come a half further.
            ended: told of each pass: its plan, when it began, how many seconds it kept the next
                one waiting, and what came of it; `ThreadDiedError`: a thread is lost.
        """
        self._work, self._limits, self._clock, self._ended = work, limits, clock, ended
        self.first = WorkerThread("recserve-model")
        self._second = WorkerThread("recserve-rank")
        self._free = threading.Semaphore()  # whether nothing is being ranked, nor is to be
        self._under_way: list[_UnderWay[T, R]] = []
        self._unprepared = 0
        self._changed = changed
        self._last_end = clock()

    @property
    def running(self) -> tuple[Entry[T, R], ...]:
        """The entries under way, the oldest batch first."""
        return tuple(entry for batch in self._under_way for entry in batch.plan.take)

    @property
    def busy(self) -> bool:
        """Whether anything is under way."""
        return bool(self._under_way)

    @property
    def requests(self) -> int:
        """How many entries are under way."""
        return sum(len(batch.plan.take) for batch in self._under_way)

    @property
    def tokens(self) -> int:
        """What the entries under way cost."""
        return sum(batch.plan.tokens for batch in self._under_way)

    @property
    def since(self) -> float:
        """When the oldest batch began, or the one before it ended, whichever is later."""
        return max([self._last_end, *(batch.began for batch in self._under_way[:1])])

    @property
    def alive(self) -> bool:
        """Whether both threads run."""
        return self.first.alive and self._second.alive

    def share(self, waiting: int) -> int:
        """Return how many of so many waiting requests the next batch may take, see `share_of`."""
        return share_of(waiting, self.requests, self._limits)

    def has_room(self, waiting: int) -> bool:
        """Tell whether a batch may begin: nothing is to be prepared, or one and this is full.

        Beginning ahead bridges the time until this loop hears that a thread is free; what comes
        meanwhile misses that batch, so it is for as many as may go together.
        """
        return self._unprepared <= int(waiting >= self.share(waiting))

    async def idle(self) -> None:
        """Wait until nothing is under way."""
        while self._under_way or self._unprepared:  # a thread may be ending what has ended
            self._changed.clear()
            await self._changed.wait()

    def begin(self, plan: BatchPlan[Entry[T, R]]) -> None:
        """Start a pass; `ended` is told of its end."""
        batch = _UnderWay(plan, self._clock())
        self._under_way.append(batch)
        self._unprepared += 1
        items = [entry.item for entry in plan.take]
        self.first.hand(partial(self._prepare, batch, items), partial(self._prepared, batch))

    async def stop(self) -> bool:
        """End both threads; tell whether they have ended: one may be at work that nobody wants."""
        self._under_way.clear()
        threads = (self.first, self._second)
        busy = any(thread.alive and thread.busy for thread in threads)
        for thread in threads:
            thread.stop()
        if not busy:
            for thread in threads:
                await thread.wait_ended()
        return all(thread.ended for thread in threads)

    def _prepare(self, batch: _UnderWay[T, R], items: Sequence[T]) -> Pass[R] | None:
        """Do the first half, and hand over once the second thread is free; alone, do both."""
        try:
            rank = self._work.prepare(items)
            if not self.first.awaited and self._free.acquire(blocking=False):
                return self._rank(rank, len(items))
        except BaseException:
            del batch  # an error holds this frame, which would hold the promise that it breaks
            raise
        self._free.acquire()
        self._second.hand(partial(self._rank, rank, len(items)), partial(self._end, batch))
        return None

    def _rank(self, rank: Callable[[], Pass[R]], n_items: int) -> Pass[R]:
        """Do the second half; nobody is answered from a result that does not fit."""
        try:
            done = rank()
        finally:
            self._free.release()
        if len(done.results) != n_items:
            raise EngineError(f"{len(done.results)} results came back for {n_items} requests")
        return done

    def _prepared(self, batch: _UnderWay[T, R], outcome: Pass[R] | Exception | None) -> None:
        self._unprepared -= 1
        self._changed.set()
        if outcome is not None:
            self._end(batch, outcome)

    def _end(self, batch: _UnderWay[T, R], outcome: Pass[R] | Exception) -> None:
        if batch not in self._under_way:
            return  # stopped meanwhile
        if isinstance(outcome, ThreadDiedError):
            self._ended(batch.plan, batch.began, 0.0, outcome)  # it stays among those under way
            return
        now = self._clock()
        kept_s = now - max(batch.began, self._last_end)
        self._last_end = now
        self._under_way.remove(batch)
        self._changed.set()
        self._ended(batch.plan, batch.began, kept_s, outcome)
