"""An event log, read from a file into flat arrays, every rule for wrong rows applied.

A row that cannot be used is counted with its line and reason; a repeated `event_id` is counted and
its last row wins. Items are not looked up: an event for an unknown one is kept. This module does
not know what an event is worth.
"""

import hashlib
import math
from array import array
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.core.ports import user_key
from app.domain.values import (
    Cell,
    Unusable,
    is_missing,
    parse_event,
    parse_id,
    parse_number,
    parse_time,
)
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import Cells, Format, format_of
from app.offline.input.recipe import EventColumns, Recipe


@dataclass(frozen=True, slots=True)
class Events:
    """An event log of n events in input order.

    `user`, `item`, `event`: int32[n] into `users` (keys as `user_key` makes them), `items` (ids,
    known or not) and `kinds`. `value`, `timestamp` (unix seconds): float64[n], NaN = missing.
    `recommendation`: int32[n], equal for events that came of one answer; -1 = of none.
    """

    users: list[str]
    items: list[str]
    kinds: list[str]
    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    event: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    timestamp: npt.NDArray[np.float64]
    recommendation: npt.NDArray[np.int32]
    tally: ReadReport

    def __len__(self) -> int:
        return len(self.user)

    def only(self, keep: npt.NDArray[np.bool_]) -> "Events":
        """Return the events that bool[n] `keep` says; names and tally stay."""
        names = ("user", "item", "event", "value", "timestamp", "recommendation")
        return replace(self, **{name: getattr(self, name)[keep] for name in names})

    @classmethod
    def none(cls) -> "Events":
        """Return the log of a shop that has not seen anybody yet."""
        return _Log().events([], ReadReport("no events"))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of an event file; `value` and `timestamp` (unix seconds) are NaN where missing."""

    user: str
    item: str
    event: str
    value: float
    timestamp: float
    event_id: str | None
    recommendation: str | None


def parse_row(cells: Cells, names: EventColumns, form: Format) -> EventRow:
    """Return what a row says. Raises `Unusable`."""
    user = _user(cells, names, form)
    item = _first(cells, names.item_id, "item_id", "item")
    moment = parse_time(cells.get(names.timestamp), "timestamp")
    return EventRow(
        user=user,
        item=parse_id(item, "item_id", whole_floats=form.whole_floats),
        event=parse_event(cells.get(names.event), names.default_event),
        value=parse_number(cells.get(names.value), "value"),
        timestamp=math.nan if moment is None else moment.seconds,
        event_id=_id_or_none(cells.get(names.event_id), "event_id", form),
        recommendation=_id_or_none(cells.get(names.recommendation_id), "recommendation_id", form),
    )


def _id_or_none(cell: Cell, name: str, form: Format) -> str | None:
    return None if is_missing(cell) else parse_id(cell, name, whole_floats=form.whole_floats)


def read_events(path: Path, recipe: Recipe) -> Events:
    """Read an event log; item ids are not looked up here.

    Raises:
        BadDataError: unreadable, or more than half of the rows are unusable.
        UsageError: another ending, or the recipe names a column that is not there.
    """
    form, tally, seen = format_of(path), ReadReport(path.name), set[str]()
    log, row_of = _Log(), dict[str, int]()
    dead: list[int] = []
    for line, cells in counted_rows(path, tally):
        seen.update(cells)
        try:
            event_id = log.add(cells, recipe.events, form)
        except Unusable as reason:
            tally.reject(line, reason)
            continue
        if event_id is not None:
            row = len(log.user) - 1
            if event_id in row_of:
                dead.append(row_of[event_id])
            row_of[event_id] = row
    recipe.check_columns("events", seen, path.name)
    tally.check()
    tally.duplicates = len(dead)
    return log.events(dead, tally)


class _Log:
    """Events while they are read: numbers in flat arrays, names once each."""

    def __init__(self) -> None:
        self.user, self.item, self.event = array("i"), array("i"), array("i")
        self.value, self.timestamp = array("d"), array("d")
        # Rows that came of a recommendation, and 64 bits of a hash of its id: often none have one.
        self._recommended, self._hashes = array("i"), array("q")
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._kinds: dict[str, int] = {}

    def add(self, cells: Cells, names: EventColumns, form: Format) -> str | None:
        """Append one event, return its `event_id`. Raises `Unusable`, having appended nothing."""
        row = parse_row(cells, names, form)
        self.user.append(self._users.setdefault(row.user, len(self._users)))
        self.item.append(self._items.setdefault(row.item, len(self._items)))
        self.event.append(self._kinds.setdefault(row.event, len(self._kinds)))
        self.value.append(row.value)
        self.timestamp.append(row.timestamp)
        if row.recommendation is not None:
            self._recommended.append(len(self.user) - 1)
            self._hashes.append(_hashed(row.recommendation))
        return row.event_id

    def events(self, dead: list[int], tally: ReadReport) -> Events:
        """Return the log without the rows that a later one replaced."""
        live = np.ones(len(self.user), dtype=bool)
        live[dead] = False
        users, user = _compact(list(self._users), np.array(self.user, np.int32)[live])
        items, item = _compact(list(self._items), np.array(self.item, np.int32)[live])
        kinds, event = _compact(list(self._kinds), np.array(self.event, np.int32)[live])
        value, timestamp = np.array(self.value)[live], np.array(self.timestamp)[live]
        came_of = self._recommendations()[live]
        return Events(users, items, kinds, user, item, event, value, timestamp, came_of, tally)

    def _recommendations(self) -> npt.NDArray[np.int32]:
        codes = np.full(len(self.user), -1, np.int32)
        _, numbered = np.unique(np.array(self._hashes, np.int64), return_inverse=True)
        codes[np.array(self._recommended, np.int32)] = numbered
        return codes


def _hashed(recommendation: str) -> int:
    content = recommendation.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True)


def _compact(
    names: list[str], codes: npt.NDArray[np.int32]
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Drop the names that no code uses any more."""
    used, positions = np.unique(codes, return_inverse=True)
    return [names[code] for code in used.tolist()], positions.astype(np.int32)


def _user(cells: Cells, names: EventColumns, form: Format) -> str:
    user_id = _first(cells, names.user_id, "user_id", "user")
    session_id = cells.get(names.session_id)
    if is_missing(user_id) == is_missing(session_id):
        found = "neither" if is_missing(user_id) else "both"
        raise Unusable(f"exactly one of user_id and session_id is wanted, {found} given")
    if is_missing(session_id):
        key = user_key(parse_id(user_id, "user_id", whole_floats=form.whole_floats), None)
    else:
        key = user_key(None, parse_id(session_id, "session_id", whole_floats=form.whole_floats))
    return str(key)


def _first(cells: Cells, mapped: str | None, *names: str) -> Cell:
    """Return the cell of the column that the recipe names, else of the first name that has one."""
    if mapped is not None:
        return cells.get(mapped)
    return next((cells[name] for name in names if not is_missing(cells.get(name))), None)
