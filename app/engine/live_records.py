"""Items as a journal says them, and what a change of one means: for its words, or only its fields.

Reads the parts of an engine and changes nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from app.columns import Instant
from app.engine.catalogue import Catalogue, Record
from app.engine.parts import Parts
from app.types import Change, Item, JsonValue
from app.values import column_value


@dataclass(frozen=True, slots=True)
class Put:
    """An item that is put, and as it was before; None: it was not there."""

    record: Record
    before: Record | None

    @property
    def renamed(self) -> bool:
        """Whether it is found by other words than before."""
        old, new = self.before, self.record
        return old is None or (old.text, old.item.title) != (new.text, new.item.title)

    @property
    def redated(self) -> bool:
        """Whether it is older or newer than before."""
        old = self.before
        return old is None or old.values.get("published_at") != self.record.values.get(
            "published_at"
        )

    def arrives(self, now: float) -> bool:
        """Tell whether it may come into answers in which it was not, or to another place."""
        seen = self.before is not None and self.before.visible(now)
        return self.record.visible(now) and (not seen or self.renamed or self.redated)


def puts_of(changes: Sequence[Change], parts: Parts) -> list[Put]:
    """Return the items that changes put; of several of an item, the last counts."""
    last = {change.item: change for change in changes}
    return [
        Put(record_of(name, change.record, parts), _as_it_is(name, parts))
        for name, change in last.items()
        if change.record is not None
    ]


def newest_arrival(
    changes: Sequence[Change], puts: Sequence[Put], parts_at: int, now: float
) -> int:
    """Return the number of the newest change that may have brought an item in; 0 if none did.

    Args:
        changes: oldest first.
        puts: of these.
        parts_at: number of the newest change before.
        now: unix seconds.
    """
    last = {change.item: change.seq for change in changes}
    if changes[-1].seq - parts_at > len(last):
        return changes[-1].seq  # what was skipped may have been anything
    return max((last[put.record.item.id] for put in puts if put.arrives(now)), default=0)


def record_of(item_id: str, raw: Mapping[str, object], parts: Parts) -> Record:
    """Return an item as the engine holds it, of what a journal says of it."""
    kinds = parts.catalogue.attributes
    shown = {name: _shown(raw.get(name)) for name in kinds}
    values = {
        name: _seconds(kinds[name], value) for name, value in shown.items() if value is not None
    }
    whole = {
        **shown,
        "id": item_id,
        "title": _shown(raw.get("title")),
        "text": _shown(raw.get("text")),
    }
    start, end = raw.get("available_from"), raw.get("available_until")
    title = whole["title"]
    return Record(
        item=Item(item_id, None if title is None else str(title), shown),
        values=values,
        text=parts.texts.render(whole.get),
        hidden=bool(raw.get("hidden", False)),
        start=float("-inf") if start is None else float(str(start)),
        end=float("inf") if end is None else float(str(end)),
    )


def raw_of(item_id: str, catalogue: Catalogue) -> dict[str, object] | None:
    """Return what a journal would say of an item as it is; None if there is none."""
    item, record = catalogue.item(item_id), catalogue.records().get(catalogue.row(item_id))
    if item is None:
        return None
    raw: dict[str, object] = {k: v for k, v in item.fields.items() if v is not None}
    if item.title is not None:
        raw["title"] = item.title
    if record is not None:
        raw["hidden"] = record.hidden
        bounds = {"available_from": record.start, "available_until": record.end}
        raw |= {name: time for name, time in bounds.items() if np.isfinite(time)}
    return raw


def _as_it_is(item_id: str, parts: Parts) -> Record | None:
    row = parts.catalogue.row(item_id)
    record = parts.catalogue.records().get(row)
    if record is not None or row < 0:
        return record
    raw = raw_of(item_id, parts.catalogue)
    return None if raw is None else record_of(item_id, raw, parts)


def _shown(value: object) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def _seconds(kind: str, value: JsonValue) -> JsonValue:
    found = column_value(kind, value)
    return found.seconds if isinstance(found, Instant) else value
