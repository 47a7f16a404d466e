"""Frozen data that travels between the stages. No behaviour beyond small derivations.

This module knows neither where the data comes from (HTTP, files) nor how it is computed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float32]
"""float32[n, dim], C-contiguous."""

Vector: TypeAlias = npt.NDArray[np.float32]
"""float32[n]."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""int64[n]: row numbers of items in the catalogue; -1 = no item."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""bool[n], a place for each row."""

Device: TypeAlias = Literal["cpu", "cuda"]
"""What model work runs on."""

JsonValue: TypeAlias = str | int | float | bool | Sequence[str] | None
"""A value of an item's field, ready for JSON."""

_NO_FIELDS: Final[Mapping[str, JsonValue]] = {}


@dataclass(frozen=True, slots=True)
class RankRequest:
    """What one request asks of the engine, after user state has been resolved.

    `history`, `like` and `dislike` shape taste; only `exclude` keeps items out of the answer.
    With `candidates`, exactly the known ones not in `exclude` are ranked.

    Attributes:
        filter: what the items' fields must be, as `app.domain.filters.filter_text` writes it; "" =
        none. on_empty: what fills up where less than `k` pass it: "popular", "relax" (anything else
        that
            fits) or "none".
        fast_encoding: the query may be encoded by fast encoding; `degraded` then says so.
    """

    query: str = ""
    history: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    dislike: tuple[str, ...] = ()
    exclude: frozenset[str] = frozenset()
    candidates: tuple[str, ...] | None = None
    k: int = 10
    fields: tuple[str, ...] = ()
    filter: str = ""
    on_empty: str = "none"
    fast_encoding: bool = False


class SourceHit(NamedTuple):
    """Where a candidate came from: name of the source, rank in it (from 1), its score there."""

    name: str
    rank: int
    score: float


class RankedItem(NamedTuple):
    """One item of an answer, best first. `score` is the scorer's own, unbounded."""

    id: str
    score: float
    title: str | None
    fields: Mapping[str, JsonValue] = _NO_FIELDS
    sources: tuple[SourceHit, ...] = ()


@dataclass(frozen=True, slots=True)
class RankResult:
    """The engine's answer to one `RankRequest`.

    `missing_ids`: ids in history, like, dislike or candidates that the catalogue does not hold.
    `degraded`: names of the parts that were left out and may have changed the list.
    `passing`: how many of the items pass the filter, where it left too little and others follow
    them; None where all do.
    """

    items: tuple[RankedItem, ...]
    missing_ids: tuple[str, ...] = ()
    degraded: tuple[str, ...] = ()
    passing: int | None = None


@dataclass(frozen=True, slots=True)
class StageTimings:
    """Milliseconds spent in each stage of one engine pass over a whole batch."""

    encode_ms: float = 0.0
    retrieve_ms: float = 0.0
    rerank_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Generation:
    """What an answer was made from: id of the bundle's generation, number of the catalogue's.

    `moment`, `visible_since_seq`: see `EngineInfo`.
    """

    bundle: str
    catalogue: int
    moment: int = 0
    visible_since_seq: int = 0


@dataclass(frozen=True, slots=True)
class BatchResult:
    """Results in the order of the batch, what the pass cost, and what it ranked by."""

    results: tuple[RankResult, ...]
    timings: StageTimings
    generation: Generation


@dataclass(frozen=True, slots=True)
class Item:
    """One item of the catalogue as a caller sees it."""

    id: str
    title: str | None
    fields: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class EngineInfo:
    """What an engine was opened from; reported by `/info`.

    Attributes:
        catalogue: number of the newest change that it has taken in.
        moment: when an item last became visible or invisible by its own times, unix milliseconds.
        arrival: number of the newest change that may have brought an item into answers, or moved
            one: those that came later took items away, or altered what only filters read.
        n_items: items that can be recommended.
        scorer: "learned" from behaviour, or the fixed "blend".
        attributes: each field name that `fields` may ask for, and its kind.
    """

    bundle: str
    bundle_name: str
    catalogue: int
    n_items: int
    n_users: int
    n_events: int
    dim: int
    encoder: str
    index: str
    scorer: str
    attributes: Mapping[str, str]
    moment: int = 0
    visible_since_seq: int = 0

    @property
    def generation(self) -> Generation:
        """What an answer of this engine is made from."""
        return Generation(self.bundle, self.catalogue, self.moment, self.visible_since_seq)


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """What items have in a field.

    Attributes:
        name, kind: of the field.
        count: items that have a value.
        distinct, values: how many values there are, and (value, items) of the most frequent, unless
            it is a number or time.
        low, high: the range of a number or time; None where there is none.
    """

    name: str
    kind: str
    count: int
    distinct: int | None = None
    values: tuple[tuple[str | bool, int], ...] = ()
    low: JsonValue = None
    high: JsonValue = None


@dataclass(frozen=True, slots=True)
class Facets:
    """The facets of the items that may come back and pass a filter; `total`: how many those are."""

    total: int
    fields: tuple[FieldFacts, ...]


@dataclass(frozen=True, slots=True)
class CacheRead:
    """A cache look-up: `value` is None on a miss; `failed` tells trouble from absence."""

    value: bytes | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody did with an item.

    Attributes:
        id: names this event for ever: one that comes twice counts once.
        user: whose it is, a key made by `app.core.ports.user_key`.
        item: id, known to the catalogue or not.
        kind: click, purchase, impression … (`app.domain.event_rules` says what each means).
        time: unix seconds.
        value: a rating, a number of pieces; None where there is none.
        recommendation: the answer it came from, if any.
    """

    id: str
    user: str
    item: str
    kind: str
    time: float
    value: float | None = None
    recommendation: str | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """What became of one item of the catalogue: its newest state, or that it is gone.

    Attributes:
        seq: grows with every change of a catalogue; 0 = not yet journalled.
        item: id.
        record: the whole item, a JSON object of texts, numbers, booleans, nulls and lists of texts;
            None = deleted.
    """

    seq: int
    item: str
    record: Mapping[str, object] | None


@dataclass(frozen=True, slots=True)
class StoredUser:
    """What an event store holds of one user, all read at one moment.

    Attributes:
        version: differs after every change, also after a deletion; b"" = never seen.
        events: the newest of each kind asked for, oldest first; equal times as they came.
        counts: kind -> events kept; empty unless all kinds were asked for.
        deleted: what other places know of this user must not be used any more.
        merged: keys of the sessions that became this user, oldest first.
    """

    version: bytes = b""
    events: tuple[Event, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    deleted: bool = False
    merged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Retention:
    """How long events are kept: the newest `per_kind` of each user and kind, none older.

    `max_age_s`: seconds; None = no limit.
    """

    per_kind: int = 1000
    max_age_s: float | None = None

    def oldest(self, now: float) -> float:
        """Return the time before which events are gone, unix seconds."""
        return float("-inf") if self.max_age_s is None else now - self.max_age_s
