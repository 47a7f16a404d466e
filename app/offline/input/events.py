"""Reading the events of a file into flat arrays.

A row that cannot be used is counted with its line number and reason. If an `event_id` comes twice,
the last row counts, and the duplicate is counted. Items are not looked up: an event for an unknown
item is read like any other. This module does not know what an event of a kind means.
"""

import hashlib
import math
import time
from array import array
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.caller import NAMESPACE, scoped
from app.core.store_ports import user_key
from app.core.types import Context
from app.domain.event_rules import RATING_KIND, known_spelling, read_otherwise
from app.domain.values import (
    MISSING_WORDS,
    Cell,
    Unusable,
    is_missing,
    is_missing_id,
    limit_to_now,
    parse_event,
    parse_id,
    parse_namespace,
    parse_number,
    parse_query,
)
from app.offline.input.context_columns import ContextColumns
from app.offline.input.context_log import ContextLog, ContextLogger
from app.offline.input.event_times import EventTimes
from app.offline.input.files.readers import Cells, Format, read_rows
from app.offline.input.fitted_columns import RATING_COLUMNS, fitted
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.recipe import EventColumns, Recipe

_MOST_NAMED: Final = 10
_MOST_STARS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Events:
    """An event log of n events in input order.

    Attributes:
        users: user keys, as `user_key` makes them.
        items: ids of items, known to the catalogue or not.
        kinds: kinds of events.
        queries: the different words that led to events.
        user, item, event: int32[n], positions in `users`, `items` and `kinds`.
        value: float64[n], NaN = missing.
        timestamp: float64[n], unix seconds, NaN = missing.
        recommendation: int32[n], equal for events that came from one answer; -1 = from none.
        query: int32[n], positions in `queries`; -1 = no words led to it.
        report: what was counted while reading.
        context: where, when and on what the events happened.
    """

    users: list[str]
    items: list[str]
    kinds: list[str]
    queries: list[str]
    user: npt.NDArray[np.int32]
    item: npt.NDArray[np.int32]
    event: npt.NDArray[np.int32]
    value: npt.NDArray[np.float64]
    timestamp: npt.NDArray[np.float64]
    recommendation: npt.NDArray[np.int32]
    query: npt.NDArray[np.int32]
    report: ReadReport
    context: ContextLog = field(default_factory=ContextLog)

    def __len__(self) -> int:
        return len(self.user)

    def only(self, keep: npt.NDArray[np.bool_]) -> "Events":
        """Return the events where `keep`, bool[n], is true; names and report stay the same."""
        names = ("user", "item", "event", "value", "timestamp", "recommendation", "query")
        arrays = {name: getattr(self, name)[keep] for name in names}
        return replace(self, context=self.context.only(keep), **arrays)

    @classmethod
    def none(cls) -> "Events":
        """Return an event log without events."""
        return _Log().events([], ReadReport("no events"))


@dataclass(frozen=True, slots=True)
class EventRow:
    """One row of an event file; `value` and `timestamp` (unix seconds) are NaN where missing.

    `query`: the words that led to the event; "" = none. `context`: () = none.
    """

    user: str
    item: str
    event: str
    value: float
    timestamp: float
    event_id: str | None
    recommendation: str | None
    query: str
    context: Context = ()


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
        """Return the time to use for the one in a row, which may be NaN. Raises `Unusable`."""
        if math.isnan(timestamp):
            return self.undated
        if timestamp < self.oldest:
            raise Unusable("the event is older than events are stored")
        return limit_to_now(timestamp, self.now)


