"""Changes that cannot be applied: not journalled, or set aside; those after them go on."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import NotReadyError
from app.core.ranking import RankRequest
from app.core.telemetry import Metrics
from app.core.types import Change
from app.engine.engine import RankEngine
from app.serving.live_catalogue import LiveCatalogue
from app.testing.journal import MemoryChanges, MemoryJournal
from tests.small_engine import small_engine


class Fussy:
    """An engine that cannot plan some items, or cannot perform the change of some."""

    def __init__(self, engine: RankEngine) -> None:
        self._engine = engine
        self.unplannable: set[str] = set()
        self.unperformable: set[str] = set()
        self.lost = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def plan(self, changes: Sequence[Change], now: float) -> Callable[[], None]:
        put = {change.item for change in changes if change.record is not None}
        if put & self.unplannable:
            raise ValueError("poison")
        perform = self._engine.plan(changes, now)

        def performed() -> None:
            if self.lost:
                raise NotReadyError("stopping")
            if put & self.unperformable:
                raise KeyError("poison")
            perform()

        return performed


class Shop:
    """A catalogue over a fussy engine, and a journal that other shops may share."""

    def __init__(self, store: dict[str, MemoryChanges] | None = None) -> None:
        self.engine = Fussy(small_engine())
        self.journal = MemoryJournal("small", store)
        self.metrics = Metrics(CollectorRegistry())
        self.catalogue = LiveCatalogue(
            engine=self.engine,
            run_exclusive=_at_once,
            journal=self.journal,
            metrics=self.metrics,
            now=lambda: 1000.0,
        )

    def ids(self) -> set[str]:
        result = self.engine.rank([RankRequest(query="submarine", k=50)]).results[0]
        return {item.id for item in result.items}

    def gauge(self) -> float | None:
        return self.metrics.registry.get_sample_value("recserve_changes_set_aside")


async def _at_once(call: Callable[[], Any]) -> Any:
    return call()


def _item(name: str) -> dict[str, Any]:
    return {"id": name, "title": f"submarine {name}"}


async def test_what_cannot_be_planned_is_not_journalled_and_later_changes_go_on() -> None:
    shop = Shop()
    shop.engine.unplannable = {"bad"}
    with pytest.raises(ValueError, match="poison"):
        await shop.catalogue.put([_item("bad")])
    assert await shop.journal.newest() == 0
    assert await shop.catalogue.put([_item("good")]) == 1

    assert "good" in shop.ids()
    assert "bad" not in shop.ids()
    assert dict(shop.catalogue.set_aside) == {}


@pytest.mark.parametrize("which", ["unplannable", "unperformable"])
async def test_a_start_sets_poison_in_the_journal_aside_and_applies_the_rest(which: str) -> None:
    shop = Shop()
    await shop.journal.append([("a", _item("a")), ("bad", _item("bad")), ("b", _item("b"))])
    await shop.journal.append([("mob", _item("mob"))])
    setattr(shop.engine, which, {"bad", "mob"})
    await shop.catalogue.open()

    assert {"a", "b"} <= shop.ids()
    assert "bad" not in shop.ids()
    assert shop.engine.item("mob").title == "mob crime drama"  # as the bundle has it
    assert dict(shop.catalogue.set_aside) == {"bad": 2, "mob": 4}
    assert shop.gauge() == 2
    assert shop.engine.info.catalogue == 4
    assert await shop.catalogue.put([_item("c")]) == 5
    assert "c" in shop.ids()


async def test_a_newer_change_of_the_item_counts_again() -> None:
    shop = Shop()
    await shop.journal.append([("bad", _item("bad"))])
    shop.engine.unplannable = {"bad"}
    await shop.catalogue.open()
    shop.engine.unplannable = set()
    await shop.catalogue.put([_item("bad")])

    assert "bad" in shop.ids()
    assert shop.gauge() == 0


async def test_a_new_bundle_tries_again_what_was_set_aside() -> None:
    shop, fresh = Shop(), Fussy(small_engine())
    await shop.journal.append([("bad", _item("bad")), ("worse", _item("worse"))])
    shop.engine.unplannable = {"bad", "worse"}
    await shop.catalogue.open()
    fresh.unplannable = {"worse"}
    async with shop.catalogue.handover(fresh):
        assert dict(shop.catalogue.set_aside) == {"bad": 1, "worse": 2}

    assert fresh.contains("bad")
    assert dict(shop.catalogue.set_aside) == {"worse": 2}


async def test_what_another_process_wrote_first_is_applied_in_the_order_of_the_journal() -> None:
    store: dict[str, MemoryChanges] = {}
    one, other = Shop(store), Shop(store)
    await one.catalogue.put([_item("x")])
    append = one.journal.append
    assert await other.catalogue.put([{"id": "x", "title": "whale"}]) == 2
    assert other.engine.item("x").title == "whale"
    await append([("x", {"title": "shark"})])
    assert await other.catalogue.put([_item("y")]) == 4

    assert other.engine.item("x").title == "shark"


async def test_a_service_that_stops_sets_nothing_aside() -> None:
    shop = Shop()
    await shop.journal.append([("a", _item("a")), ("b", _item("b"))])
    shop.engine.lost = True
    with pytest.raises(NotReadyError):
        await shop.catalogue.open()

    assert dict(shop.catalogue.set_aside) == {}
    assert shop.engine.info.catalogue == 0
