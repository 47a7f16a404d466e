"""Changes the items of an engine while it serves: planned beside the passes, performed between two.

`plan` may take long and changes nothing that a pass reads. `perform` writes a few rows and swaps a
few references. There is no lock: the thread that ranks performs the update, so each pass sees the
items of one moment. The arrays of a bundle are read-only and have no room, so the first change
copies them, with free rows at the end.

An item keeps its row, and with it what was learned of it, through changes, and even when it is
deleted and comes back. Nothing was learned of a new item: its target embedding is the mean of those
of the items with the nearest texts.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import numpy as np
import numpy.typing as npt

from app.core.types import Change, Item, JsonValue, Matrix, Rows, Vector
from app.domain.columns import Instant
from app.domain.values import column_value
from app.engine.catalogue.catalogue import Catalogue, Record
from app.engine.encoding.text_vectors import text_vectors
from app.engine.interpretation import Parser
from app.engine.parts import EngineParts, LearnedParts, assemble, fallback_of
from app.engine.retrieval.codes import named_by
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.live_lexical import LiveLexicalIndex, Segment
from app.engine.retrieval.sources import Source

_OF_EVERY_ITEM: Final = frozenset(
    ["id", "title", "text", "hidden", "available_from", "available_until"]
)

# From the records of a journal to items, and what the change of an item affects: its words, or only
# its fields. This part reads an engine and changes nothing.


@dataclass(frozen=True, slots=True)
class Put:
    """An item that is put, and the same item before; None: it was not there."""

    record: Record
    before: Record | None

    @property
    def renamed(self) -> bool:
        """Whether other words find it than before."""
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
        """Tell whether it may enter answers that did not have it, or move within one."""
        was_visible = self.before is not None and self.before.visible(now)
        return self.record.visible(now) and (not was_visible or self.renamed or self.redated)


def puts_of(changes: Sequence[Change], parts: EngineParts) -> list[Put]:
    """Return the items that changes put; of several of an item, the last counts."""
    last = {change.item: change for change in changes}
    return [
        Put(record_of(name, change.record, parts), _current(name, parts))
        for name, change in last.items()
        if change.record is not None
    ]


def newest_visible_since(
    changes: Sequence[Change],
    puts: Sequence[Put],
    parts: EngineParts,
    catalogue_seq: int,
    now: float,
) -> int:
    """Return the seq of the newest change that may bring an item into answers; 0 if none does.

    A value that no item had before may, too: queries that name it mean it from now on.

    Args:
        changes: oldest first.
        puts: of these.
        parts: before them.
        catalogue_seq: of the newest change before.
        now: unix seconds.
    """
    parser = parts.parser
    last = {change.item: change.seq for change in changes}
    if changes[-1].seq - catalogue_seq > len(last):
        return changes[-1].seq  # changes are missing, and may have brought anything in
    bringing = [
        put
        for put in puts
        if put.arrives(now) or (parser is not None and not parser.knows(put.record))
    ]
    return max((last[put.record.item.id] for put in bringing), default=0)


def record_of(item_id: str, raw: Mapping[str, object], parts: EngineParts) -> Record:
    """Return the item that a record of a journal describes."""
    kinds = parts.catalogue.attributes
    shown = {name: _shown(raw.get(name)) for name in kinds}
    values = {
        name: _seconds(kinds[name], value) for name, value in shown.items() if value is not None
    }
    all_values = {
        **shown,
        "id": item_id,
        "title": _shown(raw.get("title")),
        "text": _shown(raw.get("text")),
    }
    start, end = raw.get("available_from"), raw.get("available_until")
    title = all_values["title"]
    return Record(
        item=Item(item_id, None if title is None else str(title), shown),
        values=values,
        text=parts.texts.render(all_values.get),
        hidden=bool(raw.get("hidden", False)),
        start=float("-inf") if start is None else float(str(start)),
        end=float("inf") if end is None else float(str(end)),
        others={k: v for k, v in raw.items() if k not in kinds and k not in _OF_EVERY_ITEM},
    )


def raw_of(item_id: str, catalogue: Catalogue) -> dict[str, object] | None:
    """Return the journal record of an item as it is now; None if there is no such item."""
    item, record = catalogue.item(item_id), catalogue.records().get(catalogue.row(item_id))
    if item is None:
        return None
    raw: dict[str, object] = {k: v for k, v in item.fields.items() if v is not None}
    if item.title is not None:
        raw["title"] = item.title
    if record is not None:
        raw |= record.others
        raw["hidden"] = record.hidden
        bounds = {"available_from": record.start, "available_until": record.end}
        raw |= {name: time for name, time in bounds.items() if np.isfinite(time)}
    return raw


def _current(item_id: str, parts: EngineParts) -> Record | None:
    row = parts.catalogue.row(item_id)
    record = parts.catalogue.records().get(row)
    if record is not None or row < 0:
        return record
    raw = raw_of(item_id, parts.catalogue)
    return None if raw is None else record_of(item_id, raw, parts)


def _shown(value: object) -> JsonValue:
    return list(value) if isinstance(value, tuple) else value  # type: ignore[return-value]


def _seconds(kind: str, value: JsonValue) -> JsonValue:
    parsed = column_value(kind, value)
    return parsed.seconds if isinstance(parsed, Instant) else value


N = TypeVar("N", bound=np.generic)

_LEAST_ROOM: Final = 1024
_ROOM_SHARE: Final = 0.125
_NEAREST: Final = 20
"""Items whose mean position in the space of taste a new item gets."""


@dataclass(frozen=True, slots=True)
class CatalogueUpdate:
    """What `perform` is to do.

    Attributes:
        parts: the engine's own, or copies with more room.
        seq: of the last change.
        visible_since_seq: of the newest change that may bring an item into answers; 0 if none does.
        now: unix seconds; decides which items are visible.
        changed: item -> seq of its last change.
        deleted: ids.
        rows, records: int64[p] rows of the items that are put, and the items.
        renamed, vectors: int64[c] rows of those with other words than before, float32[c, dim].
        taste: float32[a, d], the target embeddings of new items, and int64[a], their rows; None
            where nothing was learned.
        words: the segments of `LiveLexicalIndex`; None = no change.
        redated: int64[r] rows that are older or newer than before.
        signals, fallback: as in `EngineParts`, with those.
        parser: as in `EngineParts`, over the changed items.
    """

    parts: EngineParts
    seq: int
    visible_since_seq: int
    now: float
    changed: Mapping[str, int]
    deleted: tuple[str, ...]
    rows: Rows
    records: tuple[Record, ...]
    renamed: Rows
    vectors: Matrix
    taste: tuple[Matrix, Rows] | None
    words: tuple[Segment, ...] | None
    redated: Rows
    signals: Mapping[str, Vector]
    fallback: tuple[Source, ...]
    parser: Parser | None


def plan(
    parts: EngineParts, catalogue_seq: int, changes: Sequence[Change], now: float
) -> CatalogueUpdate:
    """Prepare the update of an engine; encodes the items that have other words than before.

    Args:
        parts: of the engine; nothing else may change it meanwhile.
        catalogue_seq: of the newest change that it contains.
        changes: oldest first; the last of an item counts.
        now: unix seconds.

    Raises:
        EngineError: a text could not be encoded.
    """
    last = {change.item: change for change in changes}
    puts = puts_of(changes, parts)
    texts = [put.record.text for put in puts if put.renamed]
    vectors = text_vectors(texts, parts.encoder)
    if len(vectors):
        parts = _with_room(parts, len(puts))
    rows = np.array(parts.catalogue.rows_to_put([put.record.item.id for put in puts]), np.int64)
    deleted = tuple(name for name, change in last.items() if change.record is None)
    renamed = rows[[put.renamed for put in puts]]
    signals, redated = parts.signals, rows[[put.redated for put in puts]]
    if len(redated):
        signals = {**signals, "freshness": signals["freshness"].copy()}
        dated = [put.record for put in puts if put.redated]
        signals["freshness"][redated] = _freshness(parts, dated)
    gone = [_current(name, parts) for name in deleted]
    before, after = [put.before for put in puts] + gone, [put.record for put in puts]
    return CatalogueUpdate(
        parts=parts,
        seq=changes[-1].seq,
        visible_since_seq=newest_visible_since(changes, puts, parts, catalogue_seq, now),
        now=now,
        changed={name: change.seq for name, change in last.items()},
        deleted=deleted,
        rows=rows,
        records=tuple(put.record for put in puts),
        renamed=renamed,
        vectors=vectors,
        taste=_taste(parts, renamed, vectors),
        words=_words(parts, [put for put in puts if put.renamed], renamed, deleted),
        redated=redated,
        signals=signals,
        fallback=fallback_of(signals, parts.topk) if len(redated) else parts.fallback,
        parser=parts.parser and parts.parser.changed(before, [*after, *([None] * len(gone))]),
    )


def perform(update: CatalogueUpdate) -> EngineParts:
    """Perform an update, and return the parts of the engine from now on. Fast: requests wait."""
    parts, catalogue = update.parts, update.parts.catalogue
    for name in update.deleted:
        catalogue.delete(name)
    for row, record in zip(update.rows.tolist(), update.records, strict=True):
        catalogue.put(row, record, update.now)
    if isinstance(parts.texts.words, LiveLexicalIndex) and update.words is not None:
        parts.texts.words.use(update.words)
    if len(update.renamed):
        parts.texts.vectors[update.renamed] = update.vectors
        parts.texts.index.put(update.renamed)
    if parts.learned is not None and update.taste is not None:
        targets, rows = update.taste
        parts.learned.behaviour.taste.targets[rows] = targets
    parts.tones.change(update.rows)
    parts = replace(parts, parser=update.parser)
    if not len(update.redated):
        return parts
    parts.blend.change(update.redated, update.signals)
    parts.scorer.features.change(update.redated, update.signals["freshness"])
    return replace(parts, signals=update.signals, fallback=update.fallback)


def _with_room(parts: EngineParts, n: int) -> EngineParts:
    """Return parts with room for `n` more items: the same parts, or copies."""
    catalogue = parts.catalogue
    if isinstance(parts.texts.words, LiveLexicalIndex) and catalogue.n_used + n <= len(catalogue):
        return parts
    used = catalogue.n_used
    room = max(_LEAST_ROOM, int(_ROOM_SHARE * used), n)
    vectors = _grown(parts.texts.vectors[:used], room)
    signals = {
        # A new item has no ratings, and no part in what is popular, trending or new.
        name: _grown(np.asarray(values)[:used], room, np.nan if name == "rated" else 0.0)
        for name, values in parts.signals.items()
    }
    texts = replace(
        parts.texts,
        vectors=vectors,
        index=parts.texts.index.over(vectors),
        words=_live_words(parts, used + room),
    )
    learned = parts.learned
    if learned is not None:
        behaviour = learned.behaviour.with_room(used, room)
        learned = LearnedParts.of(behaviour, learned.content_knn_share)
    roomy = assemble(
        catalogue.with_room(room),
        parts.encoder,
        texts,
        signals,
        learned=learned,
        networks=parts.scorer.networks,
        goals=parts.scorer.goals,
    )
    return replace(roomy, fast_encoder=parts.fast_encoder, parser=parts.parser, roles=parts.roles)


def _live_words(parts: EngineParts, n_rows: int) -> LiveLexicalIndex:
    words = parts.texts.words
    if isinstance(words, LiveLexicalIndex):
        return words.over(n_rows)
    assert isinstance(words, LexicalIndex)  # noqa: S101 - there are these two
    return LiveLexicalIndex(words, n_rows)


def _grown(array: npt.NDArray[N], room: int, empty: float = 0.0) -> npt.NDArray[N]:
    """Return a copy with `room` more rows, filled with `empty`."""
    return np.concatenate([array, np.full((room, *array.shape[1:]), empty, array.dtype)])


def _freshness(parts: EngineParts, records: Sequence[Record]) -> Vector:
    """Return float32[c]: the share of the bundle's dated items that are older; 0 where undated."""
    if "published_at" not in parts.catalogue.attributes:
        return np.zeros(len(records), np.float32)
    dates = parts.catalogue.table.numbers("published_at")
    dated = np.sort(dates[~np.isnan(dates)])
    times = [record.values.get("published_at") for record in records]
    seconds = np.array([np.nan if t is None else float(str(t)) for t in times], np.float64)
    older = np.searchsorted(dated, seconds, side="left") / max(len(dated), 1)
    return np.where(np.isnan(seconds), 0.0, older).astype(np.float32)


