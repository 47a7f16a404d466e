"""The data types that the parts of the service hand to each other; all are immutable.

They hold data and small values derived from it. This module knows neither where the data comes from
(HTTP, files) nor how it is computed. What the engine is asked and answers is in `app.core.ranking`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float32]
"""float32[n, dim], C-contiguous."""

Vector: TypeAlias = npt.NDArray[np.float32]
"""float32[n]."""

Rows: TypeAlias = npt.NDArray[np.int64]
"""int64[n]: rows of items in the catalogue; -1 = no item."""

Codes: TypeAlias = npt.NDArray[np.int32]
"""int32[n]: codes of what is known of a user or a moment."""

Mask: TypeAlias = npt.NDArray[np.bool_]
"""bool[n]."""

TextRole: TypeAlias = Literal["item", "query"]
"""What a text is to an encoder: the text of an item, or what somebody searches for."""

Device: TypeAlias = Literal["cpu", "cuda"]
"""Where model work runs."""

JsonValue: TypeAlias = str | int | float | bool | Sequence[str] | None
"""A value of an item's field, ready for JSON."""

AttributeValue: TypeAlias = str | float | bool | tuple[str, ...]
"""What is known of a user under one name."""

Attributes: TypeAlias = tuple[tuple[str, AttributeValue], ...]
"""What is known of a user: pairs of name and value, each name once, sorted by name."""

ContextValue: TypeAlias = str | float | bool
"""One thing that is known of the moment of a request or an event."""

Goals: TypeAlias = tuple[tuple[str, float], ...]
"""What one event of a kind is worth beside those of other kinds: each kind once, sorted."""

Context: TypeAlias = tuple[tuple[str, ContextValue], ...]
"""Where, when and on what it happened: pairs of name and value, each name once, sorted by name."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The state of the data that an answer was made from.

    Attributes:
        bundle: id of the bundle's generation.
        catalogue: number of the newest change that the engine had applied.
        moment, visible_since_seq: see `EngineInfo`.
    """

    bundle: str
    catalogue: int
    moment: int = 0
    visible_since_seq: int = 0


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
        bundle, bundle_name: id of the generation, and name of the bundle.
        catalogue: number of the newest change that the engine has applied.
        n_items: number of items that can be recommended.
        n_users, n_events: what the bundle was built from.
        dim: length of a text's vector.
        encoder: id of the encoder.
        index: kind of the vector index.
        scorer: "learned" from behaviour, or the fixed "blend".
        attributes: the kind of each field that `fields` may name.
        user_attributes: the kind of each attribute that the bundle has of users.
        roles: which attribute is the price, rating, brand, provider or runtime.
        max_per: what `RankRequest.max_per` is where a request does not say; sorted by field.
        goals: the kinds of events that `RankRequest.goals` may name.
        goal_weights: what it is where a request does not say; sorted by name.
        moment: when an item last became visible or invisible by its own times, unix milliseconds.
        visible_since_seq: number of the newest change that may have brought an item into answers
            or moved one, or has brought a value that no item had. Later changes only removed items
            or altered fields that filters read.
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
    user_attributes: Mapping[str, str] = field(default_factory=dict)
    roles: Mapping[str, str] = field(default_factory=dict)
    max_per: tuple[tuple[str, int], ...] = ()
    goals: tuple[str, ...] = ()
    goal_weights: Goals = ()
    moment: int = 0
    visible_since_seq: int = 0

    @property
    def generation(self) -> Generation:
        """The state of the data that this engine answers from now."""
        return Generation(self.bundle, self.catalogue, self.moment, self.visible_since_seq)


