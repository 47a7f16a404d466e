"""An event log, read from a file into flat arrays, every rule for wrong rows applied.

A row that cannot be used is counted with its line and reason; a repeated `event_id` is counted and
its last row wins. Items are not looked up: an event for an unknown one is kept. This module does
not know what an event is worth.
"""

import hashlib
import math
import time
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.ports import user_key
from app.domain.event_rules import RATING_KIND
from app.domain.values import (
    Cell,
    Unusable,
    is_missing,
    limit_to_now,
    parse_event,
    parse_id,
    parse_number,
    parse_time,
)
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.readers import Cells, Format, format_of
from app.offline.input.recipe import EventColumns, Recipe

RATING_COLUMNS: Final = ("rating", "stars", "star_rating")
"""Columns that are known to give stars, whatever else a file has."""

_MOST_NAMED: Final = 10


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


@dataclass(frozen=True, slots=True)
class TimeBounds:
    """What times an event may have, in unix seconds.

    Attributes:
        now: a time up to a day later is cut to it; a row with a later time is unusable.
        oldest: a row with a time before it is unusable.
        undated: the time of an event without one.
    """

    now: float
    oldest: float = -math.inf
    undated: float = math.nan

    def apply(self, timestamp: float) -> float:
        """Return the time to use for the one that a row says, NaN = none. Raises `Unusable`."""
        if math.isnan(timestamp):
            return self.undated
        if timestamp < self.oldest:
            raise Unusable("the event is older than events are stored")
        return limit_to_now(timestamp, self.now)


class EventParser:
    """Parses the rows of one event file.

    A row that gives stars is a rating, whatever the default kind is: it says neither kind nor
    value, but has one of `RATING_COLUMNS`. So is a row without a kind where the recipe takes
    `value` from such a column and names no `default_event`.
    """

    def __init__(self, recipe: Recipe, form: Format) -> None:
        """Parse rows of a format by the columns of a recipe."""
        self._recipe = recipe
        self._names = names = recipe.events
        self._form = form
        kind_is_said = "default_event" in names.model_fields_set
        self._value_is_stars = names.value in RATING_COLUMNS and not kind_is_said
        self._columns: set[str] = set()
        self._stars: Counter[str] = Counter()  # column -> rows whose value it gave

    def parse(self, cells: Cells) -> EventRow:
        """Return the event of a row. Raises `Unusable`."""
        self._columns.update(cells)
        names, form = self._names, self._form
        user = _user(cells, names, form)
        item = _first(cells, names.item_id, "item_id", "item")
        item_id = parse_id(item, "item_id", whole_floats=form.whole_floats)
        moment = parse_time(cells.get(names.timestamp), "timestamp")
        event_id = _id_or_none(cells.get(names.event_id), "event_id", form)
        recommendation = cells.get(names.recommendation_id)
        answer_id = _id_or_none(recommendation, "recommendation_id", form)
        event, value = self._kind_and_value(cells)
        timestamp = math.nan if moment is None else moment.seconds
        return EventRow(
            user=user,
            item=item_id,
            event=event,
            value=value,
            timestamp=timestamp,
            event_id=event_id,
            recommendation=answer_id,
        )

    def check_columns(self, file: str) -> None:
        """Raise `UsageError` if the recipe names a column that no row of the file has."""
        self._recipe.check_columns("events", self._columns, file)

    def note_columns(self, report: ReadReport) -> None:
        """Note which column of stars was used, and which columns were not used at all."""
        for column, n in self._stars.items():
            least = self._recipe.weights[RATING_KIND].positive_from
            sense = "" if least is None else f"; a value from {least:g} is positive"
            report.notes.append(f"column {column!r} was read as the value of {n} ratings{sense}")
        unused = sorted(self._columns - self._used())
        if unused:
            more = "" if len(unused) <= _MOST_NAMED else f" and {len(unused) - _MOST_NAMED} more"
            named = ", ".join(map(repr, unused[:_MOST_NAMED]))
            report.notes.append(f"columns that were not used: {named}{more}")

    def _kind_and_value(self, cells: Cells) -> tuple[str, float]:
        """Return what kind of event a row is, and its value; NaN if it has none."""
        names = self._names
        kind = parse_event(cells.get(names.event), "") or None
        column = names.value
        may_be_stars = kind in {None, RATING_KIND}
        if may_be_stars and is_missing(cells.get(column)):
            column = next((c for c in RATING_COLUMNS if not is_missing(cells.get(c))), column)
        value = parse_number(cells.get(column), column if column in RATING_COLUMNS else "value")
        given = not math.isnan(value)
        if may_be_stars and given and (column != names.value or self._value_is_stars):
            self._stars[column] += 1
            return RATING_KIND, value
        return kind or names.default_event, value

    def _used(self) -> set[str]:
        names = self._names
        mapped = names.model_dump(exclude={"path", "default_event", "user_id", "item_id"})
        users = {names.user_id} if names.user_id is not None else {"user_id", "user"}
        items = {names.item_id} if names.item_id is not None else {"item_id", "item"}
        return {"", *mapped.values(), *users, *items, *self._stars}


def _id_or_none(cell: Cell, name: str, form: Format) -> str | None:
    return None if is_missing(cell) else parse_id(cell, name, whole_floats=form.whole_floats)


def read_events(path: Path, recipe: Recipe, now: float | None = None) -> Events:
    """Read an event log; item ids are not looked up here.

    `now`: unix seconds, the clock's by default. A time up to a day ahead of it is cut to it, a row
    with a later one is unusable.

    Raises:
        BadDataError: unreadable, or more than half of the rows are unusable.
        UsageError: another ending, or the recipe names a column that is not there.
    """
    report = ReadReport(path.name)
    times = TimeBounds(now=time.time() if now is None else now)
    parser = EventParser(recipe, format_of(path))
    log, row_of = _Log(), dict[str, int]()
    replaced: list[int] = []
    for line, cells in counted_rows(path, report):
        try:
            event = parser.parse(cells)
            moment = times.apply(event.timestamp)
        except Unusable as reason:
            report.reject(line, reason)
            continue
        row = log.add(event, moment)
        if event.event_id is not None:
            if event.event_id in row_of:
                replaced.append(row_of[event.event_id])
            row_of[event.event_id] = row
    parser.check_columns(path.name)
    parser.note_columns(report)
    report.check()
    report.duplicates = len(replaced)
    return log.events(replaced, report)


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

    def add(self, row: EventRow, moment: float) -> int:
        """Append an event that happened at a moment, in unix seconds; return its row."""
        self.user.append(self._users.setdefault(row.user, len(self._users)))
        self.item.append(self._items.setdefault(row.item, len(self._items)))
        self.event.append(self._kinds.setdefault(row.event, len(self._kinds)))
        self.value.append(row.value)
        self.timestamp.append(moment)
        if row.recommendation is not None:
            self._recommended.append(len(self.user) - 1)
            self._hashes.append(_hashed(row.recommendation))
        return len(self.user) - 1

    def events(self, replaced: list[int], tally: ReadReport) -> Events:
        """Return the log without the rows that a later one replaced."""
        live = np.ones(len(self.user), dtype=bool)
        live[replaced] = False
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
