"""Event ingest: store the events of one call, and report on each of them.

An entry of a call is an event, or a remark that says why it could not be parsed. An event that is
too old is rejected, and the others are stored all the same. They are durable once `Ingest.take`
returns. This module knows neither JSON nor HTTP.
"""

import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from app.core.store_ports import EventStore
from app.core.telemetry import Metrics
from app.core.types import Event, Retention
from app.domain.event_rules import known_spelling, read_otherwise, without_rule
from app.serving.current_engine import CurrentEngine

_MOST_HINTS: Final = 32
"""Unknown kinds of a call for which the nearest known one is looked for: each look takes time."""


@dataclass(frozen=True, slots=True)
class Remark:
    """Why an entry of a call was rejected, or a warning about one that was accepted.

    `index`: position of the entry in the call, from 0. `field`: the field at fault, if
    there is one.
    """

    index: int
    code: str
    message: str
    field: str | None


@dataclass(frozen=True, slots=True)
class IngestResult:
    """How many events of one call were stored, and the remarks about the others."""

    accepted: int
    duplicates: int
    rejected: tuple[Remark, ...]
    warnings: tuple[Remark, ...]


class Ingest:
    """Stores events. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - clock and threads are injected
        self,
        current: CurrentEngine,
        events: EventStore,
        retention: Retention,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        """Write events to a store.

        Args:
            current: knows the items and the event rules.
            events: the store.
            retention: how long events are stored.
            metrics: where events and the time of writes are counted.
            now: unix seconds.
            clock: monotonic seconds, for the time of writes.
        """
        self._current = current
        self._events = events
        self._retention = retention
        self._metrics = metrics
        self._now = now
        self._clock = clock

    async def take(self, entries: Sequence[Event | Remark]) -> IngestResult:
        """Store the events that are not too old; they are durable when this returns.

        Raises:
            StoreError: the events may be stored or not. Sending all of them again does no harm if
                they carry ids.
            OverloadedError: too many events wait to be written; none of these was stored.
        """
        valid: dict[int, Event] = {}
        rejected: list[Remark] = []
        oldest = self._retention.oldest(self._now())
        for index, entry in enumerate(entries):
            if isinstance(entry, Remark):
                rejected.append(entry)
            elif entry.time < oldest:
                message = "it is older than events are stored"
                rejected.append(Remark(index, code="too_old", message=message, field="timestamp"))
            else:
                valid[index] = entry
        warnings = tuple(self._warnings(valid))
        accepted = await self._append([self._spelled(event) for event in valid.values()])
        duplicates = len(valid) - accepted
        counted = {"accepted": accepted, "duplicate": duplicates, "rejected": len(rejected)}
        for result, n in counted.items():
            self._metrics.events.labels(result).inc(n)
        return IngestResult(
            accepted=accepted,
            duplicates=duplicates,
            rejected=tuple(rejected),
            warnings=warnings,
        )

    def _spelled(self, event: Event) -> Event:
        """Return an event with its kind as the rules spell it."""
        rules = self._current.loaded.rules
        known = None if event.kind in rules else known_spelling(event.kind, rules)
        return event if known is None else replace(event, kind=known)

    async def _append(self, events: Sequence[Event]) -> int:
        """Store events; return how many of them were new."""
        if not events:
            return 0
        start = self._clock()
        try:
            return sum(await self._events.append(events))
        finally:
            self._metrics.event_write_seconds.observe(self._clock() - start)

    def _warnings(self, valid: Mapping[int, Event]) -> Iterator[Remark]:
        """Yield a warning for each event whose item or kind is unknown."""
        rules = self._current.loaded.rules
        kinds = dict.fromkeys(event.kind for event in valid.values() if event.kind not in rules)
        unknown_kinds = {
            kind: _remark_on(kind, rules) if n < _MOST_HINTS else f"{kind!r} has no rule"
            for n, kind in enumerate(kinds)
        }
        for index, event in valid.items():
            if not self._current.contains(event.item):
                message = "the catalogue does not contain this item; the event is stored"
                yield Remark(index, code="unknown_item", message=message, field="item_id")
            if event.kind in unknown_kinds:
                message = unknown_kinds[event.kind]
                yield Remark(index, code="unknown_event", message=message, field="event")


def _remark_on(kind: str, rules: Collection[str]) -> str:
    known = known_spelling(kind, rules)
    return without_rule(kind, rules) if known is None else read_otherwise(kind, known)
