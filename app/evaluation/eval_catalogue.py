"""A catalogue as an evaluation needs it, and the events it is fitted on, as files for a build.

Ids of a research folder are disguised here: in some of them rows, ids and lines are sorted by
something that gives the answer away. This module does not know protocols or engines.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport


@dataclass(frozen=True, slots=True)
class EvalCatalogue:
    """A catalogue of n items.

    `titles`: what baselines read, "" where there is none. `source`: the file that a build reads,
    or the rows to write it from.
    """

    ids: list[str]
    titles: list[str]
    source: Path | list[dict[str, Any]]

    def __len__(self) -> int:
        return len(self.ids)

    def file(self, folder: Path) -> Path:
        """Return the item file, written into `folder` where there is none yet."""
        if isinstance(self.source, Path):
            return self.source
        return _write(folder / "items.jsonl", self.source)


class Anonymiser:
    """New names and a new order for the items of a folder, drawn by a seed.

    An engine that leans on ids, row numbers or the order of lines then leans on noise.
    """

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(8, "little", signed=True)

    def __call__(self, item_id: str) -> str:
        """Return the new name of an item.

        >>> Anonymiser(0)("B000") == Anonymiser(0)("B000") != Anonymiser(1)("B000")
        True
        """
        return hashlib.blake2b(item_id.encode(), digest_size=8, key=self._key).hexdigest()

    def catalogue(self, texts: dict[str, dict[str, Any]]) -> EvalCatalogue:
        """Return the items {old id: {"title": …, …}} under new names, in the order of these."""
        renamed = sorted((self(old), fields) for old, fields in texts.items())
        rows = [{"id": name, **fields} for name, fields in renamed]
        return EvalCatalogue(
            [row["id"] for row in rows], [row["title"] or "" for row in rows], rows
        )


def events_of(sequences: Iterable[tuple[str, Sequence[str]]]) -> Events:
    """Return (user key, item ids oldest first) as clicks; the time is the place in the sequence.

    The real times are unknown: places only keep the order of each user's own events.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user: list[int] = []
    item: list[int] = []
    place: list[int] = []
    lengths: dict[str, int] = {}
    for key, ids in sequences:
        first = lengths.get(key, 0) + 1
        lengths[key] = first + len(ids) - 1
        user += [users.setdefault(key, len(users))] * len(ids)
        item += [items.setdefault(name, len(items)) for name in ids]
        place += range(first, first + len(ids))
    n = len(user)
    return Events(
        list(users),
        list(items),
        ["click"],
        np.array(user, np.int32),
        np.array(item, np.int32),
        np.zeros(n, np.int32),
        np.full(n, np.nan),
        np.array(place, np.float64),
        np.full(n, -1, np.int32),
        ReadReport("events", rows=n),
    )


def write_events(path: Path, events: Events, queries: Sequence[str] = ()) -> Path:
    """Write events as JSON Lines; `queries`: for each one the words that led to it, or ""."""
    value, time = events.value.tolist(), events.timestamp.tolist()
    named = {"u": "user_id", "s": "session_id"}
    columns = zip(events.user.tolist(), events.item.tolist(), events.event.tolist(), strict=True)
    rows = []
    for place, (user, item, kind) in enumerate(columns):
        side, _, name = events.users[user].partition(":")
        row = {named[side]: name, "item_id": events.items[item], "event": events.kinds[kind]}
        numbers = {"value": value[place], "timestamp": time[place]}
        row |= {field: number for field, number in numbers.items() if number == number}  # noqa: PLR0124
        if queries and queries[place]:
            row["query"] = queries[place]
        rows.append(row)
    return _write(path, rows)


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    with path.open("wb") as file:
        file.writelines(orjson.dumps(row) + b"\n" for row in rows)
    return path
