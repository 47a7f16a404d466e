"""Changing the items of an engine while it serves: planned beside the passes, done between two.

`plan` takes as long as it takes and touches nothing that a pass reads; `perform` writes a few rows
and swaps a few references. Nothing is locked: the thread that ranks performs it, so each pass sees
the items of one moment. The arrays of a bundle are read-only and have no room: the first change
copies them, with free rows at the end.

An item keeps its row, and with it what behaviour says of it, through changes and even when it is
deleted and comes back. What is new has no behaviour: it gets the place in the space of taste of the
items whose texts lie nearest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from app.core.types import Change, Item, JsonValue, Matrix, Rows, Vector
from app.domain.columns import Instant
from app.domain.values import column_value
from app.engine.catalogue.behaviour import Behaviour, TasteSpace, item_signals
from app.engine.catalogue.catalogue import Catalogue, Record
from app.engine.parts import Learned, Parts, assemble, fallback_of
from app.engine.retrieval.lexical import WordIndex
from app.engine.retrieval.live_lexical import LiveWords, Segment
from app.engine.retrieval.sources import Source

# Items as a journal says them, and what a change of one means: for its words, or only its fields.
#
# Reads the parts of an engine and changes nothing.


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


def newest_visible_since(
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


N = TypeVar("N", bound=np.generic)

_LEAST_ROOM: Final = 1024
_ROOM_SHARE: Final = 0.125
_NEAREST: Final = 20
"""Items whose places in the space of taste a new one starts from."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What `perform` is to do.

    Attributes:
        parts: the engine's own, or copies with more room.
        seq: of the last change.
        arrival: of the newest that may bring an item into answers; 0 if none does.
        now: unix seconds, for what is visible from or until a moment.
        changed: item -> number of its last change.
        deleted: ids.
        places, records: int64[p] rows of what is put, and the items.
        renamed, vectors: int64[c] rows of those with other words than before, float32[c, dim].
        taste: float32[a, d] twice, given and wanted places in the space of taste of those that have
            none, and int64[a] their rows; None where nothing was learned.
        words: the segments of `LiveWords`; None = as they are.
        redated: int64[r] rows that are older or newer than before.
        signals, fallback: as in `Parts`, with those.
    """

    parts: Parts
    seq: int
    visible_since_seq: int
    now: float
    changed: Mapping[str, int]
    deleted: tuple[str, ...]
    places: Rows
    records: tuple[Record, ...]
    renamed: Rows
    vectors: Matrix
    taste: tuple[Matrix, Matrix, Rows] | None
    words: tuple[Segment, ...] | None
    redated: Rows
    signals: Mapping[str, Vector]
    fallback: tuple[Source, ...]


def plan(parts: Parts, at: int, changes: Sequence[Change], now: float) -> Plan:
    """Work out what changes mean for an engine; encodes what has other words than before.

    Args:
        parts: of the engine; nothing else may change it meanwhile.
        at: number of the newest change that it has taken in.
        changes: oldest first; the last of an item counts.
        now: unix seconds.

    Raises:
        EngineError: a text could not be encoded.
    """
    last = {change.item: change for change in changes}
    puts = puts_of(changes, parts)
    vectors = parts.encoder.encode([put.record.text for put in puts if put.renamed])
    if len(vectors):
        parts = _roomy(parts, len(puts))
    rows = np.array(parts.catalogue.places([put.record.item.id for put in puts]), np.int64)
    deleted = tuple(name for name, change in last.items() if change.record is None)
    renamed = rows[[put.renamed for put in puts]]
    signals, redated = parts.signals, rows[[put.redated for put in puts]]
    if len(redated):
        signals = {**signals, "freshness": signals["freshness"].copy()}
        dated = [put.record for put in puts if put.redated]
        signals["freshness"][redated] = _freshness(parts, dated)
    return Plan(
        parts=parts,
        seq=changes[-1].seq,
        visible_since_seq=newest_visible_since(changes, puts, at, now),
        now=now,
        changed={name: change.seq for name, change in last.items()},
        deleted=deleted,
        places=rows,
        records=tuple(put.record for put in puts),
        renamed=renamed,
        vectors=vectors,
        taste=_taste(parts, renamed, vectors),
        words=_words(parts, [put for put in puts if put.renamed], renamed, deleted),
        redated=redated,
        signals=signals,
        fallback=fallback_of(signals) if len(redated) else parts.fallback,
    )


def perform(done: Plan) -> Parts:
    """Do what was planned; return the parts of the engine from now on. Fast: all requests wait."""
    parts, catalogue = done.parts, done.parts.catalogue
    for name in done.deleted:
        catalogue.delete(name)
    for row, record in zip(done.places.tolist(), done.records, strict=True):
        catalogue.put(row, record, done.now)
    if isinstance(parts.texts.words, LiveWords) and done.words is not None:
        parts.texts.words.use(done.words)
    if len(done.renamed):
        parts.texts.vectors[done.renamed] = done.vectors
        parts.texts.index.put(done.renamed)
    if parts.learned is not None and done.taste is not None:
        inputs, targets, rows = done.taste
        taste = parts.learned.behaviour.taste
        taste.inputs[rows], taste.targets[rows] = inputs, targets
    if not len(done.redated):
        return parts
    parts.blend.change(done.redated, done.signals)
    return replace(parts, signals=done.signals, fallback=done.fallback)


def _roomy(parts: Parts, n: int) -> Parts:
    """Return parts with room for `n` more items: these, or copies."""
    catalogue = parts.catalogue
    if isinstance(parts.texts.words, LiveWords) and catalogue.n_used + n <= len(catalogue):
        return parts
    used = catalogue.n_used
    room = max(_LEAST_ROOM, int(_ROOM_SHARE * used), n)
    vectors = _grown(parts.texts.vectors[:used], room)
    signals = {name: _grown(np.asarray(v)[:used], room) for name, v in parts.signals.items()}
    texts = replace(
        parts.texts,
        vectors=vectors,
        index=parts.texts.index.over(vectors),
        words=_live_words(parts, used + room),
    )
    learned = None if parts.learned is None else _roomy_learned(parts.learned, used, room)
    return assemble(catalogue.with_room(room), parts.encoder, texts, signals, learned)


def _live_words(parts: Parts, n_rows: int) -> LiveWords:
    words = parts.texts.words
    if isinstance(words, LiveWords):
        return words.over(n_rows)
    assert isinstance(words, WordIndex)  # noqa: S101 - there are these two
    return LiveWords(words, n_rows)


def _roomy_learned(learned: Learned, used: int, room: int) -> Learned:
    # The tables of neighbours, by far the largest, need no room: what is new has no neighbours.
    old = learned.behaviour
    nothing: Rows = np.empty(0, np.int64)
    taste = TasteSpace(
        _grown(old.taste.inputs[:used], room),
        _grown(old.taste.targets[:used], room),
        old.taste.recency,
    )
    untaken = item_signals(nothing, np.zeros(1, np.int64), room)
    items = np.concatenate([old.items[:, :used], untaken], axis=1)
    return Learned.of(
        Behaviour(old.tables, old.decays, taste, items), learned.content_knn_share, learned.scorer
    )


def _grown(array: npt.NDArray[N], room: int) -> npt.NDArray[N]:
    return np.concatenate([array, np.zeros((room, *array.shape[1:]), array.dtype)])


def _freshness(parts: Parts, records: Sequence[Record]) -> Vector:
    """Return float32[c]: the share of the bundle's dated items that are older; 0 where undated."""
    if "published_at" not in parts.catalogue.attributes:
        return np.zeros(len(records), np.float32)
    dates = parts.catalogue.table.numbers("published_at")
    dated = np.sort(dates[~np.isnan(dates)])
    times = [record.values.get("published_at") for record in records]
    seconds = np.array([np.nan if t is None else float(str(t)) for t in times], np.float64)
    older = np.searchsorted(dated, seconds, side="left") / max(len(dated), 1)
    return np.where(np.isnan(seconds), 0.0, older).astype(np.float32)


