"""Taking events in: what is wrong stays out with its reason, what is right is kept, durably.

Knows neither JSON nor HTTP; events arrive as parsed, or as the reason why they could not be.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.ports import Engine, EventStore
from app.core.telemetry import Metrics
from app.core.types import Event, Retention

_CLOCKS_DIFFER_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Remark:
    """What there is to say of one event of a call: why it was left out, or what is odd about it."""

    index: int
    code: str
    message: str
    field: str | None


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of the events of one call."""

    accepted: int
    duplicates: int
    rejected: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


class Ingest:
    """Takes events into the store. All methods belong to one event loop."""

    def __init__(
        self,
        engine: Engine,
        events: EventStore,
        retention: Retention,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write to `events`; `engine` knows the catalogue. `now`: unix seconds."""
        self._engine = engine
        self._events = events
        self._retention = retention
        self._metrics = metrics
        self._now = now

    async def take(self, entries: Sequence[Event | Remark]) -> Taken:
        """Keep the events that can be kept; when this returns they are durable.

        Raises:
            StoreError: nothing is acknowledged; sending it all again does no harm where events
                carry their ids.
            OverloadedError: too much is waiting to be written; nothing was.
        """
        good: dict[int, Event] = {}
        rejected: list[Remark] = []
        for index, entry in enumerate(entries):
            remark = entry if isinstance(entry, Remark) else self._refusal(index, entry)
            if remark is not None:
                rejected.append(remark)
            elif isinstance(entry, Event):
                good[index] = entry
        accepted = await self._kept(list(good.values()))
        duplicates = len(good) - accepted
        counted = {"accepted": accepted, "duplicate": duplicates, "rejected": len(rejected)}
        for result, n in counted.items():
            self._metrics.events.labels(result).inc(n)
        return Taken(accepted, duplicates, tuple(rejected), self._warnings(good.items()))

    async def _kept(self, events: Sequence[Event]) -> int:
        if not events:
            return 0
        start = time.perf_counter()
        try:
            return sum(await self._events.append(events))
        finally:
            self._metrics.event_write_seconds.observe(time.perf_counter() - start)

    def _refusal(self, index: int, event: Event) -> Remark | None:
        now = self._now()
        if event.time > now + _CLOCKS_DIFFER_S:
            return Remark(index, "in_the_future", "it lies more than a day ahead", "timestamp")
        if event.time < self._retention.oldest(now):
            return Remark(index, "too_old", "it is older than what is kept", "timestamp")
        return None

    def _warnings(self, good: Iterable[tuple[int, Event]]) -> tuple[Remark, ...]:
        """Name the events whose items are not there yet: they are kept, and count once they are."""
        said = "the catalogue does not hold this item; the event is kept"
        return tuple(
            Remark(index, "unknown_item", said, "item_id")
            for index, event in good
            if not self._engine.holds(event.item)
        )
