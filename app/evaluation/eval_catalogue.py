"""The catalogue of an evaluation, and events written as the files that a build reads.

The item ids of a research folder are replaced here. In some folders the order of rows, ids and
lines follows something that gives the answer away. This module does not know protocols or engines.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from app.offline.input.events import Events
from app.offline.input.read_report import ReadReport


@dataclass(frozen=True, slots=True)
class EvalCatalogue:
    """A catalogue of n items.

    Attributes:
        ids: the n ids.
        titles: n titles, which baselines read; "" where there is none.
        source: the file that a build reads, or the rows to write it from.
        report: what was counted while reading a file; None = there was none.
        kinds: field -> kind of its values, of the fields beside id and title.
    """

    ids: list[str]
    titles: list[str]
    source: Path | list[dict[str, Any]]
    report: ReadReport | None = None
    kinds: Mapping[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.ids)

    def file(self, folder: Path) -> Path:
        """Return the item file; it is written into `folder` where there is none yet."""
        if isinstance(self.source, Path):
            return self.source
        return _write(folder / "items.jsonl", self.source)


class Anonymiser:
    """Gives the items of a folder new ids and a new order, which depend on a seed only.

    A model that uses ids, row numbers or the order of lines then uses noise.
    """

    def __init__(self, seed: int) -> None:
        self._key = seed.to_bytes(8, "little", signed=True)

    def __call__(self, item_id: str) -> str:
        """Return the new id of an item.

        >>> Anonymiser(0)("B000") == Anonymiser(0)("B000") != Anonymiser(1)("B000")
        True
        """
        return hashlib.blake2b(item_id.encode(), digest_size=8, key=self._key).hexdigest()

    def catalogue(self, texts: dict[str, dict[str, Any]]) -> EvalCatalogue:
        """Return the items {old id: {"title": …, …}} with new ids, sorted by the new ids."""
        renamed = sorted((self(old), fields) for old, fields in texts.items())
        rows = [{"id": new, **fields} for new, fields in renamed]
        return EvalCatalogue(
            [row["id"] for row in rows], [row["title"] or "" for row in rows], rows
        )


def events_of(sequences: Iterable[tuple[str, Sequence[str]]]) -> Events:
    """Return (user key, item ids oldest first) as clicks, in an event log.

    The real times are unknown. The position in the sequence takes their place, which keeps the
    order of each user's own events.
    """
    users: dict[str, int] = {}
    items: dict[str, int] = {}
    user: list[int] = []
    item: list[int] = []
    position: list[int] = []
    lengths: dict[str, int] = {}
    for key, ids in sequences:
        first = lengths.get(key, 0) + 1
        lengths[key] = first + len(ids) - 1
        user += [users.setdefault(key, len(users))] * len(ids)
        item += [items.setdefault(name, len(items)) for name in ids]
        position += range(first, first + len(ids))
    n = len(user)
    return Events(
        users=list(users),
        items=list(items),
        kinds=["click"],
        queries=[],
        user=np.array(user, np.int32),
        item=np.array(item, np.int32),
        event=np.zeros(n, np.int32),
        value=np.full(n, np.nan),
        timestamp=np.array(position, np.float64),
        recommendation=np.full(n, -1, np.int32),
        query=np.full(n, -1, np.int32),
        report=ReadReport("events", rows=n),
    )


def write_events(path: Path, events: Events) -> Path:
    """Write events as JSON Lines and return the path."""
    value, time, query = events.value.tolist(), events.timestamp.tolist(), events.query.tolist()
    id_fields = {"u": "user_id", "s": "session_id"}
    columns = zip(events.user.tolist(), events.item.tolist(), events.event.tolist(), strict=True)
    rows = []
    for position, (user, item, kind) in enumerate(columns):
        prefix, _, name = events.users[user].partition(":")
        row = {id_fields[prefix]: name, "item_id": events.items[item], "event": events.kinds[kind]}
        numbers = {"value": value[position], "timestamp": time[position]}
        row |= {name: number for name, number in numbers.items() if not math.isnan(number)}
        if query[position] >= 0:
            row["query"] = events.queries[query[position]]
        if events.context.codes:
            row["context"] = events.context.of(position)
        rows.append(row)
    return _write(path, rows)


def write_judgements(path: Path, judgements: Sequence[tuple[str, str, float]]) -> Path:
    """Write (query, item id, grade) as JSON Lines and return the path."""
    return _write(
        path,
        ({"query": query, "item_id": item, "grade": grade} for query, item, grade in judgements),
    )


def _write(path: Path, rows: Iterable[dict[str, Any]]) -> Path:
    with path.open("wb") as file:
        file.writelines(orjson.dumps(row) + b"\n" for row in rows)
    return path
