"""What the doctor counts of items and events."""

from pathlib import Path
from typing import Any

from app.core.types import Change, Event
from app.doctor.facts import ExaminedEvents, ExaminedService
from app.doctor.gathering import Patient, _events, _items, check_up
from app.domain.columns import Instant
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.engine.engine import RankEngine
from app.testing.event_store import MemoryEventStore
from tests.bundles import build_small
from tests.small_engine import small_engine

NOW = 1_800_000_000.0


async def at_once(call: Any) -> Any:
    return call()


async def patient(engine: RankEngine | None = None, events: tuple[Event, ...] = ()) -> Patient:
    store = MemoryEventStore()
    await store.append(events)
    return Patient(
        engine=engine or small_engine(),
        rules=DEFAULT_EVENT_RULES,
        events=store,
        bundle=Path("there/is/none"),
        service=ExaminedService(),
        run=at_once,
        now=lambda: NOW,
    )


def event(number: int, user: str, item: str, kind: str = "click") -> Event:
    return Event(str(number), user, item, kind, NOW - 1000 + number)


async def test_items_are_counted() -> None:
    dates = [*map(Instant, (NOW - 1, NOW + 90_000, NOW + 3600)), None, None, None, None]
    engine = small_engine(
        titles={f"i{n}": "twin" if n < 2 else None if n == 6 else f"title {n}" for n in range(7)},
        extra={"published_at": ("time", dates)},
    )
    engine.plan([Change(1, "i3", {"title": "title 3", "hidden": True})], now=NOW)()
    facts = await _items(await patient(engine))
    assert (facts.n_items, facts.looked_at, facts.n_visible, facts.hidden) == (7, 7, 6, 1)
    assert (facts.no_title, facts.no_words, facts.no_text, facts.no_vector) == (1, 1, 7, 0)
    assert (facts.same_title, facts.dated, facts.in_future) == (2, 3, 1)
    assert {each.name: each.count for each in facts.fields} == {
        "categories": 5,
        "year": 0,
        "published_at": 3,
    }


async def test_events_of_the_store_are_counted() -> None:
    events = (
        event(1, "u:a", "alien"),
        event(2, "u:a", "star"),
        event(3, "u:b", "alien"),
        event(4, "u:b", "gone"),
        event(5, "s:c", "alien", "purchase"),
        event(6, "s:c", "mob", "impression"),
        event(7, "s:c", "mob", "gazed"),
    )
    facts = await _events(await patient(events=events), None)
    assert facts == ExaminedEvents(
        in_bundle=0,
        in_store=7,
        unknown_item=1,
        unknown_kind=1,
        positive=5,
        users=3,
        users_with_one=1,
        counts=(3, 1),
        since_learned=7,
    )


async def test_events_of_bundle_and_store_are_counted_together(tmp_path: Path) -> None:
    bundle = build_small(tmp_path, tmp_path / "models" / "x").bundle
    titles: dict[str, str | None] = {"1": "Heat", "2": "Alien", "drei": "Three"}
    events = (event(1, "u:7", "2"), event(2, "u:8", "drei"), event(3, "u:9", "drei", "like"))
    facts = await _events(await patient(small_engine(titles=titles), events), bundle)
    # The bundle has three positive events of the user 7, one of an item that is not there.
    assert facts == ExaminedEvents(
        in_bundle=4,
        in_store=3,
        unknown_item=1,
        unknown_kind=0,
        positive=6,
        users=3,
        users_with_one=2,
        counts=(1, 2, 2),
        since_learned=3,
    )


async def test_a_bundle_that_is_gone_costs_only_its_own_findings() -> None:
    checkup = await check_up(await patient())
    assert (checkup.items, checkup.events) == (7, 0)
    assert "no_events" in {each.id for each in checkup.findings}
    assert not any("learned" in each.id for each in checkup.findings)