class EventParser:
    """Parses the rows of one event file.

    A row without kind and value, but with a value in one of `RATING_COLUMNS`, is a rating of that
    value, whatever the default kind is. A row without kind is also a rating if the recipe takes
    `value` from such a column and names no `default_event`.
    """

    def __init__(self, recipe: Recipe, file_format: Format, times: EventTimes) -> None:
        """Parse rows of a format by the columns of a recipe; `times` reads their times."""
        self._recipe = recipe
        self._times = times
        self._names = names = recipe.events
        self._file_format = file_format
        has_default = "default_event" in names.model_fields_set
        self._value_is_stars = names.value in RATING_COLUMNS and not has_default
        self._context = ContextColumns(names.context, file_format)
        self._columns: set[str] = set()
        self._stars: Counter[str] = Counter()  # column -> rows whose value it gave
        self._highest = 0.0
        self._kinds: dict[str, str] = {}  # as sent -> as the rules spell it
        self._read_otherwise: Counter[str] = Counter()

    def parse(self, cells: Cells) -> EventRow:
        """Return the event of a row. Raises `Unusable`."""
        self._columns.update(cells)
        names, file_format = self._names, self._file_format
        namespace = parse_namespace(cells.get(NAMESPACE))
        user = _user(cells, names, file_format, namespace)
        item = _first(cells, names.item_id, "item_id", "item")
        item_id = parse_id(item, "item_id", whole_floats=file_format.whole_floats)
        timestamp = self._times.seconds(cells.get(names.timestamp))
        event_id = _id_or_none(cells.get(names.event_id), "event_id", file_format)
        recommendation = cells.get(names.recommendation_id)
        answer_id = _id_or_none(recommendation, "recommendation_id", file_format)
        event, value = self._kind_and_value(cells)
        return EventRow(
            user=user,
            item=item_id,
            event=event,
            value=value,
            timestamp=timestamp,
            event_id=None if event_id is None else scoped(namespace, event_id),
            recommendation=answer_id,
            query=parse_query(cells.get(names.query)),
            context=self._context.context(cells),
        )

    def check_columns(self, file: str) -> None:
        """Raise `UsageError` if the recipe names a column that no row of the file has."""
        self._recipe.check_columns("events", self._columns, file)

    def note_columns(self, report: ReadReport) -> None:
        """Note which column of stars was used, and which columns were not used at all."""
        for column, n in self._stars.items():
            least = self._recipe.weights[RATING_KIND].positive_from
            # In a higher scale the build finds another bound, and says so.
            is_said = least is not None and self._highest <= _MOST_STARS
            sense = f"; a value from {least:g} is positive" if is_said else ""
            report.notes.append(f"column {column!r} was read as the value of {n} ratings{sense}")
        for sent, n in self._read_otherwise.items():
            report.notes.append(f"{n} × {read_otherwise(sent, self._kinds[sent])}")
        report.note_column(self._names.timestamp, self._times.remarks)
        unused = sorted(self._columns - self._used())
        if unused:
            more = "" if len(unused) <= _MOST_NAMED else f" and {len(unused) - _MOST_NAMED} more"
            named = ", ".join(map(repr, unused[:_MOST_NAMED]))
            report.notes.append(f"columns that were not used: {named}{more}")

    def _kind_and_value(self, cells: Cells) -> tuple[str, float]:
        """Return what kind of event a row is, and its value; NaN if it has none."""
        names = self._names
        kind = self._kind(cells.get(names.event))
        column = names.value
        may_be_stars = kind in {None, RATING_KIND}
        if may_be_stars and is_missing(cells.get(column)):
            column = next((c for c in RATING_COLUMNS if not is_missing(cells.get(c))), column)
        value = parse_number(cells.get(column), column if column in RATING_COLUMNS else "value")
        given = not math.isnan(value)
        if may_be_stars and given and (column != names.value or self._value_is_stars):
            self._stars[column] += 1
            self._highest = max(self._highest, value)
            return RATING_KIND, value
        return kind or names.default_event, value

    def _kind(self, cell: Cell) -> str | None:
        """Return a kind as the rules spell it, None if there is none. Raises `Unusable`."""
        sent = parse_event(cell, "")
        if not sent or sent in MISSING_WORDS:
            return None
        if sent not in self._kinds:
            self._kinds[sent] = known_spelling(sent, self._recipe.weights) or sent
        kind = self._kinds[sent]
        if kind != sent:
            self._read_otherwise[sent] += 1
        return kind

    def _used(self) -> set[str]:
        names = self._names
        apart = {"path", "default_event", "user_id", "item_id", "context"}
        mapped = names.model_dump(exclude=apart)
        users = {names.user_id} if names.user_id is not None else {"user_id", "user"}
        items = {names.item_id} if names.item_id is not None else {"item_id", "item"}
        return {"", NAMESPACE, *mapped.values(), *users, *items, *self._stars, *self._context.used}


def times_of(path: Path, recipe: Recipe, file_format: Format) -> EventTimes:
    """Return what reads the times of a file. `recipe`: with the columns that the file has."""
    name = recipe.events.timestamp

    def column() -> Iterator[Cell]:
        for _, cells in read_rows(path, file_format):
            if not isinstance(cells, Unusable):
                yield cells.get(name)

    return EventTimes(column, recipe.day_first)


def _id_or_none(cell: Cell, name: str, file_format: Format) -> str | None:
    return (
        None if is_missing_id(cell) else parse_id(cell, name, whole_floats=file_format.whole_floats)
    )


