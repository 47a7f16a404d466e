"""Counts the facts: of an engine, an event store and a bundle on the disk."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import orjson

from app.bundle.generations import is_generation
from app.bundle.manifest import Manifest
from app.bundle.reader import Bundle, read_bundle
from app.core.errors import BundleError
from app.core.ports import Engine
from app.core.store_ports import EventStore
from app.core.survey import CatalogueSurvey
from app.core.types import Facets
from app.doctor.checkup import Checkup, examined
from app.doctor.facts import Examined, ExaminedEvents, ExaminedItems, ExaminedModel, ExaminedService
from app.domain.event_rules import EventRule
from app.serving.stores.bundle_users import BundleUserStore

MOST_ITEMS: Final = 5000
MOST_EVENTS: Final = 1_000_000
"""Most events of the store that are read: a few seconds."""
_DATE: Final = "published_at"
_DAY_S: Final = 86_400.0


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined.

    Attributes:
        engine: knows the items.
        rules: what each kind of event means.
        events: the store.
        bundle: the folder of the bundle that the engine was opened from: `models/NAME`, or a
            generation.
        service: what is known of the service.
        run: makes a call in the thread that ranks.
        now: unix seconds.
    """

    engine: Engine
    rules: Mapping[str, EventRule]
    events: EventStore
    bundle: Path
    service: ExaminedService
    run: Callable[[Callable[[], Facets]], Awaitable[Facets]]
    now: Callable[[], float] = time.time


async def check_up(patient: Patient) -> Checkup:
    """Return what is wrong. It takes a second for each 200,000 events, and disturbs no request.

    Raises:
        StoreError: the event store cannot be read.
    """
    info = patient.engine.info
    bundle = await asyncio.to_thread(_bundle_of, patient.bundle, info.bundle)
    facts = Examined(
        items=await _items(patient),
        events=await _events(patient, bundle),
        model=None if bundle is None else _model(bundle.manifest),
        service=patient.service,
    )
    return examined(info.bundle_name, info.bundle, facts)


def _bundle_of(path: Path, generation: str) -> Bundle | None:
    """Return the generation that serves; None if it is not on the disk any more."""
    try:
        return read_bundle(path if is_generation(path) else path / generation)
    except BundleError:
        return None


async def _items(patient: Patient) -> ExaminedItems:
    engine = patient.engine
    survey = await asyncio.to_thread(engine.survey, MOST_ITEMS)
    facets = await patient.run(lambda: engine.facets("", tuple(engine.info.attributes), 1))
    facts = replace(_looked_at(survey), n_visible=facets.total, fields=facets.fields)
    if engine.info.attributes.get(_DATE) != "time":
        return facts
    later = orjson.dumps({_DATE: {"gt": patient.now() + _DAY_S}}).decode()
    in_future = await patient.run(lambda: engine.facets(later, (), 1))
    dated = next(each.count for each in facets.fields if each.name == _DATE)
    return replace(facts, dated=dated, in_future=in_future.total)


def _looked_at(survey: CatalogueSurvey) -> ExaminedItems:
    items = survey.items
    titles = Counter(each.title for each in items if each.title is not None)
    return ExaminedItems(
        n_items=survey.n_items,
        looked_at=len(items),
        no_text=sum(not each.has_text for each in items),
        no_title=sum(each.title is None for each in items),
        no_words=sum(each.title is None and not each.has_text for each in items),
        no_vector=sum(
            not each.has_vector and (each.has_text or each.title is not None) for each in items
        ),
        cut=sum(each.is_cut for each in items),
        hidden=sum(not each.visible for each in items),
        same_title=sum(n for n in titles.values() if n > 1),
        roles=survey.roles,
    )


def _model(manifest: Manifest) -> ExaminedModel:
    learned = manifest.learned
    return ExaminedModel(
        encoder=manifest.encoder.id,
        learned_from_behaviour=learned is not None and bool(learned.decays),
        learned_modes=() if learned is None else tuple(learned.features),
        notes=() if learned is None else learned.notes,
        built_at=manifest.created_at.timestamp(),
    )


async def _events(patient: Patient, bundle: Bundle | None) -> ExaminedEvents:
    tally = _Tally(patient.engine, patient.rules)
    learned_until = 0.0
    if bundle is not None:
        learned_until = bundle.manifest.trained_until or 0.0
        await asyncio.to_thread(tally.add_bundle, bundle)
    async for events in patient.events.scan():
        for event in events:
            tally.in_store += 1
            tally.since_learned += event.time > learned_until
            tally.add(event.user, event.item, event.kind, event.value)
        if tally.in_store >= MOST_EVENTS:
            break
    return await asyncio.to_thread(tally.facts)


class _Tally:
    """Counts events: first those of the bundle, then those of the store."""

    def __init__(self, engine: Engine, rules: Mapping[str, EventRule]) -> None:
        self._engine, self._rules = engine, rules
        self._bundle: BundleUserStore | None = None
        self._taken, self._users = Counter[str](), Counter[str]()
        self.in_bundle = self.in_store = self.since_learned = 0
        self.unknown_item = self.unknown_kind = 0

    def add_bundle(self, bundle: Bundle) -> None:
        """Count what a bundle was built from. Of its events it has the positive ones only."""
        counts = bundle.manifest.counts
        self.in_bundle = bundle.manifest.n_events
        self.unknown_item = counts.get("unknown_item", 0)
        self.unknown_kind = counts.get("unknown_event", 0)
        self._bundle = BundleUserStore.open(bundle)
        self._taken.update(dict(self._bundle.taken()))

    def add(self, user: str, item: str, kind: str, value: float | None) -> None:
        """Count an event of the store."""
        self.unknown_item += not self._engine.contains(item)
        rule = self._rules.get(kind)
        if rule is None:
            self.unknown_kind += 1
        elif rule.sign(value) > 0:
            self._users[user] += 1
            self._taken[item] += 1

    def facts(self) -> ExaminedEvents:
        """Return what was counted. It may take a second."""
        visible, lengths = self._engine.visible, self._lengths()
        return ExaminedEvents(
            in_bundle=self.in_bundle,
            in_store=self.in_store,
            unknown_item=self.unknown_item,
            unknown_kind=self.unknown_kind,
            positive=self._taken.total(),
            users=int(np.count_nonzero(lengths)),
            users_with_one=int(np.count_nonzero(lengths == 1)),
            counts=tuple(n for item, n in self._taken.items() if visible(item)),
            since_learned=self.since_learned,
        )

    def _lengths(self) -> npt.NDArray[np.int64]:
        """Return int64[u]: how many positive events each user has."""
        if self._bundle is None:
            return np.array(list(self._users.values()), np.int64)
        lengths, others = self._bundle.lengths(), []
        for user, n in self._users.items():
            position = self._bundle.position(user)
            if position < 0:
                others.append(n)
            else:
                lengths[position] += n
        return np.concatenate([lengths, np.array(others, np.int64)])
