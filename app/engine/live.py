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

from app.columns import Instant
from app.engine.candidates import Source
from app.engine.catalogue import Catalogue, Record
from app.engine.live_words import LiveWords, Segment
from app.engine.parts import Learned, Parts, assemble, fallback_of
from app.engine.words import WordIndex
from app.features import Behaviour, Neighbours, TasteSpace, item_signals
from app.types import Change, Item, JsonValue, Matrix, Rows, Vector
from app.values import column_value

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
        now: unix seconds, for what is visible from or until a moment.
        changed: item -> number of its last change.
        deleted: ids.
        rows, records, vectors: int64[c] places of what is put, the items, float32[c, dim].
        signals: as in `Parts`, with those of what is put.
        taste: float32[c, d] twice, given and wanted places in the space of taste; None where
            nothing was learned.
        new: bool[c], which of them need such places.
        words: the segments of `LiveWords`.
        fallback: as in `Parts`.
    """

    parts: Parts
    seq: int
    now: float
    changed: Mapping[str, int]
    deleted: tuple[str, ...]
    rows: Rows
    records: tuple[Record, ...]
    vectors: Matrix
    taste: tuple[Matrix, Matrix] | None
    new: npt.NDArray[np.bool_]
    words: tuple[Segment, ...]
    fallback: tuple[Source, ...]
    signals: Mapping[str, Vector]


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


def plan(parts: Parts, changes: Sequence[Change], vectors: Matrix, now: float) -> Plan:
    """Work out what changes mean for an engine.

    Args:
        parts: of the engine; nothing else may change it meanwhile.
        changes: oldest first; the last of an item counts.
        vectors: float32[m, dim], of the texts of those that put an item, in their order.
        now: unix seconds.
    """
    last = {change.item: change for change in changes}
    puts = [change for change in changes if change.record is not None]
    kept = [place for place, change in enumerate(puts) if last[change.item] is change]
    records = tuple(record_of(puts[at].item, puts[at].record or {}, parts) for at in kept)
    mine, parts = vectors[kept], parts if not records else _roomy(parts, len(records))
    rows = np.array(parts.catalogue.places([r.item.id for r in records]), np.int64)
    deleted = tuple(name for name, change in last.items() if change.record is None)
    signals = dict(parts.signals)
    if records:
        signals["freshness"] = signals["freshness"].copy()
        signals["freshness"][rows] = _freshness(parts, records)
    return Plan(
        parts=parts,
        seq=changes[-1].seq,
        now=now,
        changed={name: change.seq for name, change in last.items()},
        deleted=deleted,
        rows=rows,
        records=records,
        vectors=mine,
        taste=_taste(parts, mine) if parts.learned and records else None,
        new=rows >= parts.catalogue.n_used,
        words=_words(parts, rows, records, deleted),
        fallback=fallback_of(signals) if records else parts.fallback,
        signals=signals,
    )


def perform(done: Plan) -> Parts:
    """Do what was planned; return the parts of the engine from now on. Fast: all requests wait."""
    parts, catalogue = done.parts, done.parts.catalogue
    for name in done.deleted:
        catalogue.delete(name)
    for row, record in zip(done.rows.tolist(), done.records, strict=True):
        catalogue.put(row, record, done.now)
    if isinstance(parts.texts.words, LiveWords):
        parts.texts.words.use(done.words)
    if not len(done.rows):
        return parts
    parts.texts.vectors[done.rows] = done.vectors
    parts.texts.index.change(np.array(list(catalogue.records()), np.int64))
    if parts.learned is not None and done.taste is not None:
        taste, new = parts.learned.behaviour.taste, done.rows[done.new]
        taste.given[new], taste.wanted[new] = (part[done.new] for part in done.taste)
    parts.blend.change(done.rows, done.signals)
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
    # Copies throughout: one view would keep the whole mapped file in memory.
    old = learned.behaviour
    nothing: Rows = np.empty(0, np.int64)
    taste = TasteSpace(
        _grown(old.taste.given[:used], room),
        _grown(old.taste.wanted[:used], room),
        old.taste.recency.copy(),
    )
    untaken = item_signals(nothing, np.zeros(1, np.int64), room)
    tables = {
        name: Neighbours(_grown(near.rows[:used], room), _grown(near.weights[:used], room))
        for name, near in old.tables.items()
    }
    items = np.concatenate([old.items[:, :used], untaken], axis=1)
    return Learned.of(
        Behaviour(tables, old.decays, taste, items), learned.alike_share, learned.scorer
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


def _taste(parts: Parts, vectors: Matrix) -> tuple[Matrix, Matrix]:
    """Return float32[c, d] twice: the mean places of the items whose texts lie nearest."""
    assert parts.learned is not None  # noqa: S101 - the caller has looked
    space, blocked = parts.learned.behaviour.taste, ~parts.catalogue.visible()
    _, rows = parts.texts.index.search(vectors, _NEAREST, blocked)
    found = []
    for places in (space.given, space.wanted):
        near = places[rows]
        near[rows < 0] = 0.0
        mean = near.sum(axis=1)
        mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
        found.append(mean)
    return found[0], found[1]


def _words(
    parts: Parts, rows: Rows, records: Sequence[Record], deleted: Sequence[str]
) -> tuple[Segment, ...]:
    words = parts.texts.words
    if not isinstance(words, LiveWords):
        return ()
    everything = dict(parts.catalogue.records())
    for name in deleted:
        everything.pop(parts.catalogue.row(name), None)
    everything.update(zip(rows.tolist(), records, strict=True))
    texts = {row: (record.item.title, record.text) for row, record in everything.items()}
    return words.segments_of(texts, rows.tolist())


def _shown(value: object) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def _seconds(kind: str, value: JsonValue) -> JsonValue:
    found = column_value(kind, value)
    return found.seconds if isinstance(found, Instant) else value
