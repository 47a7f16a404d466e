"""Which waiting requests go into the next engine pass: pure decisions over numbers.

Knows no asyncio, no threads and no clock: `now` is an input. It changes nothing; the batcher acts
on the plan.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

_WEIGHT_OF_NEWEST: Final = 0.2
_MOST_SURPRISE: Final = 3.0


class Pending(Protocol):
    """What the plan needs to know of one waiting request."""

    @property
    def cost(self) -> int:
        """Estimated tokens, ≥ 1."""
        ...

    @property
    def deadline(self) -> float:
        """Monotonic time, in seconds, after which nobody wants the answer."""
        ...

    @property
    def left(self) -> bool:
        """Whether nobody waits for the answer any more."""
        ...

    @property
    def alone(self) -> bool:
        """Whether it must not share a pass: it was in one that failed."""
        ...


PendingT = TypeVar("PendingT", bound=Pending)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a batch and of the queue.

    Attributes:
        max_requests: most requests in one pass.
        max_tokens: most estimated tokens in one pass; a larger request goes by itself.
        max_pending: most requests waiting; more are refused.
    """

    max_requests: int
    max_tokens: int
    max_pending: int


@dataclass(frozen=True, slots=True)
class BatchPlan(Generic[PendingT]):
    """What to do with the front of the queue; what is named in no field stays, in its order.

    Attributes:
        take: requests for the next pass, oldest first; empty only if nothing is left to run.
        expired: requests whose deadline has passed.
        left: requests nobody waits for.
        tokens: total cost of `take`.
    """

    take: tuple[PendingT, ...]
    expired: tuple[PendingT, ...]
    left: tuple[PendingT, ...]
    tokens: int


def next_batch(
    pending: Iterable[PendingT], now: float, limits: Limits, seconds_per_token: float = 0.0
) -> BatchPlan[PendingT]:
    """Plan the pass that starts now, strictly in the order of `pending`.

    The batch stops growing at the first request that would exceed a limit, or that would make the
    pass end, by `seconds_per_token`, after a deadline that the batch would otherwise meet. A
    deadline that is lost anyway holds nothing back: batches of one would lose the others too. For
    the same reason no deadline cuts a batch below a quarter of `max_requests`: under overload all
    deadlines are near, and batches of a few requests would lose more of them than they save.
    """
    take: list[PendingT] = []
    expired: list[PendingT] = []
    left: list[PendingT] = []
    tokens = 0
    soonest = float("inf")  # earliest deadline the batch still meets
    for entry in pending:
        if entry.left:
            left.append(entry)
            continue
        if entry.deadline <= now:
            expired.append(entry)
            continue
        end = now + (tokens + entry.cost) * seconds_per_token
        full = tokens + entry.cost > limits.max_tokens or len(take) == limits.max_requests
        late = end > soonest and len(take) >= limits.max_requests // 4
        if take and (full or late or entry.alone or take[0].alone):
            break
        take.append(entry)
        tokens += entry.cost
        if end <= entry.deadline:
            soonest = min(soonest, entry.deadline)
    return BatchPlan(tuple(take), tuple(expired), tuple(left), tokens)


class TokenRate:
    """Seconds per token, from the passes seen so far.

    A ratio of two exponential averages, not an average of ratios: a pass counts by its size, so
    the first large batch after an idle spell corrects the estimate at once (small passes are dear
    per token). A single pass counts as at most three times what was foreseen: one that was held up
    says little about the next, and must not have everybody refused.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._tokens = 0.0

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from one pass over `tokens` tokens."""
        if self._tokens:
            seconds = min(seconds, _MOST_SURPRISE * tokens * self.seconds_per_token)
        self._seconds += _WEIGHT_OF_NEWEST * (seconds - self._seconds)
        self._tokens += _WEIGHT_OF_NEWEST * (tokens - self._tokens)

    @property
    def seconds_per_token(self) -> float:
        """The estimate; 0 before the first pass."""
        return self._seconds / self._tokens if self._tokens else 0.0
