"""Storing the events of one call, and saying what became of each.

An entry of a call is an event, or a remark that says why it could not be parsed. Events that are
too old are refused by themselves; the others are durable once `Ingest.take` returns. This module
knows neither JSON nor HTTP.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from app.core.ports import EventStore
from app.core.telemetry import Metrics
from app.core.types import Event, Retention
from app.domain.event_rules import without_rule
from app.serving.current_engine import CurrentEngine


@dataclass(frozen=True, slots=True)
class Remark:
    """Why an entry of a call was refused, or a warning about one that was accepted.

    `index`: position of the entry in the call, from 0. `field`: the field at fault, if it is one.
    """

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
    """Stores events. All methods belong to one event loop."""

    def __init__(
        self,
        current: CurrentEngine,
        events: EventStore,
        retention: Retention,
        metrics: Metrics,
        now: Callable[[], float] = time.time,
    ) -> None:
        """Write to `events`; `current` knows the items and the event rules. `now`: unix seconds."""
        self._current = current
        self._events = events
        self._retention = retention
        self._metrics = metrics
        self._now = now

    async def take(self, entries: Sequence[Event | Remark]) -> Taken:
        """Store the events that can be stored; when this returns they are durable.

        Raises:
            StoreError: nothing is acknowledged; sending it all again does no harm where events
                carry their ids.
            OverloadedError: too much is waiting to be written; nothing was.
        """
        good: dict[int, Event] = {}
        rejected: list[Remark] = []
        oldest = self._retention.oldest(self._now())
        for index, entry in enumerate(entries):
            if isinstance(entry, Remark):
                rejected.append(entry)
            elif entry.time < oldest:
                message = "it is older than events are stored"
                rejected.append(Remark(index, "too_old", message, "timestamp"))
            else:
                good[index] = entry
        accepted = await self._append(list(good.values()))
        duplicates = len(good) - accepted
        counted = {"accepted": accepted, "duplicate": duplicates, "rejected": len(rejected)}
        for result, n in counted.items():
            self._metrics.events.labels(result).inc(n)
        return Taken(accepted, duplicates, tuple(rejected), tuple(self._warnings(good)))

    async def _append(self, events: Sequence[Event]) -> int:
        """Store events; return how many of them were new."""
        if not events:
            return 0
        start = time.perf_counter()
        try:
            return sum(await self._events.append(events))
        finally:
            self._metrics.event_write_seconds.observe(time.perf_counter() - start)

    def _warnings(self, good: Mapping[int, Event]) -> Iterator[Remark]:
        """Yield the stored events that have no effect yet: their item or their kind is unknown."""
        rules = self._current.loaded.rules
        kinds = {event.kind for event in good.values()}
        without = {kind: without_rule(kind, rules) for kind in kinds if kind not in rules}
        for index, event in good.items():
            if not self._current.contains(event.item):
                message = "the catalogue does not contain this item; the event is stored"
                yield Remark(index, "unknown_item", message, "item_id")
            if event.kind in without:
                yield Remark(index, "unknown_event", without[event.kind], "event")
