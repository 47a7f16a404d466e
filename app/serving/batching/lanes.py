"""The waiting requests, in the order in which they have their turn.

Each key has a lane. The lanes of interactive callers take turns, one request each; the other lanes
take turns when no interactive request waits. Within a lane, the oldest comes first. So a key that
floods the service makes its own requests wait, and nobody else's. Where nobody has a key, there is
one lane, and the queue is a plain one.

The room is shared in the same way:

    bulk, admin                       half of the queue
    interactive, over its share       three quarters: of `n` lanes, each may take 1 / (n + 1)
    interactive, within its share     all of it
"""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any, Final, Generic, TypeVar

from app.core.lane import OPEN_LANE, Lane
from app.serving.batching.queue import QueueEntry

EntryT = TypeVar("EntryT", bound=QueueEntry[Any, Any])

_FOR_ALL: Final = 1 / 2
_OVER_ITS_SHARE: Final = 3 / 4
_PASS_S: Final = 0.05
"""Predicted seconds of a pass where keys have lanes: who comes may wait for two that have begun.
Without keys, the largest passes are the best ones."""

_NO_LIMIT: Final = float("inf")
_MOST_LOOKED_AT: Final = 32
"""With more lanes, all tokens count as being ahead: to look at each lane would cost too much."""


class _Waiting(Generic[EntryT]):
    """The entries of one lane, and the sum of their costs."""

    __slots__ = ("entries", "tokens")

    def __init__(self) -> None:
        self.entries: dict[EntryT, None] = {}
        self.tokens = 0


class PendingQueue(Generic[EntryT]):
    """Entries in order; any of them can be removed in O(1).

    Attributes:
        tokens: total cost of all entries.
    """

    def __init__(self) -> None:
        """Make an empty queue."""
        self._lanes: OrderedDict[Lane, _Waiting[EntryT]] = OrderedDict()
        self._front: OrderedDict[EntryT, None] = OrderedDict()
        self._n = 0
        self.tokens = 0

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[EntryT]:
        lanes = self._lanes
        if len(lanes) == 1 and not self._front:
            return iter(next(iter(lanes.values())).entries)
        return self._in_turn()

    def add(self, entry: EntryT, *, front: bool = False) -> None:
        """Add an entry at the end of its lane, or before all others."""
        self._n += 1
        self.tokens += entry.cost
        if front:
            self._front[entry] = None
            self._front.move_to_end(entry, last=False)
            return
        lane = self._lanes.get(entry.lane)
        if lane is None:
            lane = self._lanes[entry.lane] = _Waiting()
        lane.entries[entry] = None
        lane.tokens += entry.cost

    def discard(self, entry: EntryT) -> None:
        """Remove an entry, if it is in the queue; its lane has its next turn after all others."""
        lane = self._lanes.get(entry.lane)
        if lane is not None and entry in lane.entries:
            del lane.entries[entry]
            lane.tokens -= entry.cost
            if lane.entries:
                self._lanes.move_to_end(entry.lane)
            else:
                del self._lanes[entry.lane]
        elif entry in self._front:
            del self._front[entry]
        else:
            return
        self._n -= 1
        self.tokens -= entry.cost

    def clear(self) -> None:
        """Remove all entries."""
        self._lanes.clear()
        self._front.clear()
        self._n = self.tokens = 0

    @property
    def longest_pass_s(self) -> float:
        """How long a pass may take, so that who comes meanwhile has a turn soon."""
        lanes = self._lanes
        alone = not lanes or (len(lanes) == 1 and OPEN_LANE in lanes)
        return _NO_LIMIT if alone else _PASS_S

    def tokens_ahead(self, lane: Lane) -> int:
        """Return the cost of what has its turn before a request that is added to a lane now."""
        if not lane.interactive or len(self._lanes) > _MOST_LOOKED_AT:
            return self.tokens
        own = self._lanes.get(lane)
        if own is not None and len(self._lanes) == 1:
            return self.tokens
        turns = 1 + (0 if own is None else len(own.entries))
        ahead = sum(entry.cost for entry in self._front)
        for each, waiting in self._lanes.items():
            if waiting is own:
                ahead += waiting.tokens
            elif each.interactive:
                n = len(waiting.entries)
                ahead += waiting.tokens * min(turns, n) // n
        return ahead

    def has_room(self, lane: Lane, most: int) -> bool:
        """Tell whether one more request of a lane may wait. `most`: requests in a full queue."""
        if self._n < most * _FOR_ALL or (lane == OPEN_LANE and self._n < most):
            return True
        if not lane.interactive or self._n >= most:
            return False
        own = self._lanes.get(lane)
        held = 0 if own is None else len(own.entries)
        over = held * (len(self._lanes) + 1) > self._n
        return not over or self._n < most * _OVER_ITS_SHARE

    def _in_turn(self) -> Iterator[EntryT]:
        yield from self._front
        lanes = list(self._lanes.items())
        yield from _by_turns(waiting.entries for lane, waiting in lanes if lane.interactive)
        yield from _by_turns(waiting.entries for lane, waiting in lanes if not lane.interactive)


def _by_turns(lanes: Iterable[Iterable[EntryT]]) -> Iterator[EntryT]:
    """Yield one entry of each lane in turn; what was asked together has one turn together."""
    rest = [(entry, entries) for each in lanes if (entry := next(entries := iter(each), None))]
    while rest:
        turns, rest = rest, []
        for entry, entries in turns:
            yield entry
            after = next(entries, None)
            while after is not None and after.follows:
                yield after
                after = next(entries, None)
            if after is not None:
                rest.append((after, entries))
