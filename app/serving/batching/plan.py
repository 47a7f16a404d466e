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


def share_of(waiting: int, under_way: int, limits: Limits) -> int:
    """Return how many requests the next pass may take: at most half of all that are here.

    Where requests wait, the halves of a pass run in two threads. Were all taken at once, the second
    one would have nothing to do meanwhile, and the first one nothing afterwards; and of callers who
    ask again when they are answered, a large batch and a small one would stay so.

    >>> limits = Limits(max_requests=64, max_tokens=1024, max_pending=1024)
    >>> [share_of(waiting, under_way, limits) for waiting, under_way in ((1, 0), (24, 8), (500, 0))]
    [1, 16, 64]
    """
    return min(limits.max_requests, (waiting + under_way + 1) // 2)


def next_batch(
    pending: Iterable[PendingT],
    now: float,
    limits: Limits,
    most: int,
    seconds_per_token: float = 0.0,
) -> BatchPlan[PendingT]:
    """Plan the pass that starts now, strictly in the order of `pending`.

    The batch has `most` requests at most. It stops growing at the first request that would exceed
    another limit, or that would make the pass end, by `seconds_per_token`, after a deadline that
    the batch would otherwise meet. A deadline that is lost anyway holds nothing back: batches of
    one would lose the others too. For the same reason no deadline cuts a batch below a quarter of
    `max_requests`: under overload all deadlines are near, and batches of a few requests would lose
    more of them than they save.
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
        full = tokens + entry.cost > limits.max_tokens or len(take) == most
        late = end > soonest and len(take) >= limits.max_requests // 4
        if take and (full or late or entry.alone or take[0].alone):
            break
        take.append(entry)
        tokens += entry.cost
        if end <= entry.deadline:
            soonest = min(soonest, entry.deadline)
    return BatchPlan(tuple(take), tuple(expired), tuple(left), tokens)


class PassTimes:
    """What passes cost, from those seen so far: a table by size, each a power of two of tokens.

    Small passes are dear per token, so one rate for all would foresee far too much for a full queue
    after an idle spell, refuse everybody, and never see a large pass to learn better from. A single
    pass counts as at most three times what was foreseen: one that was held up says little about the
    next.
    """

    def __init__(self) -> None:
        self._rates: dict[int, float] = {}
        self._known: dict[int, float] = {}  # by size asked for, until the next pass

    def observe(self, tokens: int, seconds: float) -> None:
        """Learn from one pass over `tokens` tokens."""
        rate, known = seconds / tokens, self._rates.get(tokens.bit_length())
        if known is not None:
            rate = known + _WEIGHT_OF_NEWEST * (min(rate, _MOST_SURPRISE * known) - known)
        self._rates[tokens.bit_length()] = rate
        self._known.clear()

    def seconds_per_token(self, tokens: int) -> float:
        """Estimate, for `tokens` tokens, as in passes of that size, or the next that is known.

        0 before the first pass.
        """
        size = tokens.bit_length()
        if size not in self._known:
            sizes = [s for s in self._rates if s >= size] or [max(self._rates, default=0)]
            self._known[size] = self._rates.get(min(sizes), 0.0)
        return self._known[size]

    def seconds(self, tokens: int) -> float:
        """Estimate how long `tokens` tokens take; those beyond the largest pass follow it."""
        return tokens * self.seconds_per_token(tokens)


# What becomes of a request at the door, from times foreseen: taken whole, with less work, refused.
#
# Pure decisions over seconds. Under a rush more work is spared before anybody is refused; but two
# of three requests still get the whole of it, or a long rush would leave nobody a whole answer.

_PLANNED_SHARE: Final = 1 / 2
"""Share of its time that a request may be foreseen to wait; its own pass comes after that, and what
was foreseen is seldom too much: refusing takes time as well. Planned to the last moment, all
deadlines get tight, and one slow pass loses many of them.
"""
_CALM_SHARE: Final = 1 / 6
"""Share of its time that a request may wait before work is spared: a burst is no rush."""
_FAST_ENCODING_OF: Final = 3
"""One of so many requests is spared work in a rush."""
_SAFE_SHARE: Final = 2 / 3
"""Share of its time in which the whole work has to be foreseen to end: some passes take longer."""


class Admission:
    """Decides for one request after the other."""

    def __init__(self) -> None:
        """Start calm."""
        self._since_fast = 0

    def refuses(self, wait: float, left: float) -> bool:
        """Tell whether a request that waits so long cannot be answered in the time it has left."""
        return wait > _PLANNED_SHARE * left

    def needs_fast_encoding(self, wait: float, work: float, left: float) -> bool:
        """Tell whether a request shall be answered with less work than `work`, if that is possible.

        >>> door = Admission()
        >>> [door.hurries(0.3, 0.01, left=1.0) for _ in range(4)], door.hurries(0.1, 0.01, left=1.0)
        ([True, False, False, True], False)
        """
        if wait + work > _SAFE_SHARE * left:
            return True
        if wait <= _CALM_SHARE * left:
            return False
        chosen = self._since_fast == 0
        self._since_fast = (self._since_fast + 1) % _FAST_ENCODING_OF
        return chosen
