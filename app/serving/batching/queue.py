"""The queue in front of the engine: waiting requests in order, and the promise to answer each.

`QueueEntry` is one waiting request with the future of its answer. `PendingQueue` holds the entries
in order and the sum of their costs. `Submitted` is an answer. Nothing is decided here: see
`app.serving.batching.plan`.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from app.core.errors import AppError, EngineError
from app.core.ranking import StageTimings
from app.core.types import Generation

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)
EntryT = TypeVar("EntryT", bound="QueueEntry[Any, Any]")

_log = logging.getLogger(__name__)


class Pass(Protocol[R_co]):
    """What an engine pass returns for a batch; `BatchResult` is one."""

    @property
    def results(self) -> Sequence[R_co]:
        """One result per item, in the order of the batch."""
        ...

    @property
    def timings(self) -> StageTimings:
        """How long each stage of the whole pass took."""
        ...

    @property
    def generation(self) -> Generation:
        """The generation that ranked the whole batch."""
        ...


@dataclass(frozen=True, slots=True)
class Submitted(Generic[R]):
    """The answer to one submitted item.

    Attributes:
        result: what the pass returned for this item.
        queue_s: seconds from submission to the start of the pass that answered.
        batch_size: requests in that pass.
        timings: stages of that pass, shared by all its requests.
        generation: what ranked in that pass.
    """

    result: R
    queue_s: float
    batch_size: int
    timings: StageTimings
    generation: Generation


class QueueEntry(Generic[T, R]):
    """One waiting request. Compared by identity; its answer is set at most once."""

    __slots__ = (
        *("answer", "cost", "deadline", "follows", "item"),
        *("retry_alone", "submitted_at"),
    )

    def __init__(
        self, item: T, cost: int, deadline: float, submitted_at: float, *, follows: bool = False
    ) -> None:
        """Make a promise on the running event loop; both times are monotonic seconds."""
        self.item = item
        self.cost = cost
        self.deadline = deadline
        self.submitted_at = submitted_at
        self.retry_alone = False
        self.follows = follows
        self.answer: asyncio.Future[Submitted[R]] = asyncio.get_running_loop().create_future()

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more: the caller has gone away, or was answered."""
        return self.answer.done()

    def succeed(self, answer: Submitted[R]) -> None:
        """Answer, if the caller still waits."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Fail, if the caller still waits; any other error than `AppError` is an `EngineError`."""
        if self.answer.done():
            return
        if not isinstance(error, AppError):
            _log.error("the engine failed on a request", exc_info=error)
            foreign, error = error, EngineError("the engine failed on this request")
            error.__cause__ = foreign
        self.answer.set_exception(error)


class PendingQueue(Generic[EntryT]):
    """Entries in order; any of them can be removed in O(1).

    Attributes:
        tokens: total cost of all entries.
    """

    def __init__(self) -> None:
        """Make an empty queue."""
        self._entries: OrderedDict[EntryT, None] = OrderedDict()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[EntryT]:
        return iter(self._entries)

    def add(self, entry: EntryT, *, front: bool = False) -> None:
        """Add an entry at the end, or at the front."""
        self._entries[entry] = None
        self.tokens += entry.cost
        if front:
            self._entries.move_to_end(entry, last=False)

    def discard(self, entry: EntryT) -> None:
        """Remove an entry, if it is in the queue."""
        if entry in self._entries:
            del self._entries[entry]
            self.tokens -= entry.cost

    def clear(self) -> None:
        """Remove all entries."""
        self._entries.clear()
        self.tokens = 0
