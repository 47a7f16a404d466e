"""Rules and scenarios of several processes, of a store that is down, and of another bundle."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import orjson
import pytest
from prometheus_client import CollectorRegistry

from app.core.errors import InvalidRequestError, NotFoundError, StoreError
from app.core.telemetry import Metrics
from app.core.types import EngineInfo
from app.domain.rule import Rule
from app.serving.control import rules as limits
from app.serving.control.control import Control
from app.serving.control.rule_counts import RuleCounts
from app.testing.control_store import MemoryControl, MemoryControlStore
from app.testing.fakes import GatedEngine
from tests.clock import Clock
from tests.recommender_rig import ask, rig


def rule(name: str, **fields: Any) -> Rule:
    if not fields.keys() & {"pin", "block"}:
        fields["block"] = {"filter": {"n": {"eq": 1}}}
    return Rule.model_validate_json(orjson.dumps({"id": name, **fields}))


def control(store: MemoryControlStore | None = None, **parts: Any) -> Control:
    engine = parts.pop("engine", None) or GatedEngine()
    metrics = parts.pop("metrics", None) or Metrics(CollectorRegistry())
    return Control(store or MemoryControlStore(), engine, metrics, **parts)


def ids(one: Control, query: str = "") -> list[str]:
    found = one.rules.matching(query, None, interpreted=bool(query))
    return [each.id for each in found.rules]


async def test_a_change_is_in_force_here_at_once_and_elsewhere_after_a_look() -> None:
    store: dict[str, MemoryControl] = {}
    here = control(MemoryControlStore(store=store))
    there = control(MemoryControlStore(store=store))
    await here.put_rules([rule("a"), rule("b")])
    assert (ids(here), ids(there)) == (["a", "b"], [])
    await there.catch_up()
    assert ids(there) == ["a", "b"]
    await there.delete_rules("a")
    assert (ids(here), ids(there)) == (["a", "b"], ["b"])
    await here.catch_up()
    assert ids(here) == ["b"]
    assert await here.delete_rules(None) == 1
    with pytest.raises(NotFoundError):
        await here.delete_rules("b")


async def test_known_rules_stay_in_force_while_the_store_is_down(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, metrics = MemoryControlStore(), Metrics(CollectorRegistry())
    one = control(store, metrics=metrics)
    await one.put_rules([rule("a")])
    store.down = True
    looks = 0

    async def sleep(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise asyncio.CancelledError

    with caplog.at_level(logging.WARNING), pytest.raises(asyncio.CancelledError):
        await one.watch(0.1, sleep)
    assert ids(one) == ["a"]
    assert metrics.registry.get_sample_value("recserve_control_read_errors_total") == 2
    assert "rules and scenarios may be behind" in caplog.text
    with pytest.raises(StoreError):
        await one.put_rules([rule("b")])


async def test_a_rule_begins_and_ends_without_a_change() -> None:
    clock = Clock(1_700_000_000.0)
    one = control(now=clock)
    begin, end = clock() + 10, clock() + 20
    await one.put_rules([rule("a", **{"from": begin, "until": end})])
    assert ids(one) == []
    clock.now = begin
    assert ids(one) == ["a"]
    clock.now = end
    assert ids(one) == []
    assert [(each.rule.id, each.active) for each in one.rules.shown()] == [("a", False)]


async def test_rules_are_checked_against_the_catalogue() -> None:
    one = control()
    warnings = await one.put_rules([rule("a", pin={"item_id": "new", "place": 1})], "rules")
    assert [(each.name, each.field) for each in warnings] == [("a", "rules.0.pin.item_id")]
    wrong = {
        "block.filter.colour": rule("b", block={"filter": {"colour": {"eq": "red"}}}),
        "when.intent.filters": rule("b", when={"intent": {"filters": {"colour": "red"}}}),
    }
    for field, each in wrong.items():
        with pytest.raises(InvalidRequestError, match="there are: n") as caught:
            await one.put_rules([each])
        assert caught.value.field == field
    with pytest.raises(InvalidRequestError, match="comes twice") as caught:
        await one.put_rules([rule("b"), rule("b")], "rules")
    assert caught.value.field == "rules.1.id"
    many = [rule(f"r{n}") for n in range(limits.MOST_UNCONDITIONAL)]
    with pytest.raises(InvalidRequestError, match="at most 50 rules without `when`"):
        await one.put_rules(many, "rules")
    assert ids(one) == ["a"]


class _OtherFields(GatedEngine):
    """A bundle whose items have another field."""

    @property
    def info(self) -> EngineInfo:
        return replace(super().info, bundle="other", attributes={"m": "number"})


async def test_a_rule_that_does_not_fit_another_bundle_rests() -> None:
    store: dict[str, MemoryControl] = {}
    first = control(MemoryControlStore(store=store))
    await first.put_rules([rule("a"), rule("p", pin={"item_id": "i1", "place": 1})])
    other = control(MemoryControlStore(store=store), engine=_OtherFields())
    await other.open()
    assert ids(other) == ["p"]
    shown = other.rules.shown_one("a")
    assert (shown.active, shown.problem) == (
        False,
        "block.filter.n: no such field; there are: m",
    )


async def test_cached_answers_follow_the_rules() -> None:
    async with rig() as r:
        control = r.service.control
        assert (await r.get(query="a"))["cache"] == "miss"
        await control.put_rules([rule("only-b", when={"query": {"exact": "b"}})])
        # The rule does not apply to this query, so its answer is still right.
        assert (await r.get(query="a"))["cache"] == "hit"
        await control.put_rules([rule("all")])
        assert (await r.get(query="a"))["cache"] == "miss"
        assert [each.id for each in r.asked[-1].rules.rules] == ["all"]
        assert (await r.get(query="a"))["cache"] == "hit"
        await control.put_rules([rule("all", block={"filter": {"n": {"eq": 2}}})])
        assert (await r.get(query="a"))["cache"] == "miss"
        await control.delete_rules("all")
        assert (await r.get(query="a"))["cache"] == "hit"  # as before there was the rule


async def test_a_scenario_completes_a_request() -> None:
    one = control()
    await one.put_scenarios(
        [("home", '{"k":3,"filter":{"n":{"gte":5}},"fields":["n"],"max_stale_ms":50}')]
    )
    done = one.scenarios.completed(ask(scenario="home", query="x", k=4))
    assert (done.query, done.k, done.fields, done.max_stale_ms) == ("x", 4, ("n",), 50)
    assert done.filter == {"n": {"gte": 5}}
    both = one.scenarios.completed(ask(scenario="home", filter={"n": {"lt": 9}}))
    assert both.filter == {"$and": [{"n": {"gte": 5}}, {"n": {"lt": 9}}]}
    assert one.scenarios.completed(ask(scenario="home", filter=None)).filter == {"n": {"gte": 5}}
    assert one.scenarios.completed(ask(query="x")) == ask(query="x")
    with pytest.raises(InvalidRequestError, match="there are: home") as caught:
        one.scenarios.completed(ask(scenario="hoem"))
    assert caught.value.field == "scenario"


async def test_applied_rules_are_counted_in_a_bounded_number_of_series() -> None:
    metrics = Metrics(CollectorRegistry())
    counts = RuleCounts(metrics, most=2)
    for rules in (("a", "b"), ("c", "a"), ("d",), ()):
        counts.count(rules)

    def counted(name: str) -> float | None:
        return metrics.registry.get_sample_value("recserve_rules_applied_total", {"rule": name})

    assert [counted(name) for name in ("a", "b", "c", "d", "other")] == [2, 1, None, None, 2]


async def test_an_answer_depends_on_the_items_that_rules_pin() -> None:
    async with rig() as r:
        await r.service.control.put_rules([rule("p", pin={"item_id": "i200", "place": 1})])
        assert (await r.get(k=2))["cache"] == "miss"
        assert (await r.get(k=2))["cache"] == "hit"
        await r.service.catalogue.delete("i100")
        assert (await r.get(k=2))["cache"] == "hit"
        await r.service.catalogue.delete("i200")
        assert (await r.get(k=2))["cache"] == "miss"
