"""Exporting stored events to JSON Lines, and reading event files back into events to store.

An exported file has the columns of an event file, so it can be imported and built from. This module
knows no store.
"""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

import orjson

from app.core.types import Event
from app.domain.named_values import shown
from app.domain.values import Unusable
from app.offline.input.events import EventParser, EventRow, TimeBounds
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import format_of
from app.offline.input.recipe import Recipe

_WHO = {"u": "user_id", "s": "session_id"}


def line_of(event: Event) -> bytes:
    r"""Return an event as a line of a file, without the fields that have no value.

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
        "query": event.query or None,
        "context": shown(event.context) or None,
    }
    present = {name: value for name, value in cells.items() if value is not None}
    return orjson.dumps(present, option=orjson.OPT_APPEND_NEWLINE)


def events_of(path: Path, recipe: Recipe, times: TimeBounds, report: ReadReport) -> Iterator[Event]:
    """Yield the events of a file, and count its rows in `report`.

    An event without an id gets one, which is the same each time this file is read. `times.undated`
    must be a time, not NaN.

    Raises:
        BadDataError: the file cannot be read.
        UsageError: the recipe does not fit the file.
    """
    file_format = format_of(path, recipe.format.events)
    parser = EventParser(recipe, file_format)
    for line, cells in counted_rows(path, file_format, report):
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
        query=row.query,
        context=row.context,
    )


def _made_id(row: EventRow, line: int) -> str:
    # Made from the row as it is: the time that is used may depend on when the file is read.
    content = repr((line, row.user, row.item, row.event, row.value, row.timestamp))
    return hashlib.blake2b(content.encode("utf-8", "replace"), digest_size=16).hexdigest()
