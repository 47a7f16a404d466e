"""Batch planning and admission: which requests share the next pass, and which are refused.

- `next_batch` chooses the waiting requests that go into the next engine pass.
- `PassTimes` learns how long passes of each size take, so that waiting times can be predicted.
- `Admission` decides what happens to a new request, given its predicted wait: it is accepted,
  accepted with fast encoding, or refused.

All decisions are pure functions of numbers. This module knows no asyncio, no threads and no
clock: the current time is an argument. It changes nothing; the batcher acts on the decisions.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

_NEWEST_PASS_WEIGHT: Final = 0.2
"""Weight of the newest pass in the moving average of its size."""
_MAX_SURPRISE: Final = 3.0
"""One pass counts as at most so many times its prediction."""

MAX_PLANNED_WAIT: Final = 1 / 2
"""Largest share of its time budget that a request may be predicted to wait.

The request's own pass comes after the wait, and predictions are rarely too high, because refusing
requests also takes time. If the whole budget were planned, all deadlines would be tight, and one
slow pass would miss many of them.
"""
_OVERLOAD_WAIT: Final = 1 / 6
"""A request that waits a larger share of its budget meets an overload; a short burst is none."""
_FAST_ENCODING_PERIOD: Final = 3
"""During an overload, one request in so many gets fast encoding.

The others are encoded in full: otherwise nobody would get a full answer during a long overload.
"""
_MAX_PLANNED_END: Final = 2 / 3
"""Largest share of its budget at which full work may be predicted to end.

The rest is a reserve, because some passes take longer than predicted.
"""


class Pending(Protocol):
    """What the planning needs to know about one waiting request."""

    @property
    def cost(self) -> int:
        """Estimated tokens, ≥ 1."""
        ...

    @property
    def deadline(self) -> float:
        """Monotonic seconds after which the answer is useless."""
        ...

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for the answer any more."""
        ...

    @property
    def retry_alone(self) -> bool:
        """Whether the request needs a pass of its own, because a shared pass failed."""
        ...

    @property
    def follows(self) -> bool:
        """Whether the request belongs into the pass of the one before it, asked with it."""
        ...


