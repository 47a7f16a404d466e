"""Rules and scenarios over HTTP: two processes that share a store, and one after a restart."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from app.offline.presets import SCENARIOS
from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

CRIME = {"categories": {"any": ["Crime"]}}
WITHIN_S = 30
"""A change is elsewhere within a second; a busy machine may be late."""


def ids(service: Running, **fields: Any) -> list[str]:
    answer = service.recommend(k=3, **fields)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def soon(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("control")


@pytest.fixture(scope="module")
def both(bundle: Path, folder: Path) -> Iterator[tuple[Running, Running]]:
    """Two processes over one data folder."""
    with serving(bundle, folder) as one, serving(bundle, folder) as other:
        yield one, other


@pytest.fixture
def services(both: tuple[Running, Running]) -> Iterator[tuple[Running, Running]]:
    yield both
    both[0].client.delete("/admin/rules").raise_for_status()
    soon(lambda: both[1].client.get("/admin/rules").json()["rules"] == [])


def put(service: Running, name: str, **rule: Any) -> None:
    service.client.put(f"/admin/rules/{name}", json=rule).raise_for_status()


def test_a_rule_is_in_force_here_at_once_and_there_within_a_moment(
    services: tuple[Running, Running],
) -> None:
    one, other = services
    before = ids(one)
    assert ids(other) == before
    assert other.recommend(k=3).json()["cache"] == "hit"
    put(one, "no-crime", block={"filter": CRIME})
    after = ids(one)
    assert not {"4", "5"} & set(after)
    soon(lambda: ids(other) == after)
    one.client.delete("/admin/rules/no-crime").raise_for_status()
    assert ids(one) == before
    soon(lambda: ids(other) == before)


def test_every_action_shows_in_an_answer(services: tuple[Running, Running]) -> None:
    one, _ = services
    crime = {"filter": CRIME, "weight": 10}
    put(one, "boost", when={"query": {"exact": "Boost, me!"}}, boost=crime)
    assert set(ids(one, query="boost me")[:2]) == {"4", "5"}
    put(one, "bury", when={"query": {"prefix": "bury"}}, bury=crime)
    assert not {"4", "5"} & set(ids(one, query="bury this"))
    put(one, "pin", when={"query": {"prefix": "pin"}}, pin={"item_id": "8", "place": 2})
    pinned = one.recommend(query="pin it", k=3, explain=True).json()["items"][1]
    assert (pinned["id"], pinned["placed_by"]) == ("8", "pin:pin")
    older = {"filter": {"published_at": {"lt": 1998}}, "share": 1.0}
    wanted = {"intent": {"filters": {"categories": "romance"}}}
    put(one, "promote", when=wanted, promote=older)
    assert ids(one, query="romance films")[0] == "7"  # of 1997; the other one is of 1999
    boosted = one.recommend(query="boost me", k=1, explain=True).json()["items"][0]
    assert boosted["contributions"]["boosts"] > 0
    metrics = one.client.get("/metrics").text
    assert 'recserve_rules_applied_total{rule="bury"} 1.0' in metrics


def test_a_rule_begins_and_ends_by_the_clock(services: tuple[Running, Running]) -> None:
    one, _ = services
    before, now = ids(one), time.time()
    put(one, "later", block={"filter": CRIME}, **{"from": now + 3600})
    put(one, "past", block={"filter": CRIME}, until=now - 3600)
    assert ids(one) == before
    put(one, "soon", block={"filter": CRIME}, **{"from": now + 1, "until": now + 4})
    soon(lambda: not {"4", "5"} & set(ids(one)))
    soon(lambda: ids(one) == before)


def test_a_dry_run_says_what_would_change(services: tuple[Running, Running]) -> None:
    one, _ = services
    before = ids(one)
    body = {"rules": [{"id": "a", "block": {"filter": CRIME}}], "requests": [{"k": 3}]}
    done = one.client.post("/admin/rules/dry-run", json=body).json()["results"][0]
    assert [item["id"] for item in done["before"]] == before
    assert not {"4", "5"} & {item["id"] for item in done["after"]}
    assert ids(one) == before


def test_scenarios_are_shared_and_kept_in_versions(services: tuple[Running, Running]) -> None:
    one, other = services
    one.client.put("/admin/scenarios/crime", json={"filter": CRIME}).raise_for_status()
    assert set(ids(one, scenario="crime")) == {"4", "5"}
    soon(lambda: other.recommend(scenario="crime").status_code == 200)
    first = other.client.get("/admin/scenarios/crime").json()["version"]
    other.client.put("/admin/scenarios/crime", json={}).raise_for_status()
    assert len(ids(other, scenario="crime")) == 3
    soon(lambda: len(ids(one, scenario="crime")) == 3)
    one.client.put(f"/admin/scenarios/crime?version={first}").raise_for_status()
    assert set(ids(one, scenario="crime")) == {"4", "5"}
    unknown = one.recommend(scenario="criem")
    assert unknown.status_code == 422
    assert "there are: crime" in unknown.json()["error"]["message"]
    wrong = one.client.put("/admin/scenarios/home", json={"filter": {"colour": {"eq": "red"}}})
    assert wrong.json()["error"]["field"] == "filter.colour"


@pytest.mark.parametrize("name", sorted(SCENARIOS))
def test_the_scenarios_that_ship_fit_a_bundle(name: str, services: tuple[Running, Running]) -> None:
    one, _ = services
    body = json.loads(SCENARIOS[name].read_text(encoding="utf-8"))
    put = one.client.put("/admin/scenarios", content=SCENARIOS[name].read_bytes())
    assert put.status_code == 200, put.text
    assert put.json()["warnings"] == []
    for scenario in body["scenarios"]:
        answer = one.recommend(scenario=scenario, query="crime", user_id="ann")
        assert answer.status_code == 200, answer.text


def test_rules_and_scenarios_are_there_after_a_restart(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path) as service:
        put(service, "pin", pin={"item_id": "8", "place": 1})
        service.client.put("/admin/scenarios/home", json={"k": 1}).raise_for_status()
        service.process.kill()  # what was answered is on the disk
    with serving(bundle, tmp_path) as service:
        answer = service.recommend(scenario="home").json()
        assert [item["id"] for item in answer["items"]] == ["8"]