def _taste(parts: EngineParts, rows: Rows, vectors: Matrix) -> tuple[Matrix, Rows] | None:
    """Return the places of new items in the space of taste; None where nothing was learned.

    That is float32[a, d], the mean target embeddings of the items with the nearest texts, zero for
    an item without a vector; and int64[a], those of `rows` that are new. They have no input
    embedding: in a history, a new item counts by its text.
    """
    new = rows >= parts.catalogue.n_used
    if parts.learned is None or not new.any():
        return None
    space, blocked = parts.learned.behaviour.taste, ~parts.catalogue.visible()
    _, nearest = parts.texts.index.search(vectors[new], _NEAREST, blocked)
    nearest[~vectors[new].any(axis=1)] = -1
    near = space.targets[nearest]
    near[nearest < 0] = 0.0
    mean = near.sum(axis=1)
    mean /= np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)
    return mean, rows[new]


def _names(record: Record) -> list[str]:
    fields = record.item.fields
    return named_by(record.item.id, [fields[name] for name in fields if name != "text"])


def _words(
    parts: EngineParts, renamed: Sequence[Put], rows: Rows, deleted: Sequence[str]
) -> tuple[Segment, ...] | None:
    words, catalogue = parts.texts.words, parts.catalogue
    if not isinstance(words, LiveLexicalIndex) or not renamed:
        return None
    gone = {catalogue.row(name) for name in deleted}
    records = {row: catalogue.records().get(row) for row in words.rows if row not in gone}
    records |= dict(zip(rows.tolist(), (put.record for put in renamed), strict=True))
    texts = {
        row: (record.item.title, record.text, _names(record))
        for row, record in records.items()
        if record is not None
    }
    return words.segments_of(texts, rows.tolist())