def _taste(parts: Parts, rows: Rows, vectors: Matrix) -> tuple[Matrix, Matrix, Rows] | None:
    """Return float32[a, d] twice: the mean places of the items whose texts lie nearest.

    And int64[a]: the rows that are to have them, those of `rows` that were no item before.
    """
    new = rows >= parts.catalogue.n_used
    if parts.learned is None or not new.any():
        return None
    space, blocked = parts.learned.behaviour.taste, ~parts.catalogue.visible()
    _, nearest = parts.texts.index.search(vectors[new], _NEAREST, blocked)
    found = []
    for places in (space.inputs, space.targets):
        near = places[nearest]
        near[nearest < 0] = 0.0
        mean = near.sum(axis=1)
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        found.append(mean)
    return found[0], found[1], rows[new]


def _words(
    parts: Parts, renamed: Sequence[Put], rows: Rows, deleted: Sequence[str]
) -> tuple[Segment, ...] | None:
    words, catalogue = parts.texts.words, parts.catalogue
    if not isinstance(words, LiveWords) or not renamed:
        return None
    gone = {catalogue.row(name) for name in deleted}
    held = {row: catalogue.records().get(row) for row in words.rows if row not in gone}
    held |= dict(zip(rows.tolist(), (put.record for put in renamed), strict=True))
    texts = {row: (at.item.title, at.text) for row, at in held.items() if at is not None}
    return words.segments_of(texts, rows.tolist())