@dataclass(frozen=True, slots=True)
class FieldFacts:
    """The values that items have in one field.

    Attributes:
        name, kind: of the field.
        count: number of items with a value.
        distinct: number of different values; None for a number or time.
        values: the most frequent values, each with its number of items; empty for a number or time.
        low, high: the range of a number or time; None if no item has a value.
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
    """The facets of the `total` items that are visible and pass a filter."""

    total: int
    fields: tuple[FieldFacts, ...]


@dataclass(frozen=True, slots=True)
class CacheRead:
    """The result of reading a cache: `value` is None on a miss; `failed` if it was an error."""

    value: bytes | None = None
    failed: bool = False


@dataclass(frozen=True, slots=True)
class Event:
    """Something that somebody did with an item.

    Attributes:
        id: identifies this event for ever; an event that is sent twice counts once.
        user: the user key (`app.core.ports.user_key`) of the user or session.
        item: id of an item, in the catalogue or not.
        kind: click, purchase, impression … (`app.domain.event_rules` says what each means).
        time: unix seconds.
        value: a rating or a quantity; None if there is none.
        recommendation: id of the answer that led to the event, if any.
        query: the words that led to the event; "" = none.
        context: where, when and on what it happened.
    """

    id: str
    user: str
    item: str
    kind: str
    time: float
    value: float | None = None
    recommendation: str | None = None
    query: str = ""
    context: Context = ()


@dataclass(frozen=True, slots=True)
class Change:
    """The newest state of one item that was put, patched or deleted while serving.

    Attributes:
        seq: number of the change, growing with every change of a catalogue; 0 = not yet journalled.
        item: id.
        record: the whole item, a JSON object of strings, numbers, booleans, nulls and lists of
            strings; None = deleted.
    """

    seq: int
    item: str
    record: Mapping[str, object] | None


class SeenItem(NamedTuple):
    """What an event store remembers of one item, for one user and one kind of event.

    `time`: unix seconds of the newest such event. `value`: the highest one; None without any.
    """

    item: str
    time: float
    value: float | None = None


@dataclass(frozen=True, slots=True)
class StoredUser:
    """What an event store has of one user, all read at one moment.

    Attributes:
        version: differs after every change, also after a deletion; b"" = no such user.
        events: the newest of each requested kind, oldest first; equal times in order of arrival.
        counts: number of stored events of each kind; empty unless all kinds were requested.
        deleted: the user was deleted, so the bundle's history must not be used either.
        merged: user keys of the sessions that were merged into this user, oldest first.
        seen: for each kind requested as seen, every item once, in no order.
        attributes: what was put last; None = nothing was, so those of the bundle count, unless the
            user was deleted.
        valid_until: unix seconds at which the oldest of all this reaches the age limit.
    """

    version: bytes = b""
    events: tuple[Event, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    deleted: bool = False
    merged: tuple[str, ...] = ()
    seen: Mapping[str, Sequence[SeenItem]] = field(default_factory=dict)
    attributes: Attributes | None = None
    valid_until: float = float("inf")


@dataclass(frozen=True, slots=True)
class Retention:
    """Which events are kept: the newest `per_kind` of each user and kind, for `max_age_s` seconds.

    `max_age_s`: None = no limit.
    """

    per_kind: int = 1000
    max_age_s: float | None = None

    def oldest(self, now: float) -> float:
        """Return the time, in unix seconds, before which events are not kept any more."""
        return float("-inf") if self.max_age_s is None else now - self.max_age_s

    def dated(self, user: StoredUser) -> StoredUser:
        """Return what was read of a user, with the moment at which the oldest of it is gone."""
        if self.max_age_s is None:
            return user
        times = [event.time for event in user.events]
        times += [item.time for items in user.seen.values() for item in items]
        return replace(user, valid_until=min(times, default=float("inf")) + self.max_age_s)


@dataclass(frozen=True, slots=True)
class ModelQuestion:
    """What a language model is asked.

    Attributes:
        instructions: what it is to do; ours.
        text: what it is to do that with; anybody may have written it.
        schema: JSON schema of the object that it is to answer with.
        max_tokens: most tokens of the answer.
    """

    instructions: str
    text: str
    schema: Mapping[str, Any]
    max_tokens: int = 512


@dataclass(frozen=True, slots=True)
class TextQuestion:
    """What a language model is asked to write.

    Attributes:
        instructions: what it is to do; ours.
        text: what it is to do that with; anybody may have written it.
        max_tokens: most tokens of what it writes.
        examples: pairs of such a text and what is to be written about it.
    """

    instructions: str
    text: str
    max_tokens: int = 200
    examples: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ModelAnswer:
    """What a language model answered: an object that may fit the schema or not.

    `prompt_tokens`, `answer_tokens`: what the endpoint says that it has read and written; 0 if it
    says nothing.
    """

    content: Mapping[str, Any]
    prompt_tokens: int = 0
    answer_tokens: int = 0


@dataclass(frozen=True, slots=True)
class LearnedIntent:
    """What a language model made of the words of a query.

    Attributes:
        seq: its number, growing with everything that is learned in a namespace.
        words: as `app.serving.intents` spells them.
        intent: JSON text of its answer, as far as it could be used; "" = the model adds nothing.
        learned_at, used_at: unix seconds, the second of the newest use.
        uses: how many requests had these words.
    """

    seq: int
    words: str
    intent: str
    learned_at: float
    used_at: float
    uses: int


class LearnedState(NamedTuple):
    """How far a namespace of learned intents is: the highest number, and how often some left."""

    newest: int = 0
    removals: int = 0


Claim: TypeAlias = Literal["granted", "taken", "spent"]
"""Whether a query may be asked: yes, no (it is learned, or being asked), or no budget is left."""