PendingT = TypeVar("PendingT", bound=Pending)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of a batch and of the queue.

    Attributes:
        max_requests: most requests in one pass.
        max_tokens: most estimated tokens in one pass; a larger request gets a pass of its own.
        max_pending: most waiting requests; more are refused.
    """

    max_requests: int
    max_tokens: int
    max_pending: int


@dataclass(frozen=True, slots=True)
class BatchPlan(Generic[PendingT]):
    """What to do with the front of the queue. All other requests stay in it, in their order.

    Attributes:
        take: requests of the next pass, oldest first; empty only if there is nothing to run.
        expired: requests whose deadline has passed.
        abandoned: requests that nobody waits for.
        tokens: total cost of `take`.
    """

    take: tuple[PendingT, ...]
    expired: tuple[PendingT, ...]
    abandoned: tuple[PendingT, ...]
    tokens: int


def max_batch_share(waiting: int, running: int, limits: Limits) -> int:
    """Return how many requests the next pass may take: at most half of all present requests.

    Under load, two threads work on two batches at once. If one batch took all requests, the second
    thread would be idle during the first half of the pass, and the first thread during the second.
    Callers often send their next request as soon as they have an answer; then a large and a small
    batch would keep alternating. Halving makes the batches equal.

    >>> limits = Limits(max_requests=64, max_tokens=1024, max_pending=1024)
    >>> [max_batch_share(waiting, n, limits) for waiting, n in ((1, 0), (24, 8), (500, 0))]
    [1, 16, 64]
    """
    return min(limits.max_requests, (waiting + running + 1) // 2)


def next_batch(  # noqa: PLR0913 - the numbers of a plan
    pending: Iterable[PendingT],
    now: float,
    limits: Limits,
    max_requests: int,
    seconds_per_token: float = 0.0,
    *,
    longest_s: float = float("inf"),
) -> BatchPlan[PendingT]:
    """Plan the pass that starts now, strictly in the order of `pending`.

    The batch stops growing at the first request that would exceed a limit. It also stops at a
    request that would make the pass end after a deadline which the batch otherwise meets, or take
    longer than `longest_s`.

    There are two exceptions for times. A deadline that cannot be met anyway limits nothing:
    smaller batches would only make other requests late too. And no time cuts a batch below a
    quarter of `limits.max_requests`: during an overload all deadlines are near, and tiny batches
    would miss more of them than they meet.

    Requests that were asked together stay together: `max_requests` does not part them.

    Args:
        pending: the waiting requests, oldest first.
        now: monotonic seconds.
        limits: limits of a batch.
        max_requests: most requests in this batch, see `max_batch_share`.
        seconds_per_token: predicted speed of the pass.
        longest_s: predicted seconds that a pass may take.
    """
    take: list[PendingT] = []
    expired: list[PendingT] = []
    abandoned: list[PendingT] = []
    tokens = 0
    earliest_deadline = float("inf")  # of the deadlines that the batch still meets
    for entry in pending:
        if entry.abandoned:
            abandoned.append(entry)
            continue
        if entry.deadline <= now:
            expired.append(entry)
            continue
        end = now + (tokens + entry.cost) * seconds_per_token
        most = limits.max_requests if entry.follows else max_requests
        full = tokens + entry.cost > limits.max_tokens or len(take) >= most
        late = end > min(earliest_deadline, now + longest_s)
        late = late and len(take) >= limits.max_requests // 4
        if take and (full or late or entry.retry_alone or take[0].retry_alone):
            break
        take.append(entry)
        tokens += entry.cost
        if end <= entry.deadline:
            earliest_deadline = min(earliest_deadline, entry.deadline)
    return BatchPlan(
        take=tuple(take), expired=tuple(expired), abandoned=tuple(abandoned), tokens=tokens
    )


class PassTimes:
    """Predicts how long a pass takes, from the passes measured so far.

    The rate (seconds per token) is learned for each size class: passes whose tokens have the same
    number of binary digits. One rate for all sizes would not do, because small passes cost more
    per token. After a quiet period, that rate would predict far too long a wait for a full queue.
    All requests would be refused, and no large pass would ever correct the prediction.

    A pass that took much longer than predicted counts as three times its prediction at most. It
    was probably interrupted, which says little about the next pass.
    """

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}
        self._predicted: dict[int, float] = {}  # memo by size class, cleared by each pass

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from one pass over `tokens` tokens."""
        rate, known = seconds / tokens, self._rates.get(tokens.bit_length())
        if known is not None:
            rate = known + _NEWEST_PASS_WEIGHT * (min(rate, _MAX_SURPRISE * known) - known)
        self._rates[tokens.bit_length()] = rate
        self._predicted.clear()

    def seconds_per_token(self, tokens: int) -> float:
        """Predict the rate of a pass of `tokens` tokens.

        It is the rate of that size class, else of the next larger one that is known, else of the
        largest known one. It is 0 before the first pass.
        """
        size = tokens.bit_length()
        if size not in self._predicted:
            sizes = [s for s in self._rates if s >= size] or [max(self._rates, default=0)]
            self._predicted[size] = self._rates.get(min(sizes), 0.0)
        return self._predicted[size]

    def seconds(self, tokens: int) -> float:
        """Predict how long a pass of `tokens` tokens takes, in seconds."""
        return tokens * self.seconds_per_token(tokens)


class Admission:
    """Decides, request by request: full work, fast encoding, or refusal.

    During an overload, some requests get fast encoding before any request is refused.
    """

    def __init__(self) -> None:
        """Count from the first request."""
        self._since_fast = 0

    def refuses(self, wait_s: float, remaining_s: float) -> bool:
        """Return whether a request waits too long to be answered within its remaining time."""
        return wait_s > MAX_PLANNED_WAIT * remaining_s

    def needs_fast_encoding(self, wait_s: float, work_s: float, remaining_s: float) -> bool:
        """Return whether a request is to be answered with fast encoding, if it can be.

        Args:
            wait_s: how long the request is predicted to wait, in seconds.
            work_s: how long its full work is predicted to take.
            remaining_s: time until its deadline.

        >>> admission = Admission()
        >>> [admission.needs_fast_encoding(0.3, 0.01, remaining_s=1.0) for _ in range(4)]
        [True, False, False, True]
        >>> admission.needs_fast_encoding(0.1, 0.01, remaining_s=1.0)
        False
        """
        if wait_s + work_s > _MAX_PLANNED_END * remaining_s:
            return True
        if wait_s <= _OVERLOAD_WAIT * remaining_s:
            return False
        chosen = self._since_fast == 0
        self._since_fast = (self._since_fast + 1) % _FAST_ENCODING_PERIOD
        return chosen
