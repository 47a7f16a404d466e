"""Stored events as files: JSON Lines out, any event file in. Knows no store.

What is exported can be imported, and built from: it has the columns of an event file.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import orjson

from app.core.types import Event
from app.domain.values import Unusable
from app.offline.input.events import EventParser, EventRow, TimeBounds
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import format_of
from app.offline.input.recipe import Recipe

_WHO = {"u": "user_id", "s": "session_id"}


def line_of(event: Event) -> bytes:
    r"""Return an event as a line of a file; what it lacks is left out.

    >>> line_of(Event("e1", "s:9", "7", "click", 1700000000.0))
    b'{"session_id":"9","item_id":"7","event":"click","timestamp":1700000000.0,"event_id":"e1"}\n'
    """
    kind, _, name = event.user.partition(":")
    cells = {
        _WHO[kind]: name,
        "item_id": event.item,
        "event": event.kind,
        "value": event.value,
        "timestamp": event.time,
        "event_id": event.id,
        "recommendation_id": event.recommendation,
    }
    there = {name: value for name, value in cells.items() if value is not None}
    return orjson.dumps(there, option=orjson.OPT_APPEND_NEWLINE)


def events_of(path: Path, recipe: Recipe, times: TimeBounds, report: ReadReport) -> Iterator[Event]:
    """Yield the events of a file; rows are counted in `report`, and why they cannot be used.

    An event without an id gets one that is the same each time this file is read. `times` must say
    when an event without a time happened.

    Raises:
        BadDataError: the file cannot be read.
        UsageError: another ending.
    """
    parser = EventParser(recipe, format_of(path))
    for line, cells in counted_rows(path, report):
        try:
            row = parser.parse(cells)
            moment = times.apply(row.timestamp)
        except Unusable as reason:
            report.reject(line, reason)
        else:
            yield _event(row, line, moment)
    parser.note_columns(report)


def _event(row: EventRow, line: int, moment: float) -> Event:
    return Event(
        id=_made_id(row, line) if row.event_id is None else row.event_id,
        user=row.user,
        item=row.item,
        kind=row.event,
        time=moment,
        value=None if math.isnan(row.value) else row.value,
        recommendation=row.recommendation,
    )


def _made_id(row: EventRow, line: int) -> str:
    # Of what the row says: the time that is used may depend on when the file is read.
    content = repr((line, row.user, row.item, row.event, row.value, row.timestamp))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest()
