"""What the doctor looks at: counts of items, events, the bundle and the service."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from app.core.types import FieldFacts

MODES = ("words", "history", "both")
"""The modes of a request; each may have a network."""


@dataclass(frozen=True, slots=True)
class ExaminedItems:
    """Of the items.

    Attributes:
        n_items: all, hidden ones among them.
        n_visible: those that may come back.
        looked_at: those of which the counts below are: a sample of a large catalogue.
        no_text, no_title, no_vector, cut, hidden: how many of them lack words beside the title,
            lack a title, have words that the encoder does not know, have more words than it
            reads, and must not come back. `no_words`: without text and title.
        same_title: how many have a title that another of them has.
        dated, in_future: visible items with a `published_at`, and with one in the future.
        fields: of the visible items.
        roles: role -> field.
    """

    n_items: int = 0
    n_visible: int = 0
    looked_at: int = 0
    no_text: int = 0
    no_title: int = 0
    no_words: int = 0
    no_vector: int = 0
    cut: int = 0
    hidden: int = 0
    same_title: int = 0
    dated: int = 0
    in_future: int = 0
    fields: Sequence[FieldFacts] = ()
    roles: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExaminedEvents:
    """Of the events, in the bundle and in the store.

    Attributes:
        in_bundle: events that the bundle was built from.
        in_store: events of the store, at most as many as were read.
        unknown_item: events whose item the catalogue does not have.
        unknown_kind: events of kinds without a rule.
        positive: how many say that an item was wanted, of unknown items too.
        users, users_with_one: people with positive events, and those with a single one.
        counts: positive events of each visible item that has some.
        since_learned: events of the store that are newer than what the bundle learned from.
    """

    in_bundle: int = 0
    in_store: int = 0
    unknown_item: int = 0
    unknown_kind: int = 0
    positive: int = 0
    users: int = 0
    users_with_one: int = 0
    counts: Sequence[int] = ()
    since_learned: int = 0

    @property
    def total(self) -> int:
        """All events. One that was exported, and built into the bundle, counts twice."""
        return self.in_bundle + self.in_store


@dataclass(frozen=True, slots=True)
class ExaminedModel:
    """Of what the bundle learned.

    Attributes:
        encoder: id of the encoder.
        learned_from_behaviour: whether events taught it what follows what.
        learned_modes: modes that have a network.
        notes: what the build said of each mode.
        built_at: unix seconds.
    """

    encoder: str = ""
    learned_from_behaviour: bool = False
    learned_modes: Sequence[str] = ()
    notes: Sequence[str] = ()
    built_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ExaminedService:
    """Of the service: the settings, and what one process has counted since it started.

    Attributes:
        workers: processes.
        shared_cache: whether they share one.
        queries, wordless, weak: see `app.serving.query_tally.QueryCounts`.
        cache_reads, cache_hits: look-ups in the cache of the process, and hits.
        set_aside: ids of items whose newest change could not be applied.
    """

    workers: int = 1
    shared_cache: bool = False
    queries: int = 0
    wordless: int = 0
    weak: int = 0
    cache_reads: int = 0
    cache_hits: int = 0
    set_aside: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Examined:
    """All that the doctor looks at. `model`: None where no bundle lies on the disk."""

    items: ExaminedItems = ExaminedItems()
    events: ExaminedEvents = ExaminedEvents()
    model: ExaminedModel | None = None
    service: ExaminedService = ExaminedService()
