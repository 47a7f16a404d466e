"""One waiting request, and the promise to answer it.

`QueueEntry` is a request with the future of its answer, `Submitted` is an answer. The order of the
requests is in `app.serving.batching.lanes`. Nothing is decided here: see
`app.serving.batching.plan`.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from app.core.errors import AppError, EngineError
from app.core.lane import OPEN_LANE, Lane
from app.core.ranking import StageTimings
from app.core.types import Generation

T = TypeVar("T")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)

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
        *("answer", "cost", "deadline", "follows", "item", "lane"),
        *("retry_alone", "submitted_at"),
    )

    def __init__(  # noqa: PLR0913 - what a request is
        self,
        item: T,
        cost: int,
        deadline: float,
        submitted_at: float,
        *,
        follows: bool = False,
        lane: Lane = OPEN_LANE,
    ) -> None:
        """Make a promise on the running event loop; both times are monotonic seconds."""
        self.item = item
        self.cost = cost
        self.deadline = deadline
        self.submitted_at = submitted_at
        self.retry_alone = False
        self.follows = follows
        self.lane = lane
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
