"""Reading event files into events to store. This module knows no store."""

import hashlib
import math
from collections.abc import Iterator
from pathlib import Path

from app.core.types import Event
from app.domain.values import Unusable
from app.offline.input.events import EventParser, EventRow, TimeBounds, times_of
from app.offline.input.fitted_columns import fitted
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.recipe import Recipe


def events_of(path: Path, recipe: Recipe, times: TimeBounds, report: ReadReport) -> Iterator[Event]:
    """Yield the events of a file, and count its rows in `report`.

    An event without an id gets one, which is the same each time this file is read. `times.undated`
    must be a time, not NaN.

    Raises:
        BadDataError: the file cannot be read.
        UsageError: the recipe does not fit the file.
    """
    recipe, file_format, report.guessed = fitted(path, recipe, "events")
    parser = EventParser(recipe, file_format, times_of(path, recipe, file_format))
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
