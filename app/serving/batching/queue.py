"""One waiting request, the promise to answer it, and what an answer is. Decides nothing."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from app.core.errors import AppError, EngineError
from app.core.types import Generation, StageTimings

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

_log = logging.getLogger(__name__)


class Pass(Protocol[R_co]):
    """What one blocking call returns for a batch; `BatchResult` is one."""

    @property
    def results(self) -> Sequence[R_co]:
        """One result per item, in the order of the batch."""
        ...

    @property
    def timings(self) -> StageTimings:
        """What the whole pass cost."""
        ...

    @property
    def generation(self) -> Generation:
        """What ranked the whole batch."""
        ...


@dataclass(frozen=True, slots=True)
class Submitted(Generic[R]):
    """The answer to one submit.

    Attributes:
        result: what the call returned for this item.
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


class Entry(Generic[T, R]):
    """One waiting request. Compared by identity; its answer is set at most once."""

    __slots__ = ("alone", "answer", "cost", "deadline", "item", "since")

    def __init__(self, item: T, cost: int, deadline: float, since: float) -> None:
        """Make a promise on the running loop; `since` and `deadline` are monotonic seconds."""
        self.item = item
        self.cost = cost
        self.deadline = deadline
        self.since = since
        self.alone = False
        self.answer: asyncio.Future[Submitted[R]] = asyncio.get_running_loop().create_future()

    @property
    def left(self) -> bool:
        """Whether nobody waits any more: the caller went away, or was answered."""
        return self.answer.done()

    def succeed(self, answer: Submitted[R]) -> None:
        """Answer, if somebody still waits."""
        if not self.answer.done():
            self.answer.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Fail, if somebody still waits; what is not an `AppError` becomes an `EngineError`."""
        if self.answer.done():
            return
        if not isinstance(error, AppError):
            _log.error("the engine failed on a request", exc_info=error)
            foreign, error = error, EngineError("the engine failed on this request")
            error.__cause__ = foreign
        self.answer.set_exception(error)


# The queue in front of the engine: entries in order, and the sum of their costs.

E = TypeVar("E", bound=Entry[Any, Any])


class Waiting(Generic[E]):
    """Entries in order; any of them can leave in O(1).

    Attributes:
        tokens: total cost of what waits.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._entries: OrderedDict[E, None] = OrderedDict()
        self.tokens = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[E]:
        return iter(self._entries)

    def add(self, entry: E, *, front: bool = False) -> None:
        """Put an entry at the end, or at the front."""
        self._entries[entry] = None
        self.tokens += entry.cost
        if front:
            self._entries.move_to_end(entry, last=False)

    def discard(self, entry: E) -> None:
        """Take an entry out, if it is still there: its place is free at once."""
        if entry in self._entries:
            del self._entries[entry]
            self.tokens -= entry.cost

    def clear(self) -> None:
        """Forget them all."""
        self._entries.clear()
        self.tokens = 0