def read_events(path: Path, recipe: Recipe, now: float | None = None) -> Events:
    """Read an event log. Item ids are not looked up.

    `now`: unix seconds, by default the clock's. A time up to a day later is cut to it; a row with a
    later time is unusable.

    Raises:
        BadDataError: the file cannot be read, or more than half of its rows are unusable.
        UsageError: the recipe does not fit the file.
    """
    report = ReadReport(path.name)
    times = TimeBounds(now=time.time() if now is None else now)
    recipe, file_format, report.guessed = fitted(path, recipe, "events")
    parser = EventParser(recipe, file_format, times_of(path, recipe, file_format))
    log, row_of = _Log(), dict[str, int]()
    replaced: list[int] = []
    for line, cells in counted_rows(path, file_format, report):
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
    """Events while they are read: numbers in flat arrays, each name once."""

    def __init__(self) -> None:
        self.user, self.item, self.event = array("i"), array("i"), array("i")
        self.value, self.timestamp = array("d"), array("d")
        # Rows that came from a recommendation, and a 64-bit hash of its id. Often no row has one.
        self._recommended, self._hashes = array("i"), array("q")
        self._users: dict[str, int] = {}
        self._items: dict[str, int] = {}
        self._kinds: dict[str, int] = {}
        # Rows with words, and which words. Often no row has any.
        self._worded, self._words = array("i"), array("i")
        self._queries: dict[str, int] = {}
        self._contexts = ContextLogger()

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
        if row.query:
            self._worded.append(len(self.user) - 1)
            self._words.append(self._queries.setdefault(row.query, len(self._queries)))
        if row.context:
            self._contexts.add(len(self.user) - 1, row.context)
        return len(self.user) - 1

    def events(self, replaced: list[int], report: ReadReport) -> Events:
        """Return the log without the rows that a later one replaced."""
        live = np.ones(len(self.user), dtype=bool)
        live[replaced] = False
        users, user = _compact(list(self._users), np.array(self.user, np.int32)[live])
        items, item = _compact(list(self._items), np.array(self.item, np.int32)[live])
        kinds, event = _compact(list(self._kinds), np.array(self.event, np.int32)[live])
        value, timestamp = np.array(self.value)[live], np.array(self.timestamp)[live]
        queries, query = self._logged_queries(live)
        for name in sorted(self._contexts.left_out):
            report.notes.append(f"warning: context {name!r} has too many values to learn of")
        return Events(
            users=users,
            items=items,
            kinds=kinds,
            queries=queries,
            user=user,
            item=item,
            event=event,
            value=value,
            timestamp=timestamp,
            recommendation=self._recommendations()[live],
            query=query,
            report=report,
            context=self._contexts.log(len(live), live),
        )

    def _recommendations(self) -> npt.NDArray[np.int32]:
        codes = np.full(len(self.user), -1, np.int32)
        _, numbered = np.unique(np.array(self._hashes, np.int64), return_inverse=True)
        codes[np.array(self._recommended, np.int32)] = numbered
        return codes

    def _logged_queries(
        self, live: npt.NDArray[np.bool_]
    ) -> tuple[list[str], npt.NDArray[np.int32]]:
        """Return the words of the live rows, and for each of them its words; -1 = none."""
        codes = np.full(len(self.user), -1, np.int32)
        codes[np.array(self._worded, np.int32)] = self._words
        codes = codes[live]
        has_words = codes >= 0
        queries, codes[has_words] = _compact(list(self._queries), codes[has_words])
        return queries, codes


def _hashed(recommendation: str) -> int:
    content = recommendation.encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), signed=True)


def _compact(
    names: list[str], codes: npt.NDArray[np.int32]
) -> tuple[list[str], npt.NDArray[np.int32]]:
    """Return the names that some code uses, and the codes of the shorter list."""
    used, positions = np.unique(codes, return_inverse=True)
    return [names[code] for code in used.tolist()], positions.astype(np.int32)


def _user(cells: Cells, names: EventColumns, file_format: Format, namespace: str) -> str:
    user_id = _first(cells, names.user_id, "user_id", "user")
    session_id = cells.get(names.session_id)
    if is_missing_id(user_id) == is_missing_id(session_id):
        number = "neither" if is_missing_id(user_id) else "both"
        raise Unusable(f"exactly one of user_id and session_id is needed, not {number}")
    if is_missing_id(session_id):
        user = parse_id(user_id, "user_id", whole_floats=file_format.whole_floats)
        return str(user_key(user, None, namespace))
    session = parse_id(session_id, "session_id", whole_floats=file_format.whole_floats)
    return str(user_key(None, session, namespace))


def _first(cells: Cells, mapped: str | None, *names: str) -> Cell:
    """Return the cell of the column `mapped`; without one, of the first name with a value."""
    if mapped is not None:
        return cells.get(mapped)
    return next((cells[name] for name in names if not is_missing_id(cells.get(name))), None)
