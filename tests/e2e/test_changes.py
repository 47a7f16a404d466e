"""A catalogue that changes: two processes on one Redis, kill -9 and a restart, a new bundle."""

import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import EVENTS, FILMS, Running, recserve, serving
from tests.redis_server import RedisServer

pytestmark = pytest.mark.e2e


LIGHTHOUSE = {"id": "n1", "title": "The Last Lighthouse", "categories": ["Drama"]}


def ids(service: Running, **said: object) -> list[str]:
    answer = service.recommend(k=10, **said)
    assert answer.status_code == 200, answer.text
    return [item["id"] for item in answer.json()["items"]]


def changed(service: Running, method: str, path: str, body: Any = None) -> int:
    """Make a change; return the catalogue that shows it."""
    answer = service.client.request(method, path, json=body)
    assert answer.status_code == 200, answer.text
    seq: int = answer.json()["generation"]["catalogue"]
    return seq


def test_a_change_in_one_process_is_seen_by_the_other(
    bundle: Path, tmp_path: Path, durable_redis: RedisServer
) -> None:
    flags = ("--cache-url", durable_redis.url, "--store-url", durable_redis.url)
    with serving(bundle, tmp_path, *flags) as one, serving(bundle, tmp_path, *flags) as other:
        assert "4" in ids(other, query="crime thriller")
        put = changed(one, "PUT", "/items", [LIGHTHOUSE])
        assert ids(one, query="last lighthouse")[0] == "n1"
        assert ids(other, query="last lighthouse", min_catalogue=put)[0] == "n1"

        gone = changed(other, "DELETE", "/items/4")
        patched = changed(one, "PATCH", "/items/1", {"title": "Aliens"})
        assert patched > gone > put
        for service in (one, other):
            assert "4" not in ids(service, query="crime thriller", min_catalogue=patched)
            assert service.client.get("/items/1").json()["title"] == "Aliens"
            # Without asking for it: both have come so far by now.
            assert "4" not in ids(service, query="crime thriller")

        # The other service needs no request for it: it polls (`loadtest.scenarios.replicas`
        # measures how soon).
        changed(one, "DELETE", "/items/5")
        deadline = time.monotonic() + 30
        while "5" in ids(other, query="crime thriller"):
            assert time.monotonic() < deadline


def test_a_change_outdates_the_answers_that_showed_the_item(bundle: Path, tmp_path: Path) -> None:
    # Without an intent: answers to demands depend on the whole catalogue.
    ask = {"query": "crime thriller", "k": 3, "intent": False}
    with serving(bundle, tmp_path) as service:

        def cached(**more: object) -> str:
            answer = service.recommend(**ask, **more)
            word: str = answer.headers["x-cache"]
            return word

        shown = [item["id"] for item in service.recommend(**ask).json()["items"]]
        unseen = [name for name, *_ in FILMS if name not in shown]
        assert cached() == "hit"
        gone = changed(service, "DELETE", f"/items/{unseen[0]}")
        assert cached() == "hit"
        assert cached(min_catalogue=gone) == "miss"
        changed(service, "DELETE", f"/items/{shown[0]}")
        assert cached() == "miss"
        assert cached() == "hit"
        assert shown[0] not in [item["id"] for item in service.recommend(**ask).json()["items"]]
        changed(service, "PUT", "/items", [LIGHTHOUSE])
        assert cached() == "miss"  # a new item might belong into any answer


def test_who_allows_it_gets_an_older_answer_but_nothing_that_changed(
    bundle: Path, tmp_path: Path
) -> None:
    ask = {"query": "crime thriller", "k": 3, "max_stale_ms": 60_000}
    with serving(bundle, tmp_path) as service:
        first = service.recommend(**ask).json()
        shown = [item["id"] for item in first["items"]]
        put = changed(service, "PUT", "/items", [LIGHTHOUSE])
        older = service.recommend(**ask)
        assert older.headers["x-cache"] == "stale"
        assert older.json()["items"] == first["items"]
        assert older.json()["generation"]["catalogue"] < put

        gone = changed(service, "DELETE", f"/items/{shown[0]}")
        after = service.recommend(**ask)
        assert after.headers["x-cache"] == "miss"
        assert after.json()["generation"]["catalogue"] == gone
        assert shown[0] not in [item["id"] for item in after.json()["items"]]


def test_a_killed_process_comes_back_with_what_it_acknowledged(
    bundle: Path, tmp_path: Path
) -> None:
    with serving(bundle, tmp_path) as service:
        changed(service, "PUT", "/items", [LIGHTHOUSE, {"id": "n2", "title": "Another"}])
        changed(service, "DELETE", "/items/n2")
        changed(service, "DELETE", "/items/5")
        changed(service, "PATCH", "/items/2", {"hidden": True})
        before = ids(service, query="lighthouse crime star")
        service.process.kill()
        service.process.wait()
    with serving(bundle, tmp_path) as service:
        assert ids(service, query="lighthouse crime star") == before
        assert "n1" in before
        assert not {"2", "5", "n2"} & set(before)
        assert service.client.get("/catalogue").json()["items"] == len(FILMS) - 1


def test_a_new_bundle_brings_nothing_back_and_keeps_what_was_added(tmp_path: Path) -> None:
    items, events, out = tmp_path / "items.jsonl", tmp_path / "events.jsonl", tmp_path / "small"

    def build(suffix: str) -> None:
        names = ("id", "title", "categories", "published_at")
        rows = [dict(zip(names, film, strict=True)) for film in FILMS]
        for row in rows:
            row["title"] = f"{row['title']} {suffix}"
        items.write_text("".join(json.dumps(row) + "\n" for row in rows))
        lines = [{"user_id": user, "item_id": item} for user, item in EVENTS]
        events.write_text("".join(json.dumps(line) + "\n" for line in lines))
        files = ("--items", str(items), "--events", str(events))
        done = recserve("build", *files, "--out", str(out), "--force")
        assert done.returncode == 0, done.stderr

    build("one")
    with serving(out, tmp_path, "--watch-bundle-ms", "0") as service:
        changed(service, "PUT", "/items", [LIGHTHOUSE])
        changed(service, "DELETE", "/items/4")
        build("two")
        reloaded = service.client.post("/admin/reload").json()
        assert reloaded["reloaded"] is True
        assert reloaded["generation"]["catalogue"] == 2

        answer = service.recommend(query="lighthouse heat", k=10).json()
        titles = {item["id"]: item["title"] for item in answer["items"]}
        assert "4" not in titles
        assert titles.pop("n1") == LIGHTHOUSE["title"]
        assert all(title.endswith(" two") for title in titles.values())
        changed(service, "PUT", "/items", [{"id": "4", "title": "Heat again"}])
        assert ids(service, query="heat again")[0] == "4"


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_extreme_items_and_events_harm_no_answer_then_or_after_a_restart(
    bundle: Path, tmp_path: Path, store: str, request: pytest.FixtureRequest
) -> None:
    items = [
        {"id": "n1", "title": "Lighthouse", "available_from": "1969-12-31"},
        {"id": "n2", "title": "Lighthouse", "available_from": "0001-01-01"},
        {"id": "n3", "title": "Lighthouse", "available_until": "9999-12-31T23:59:59.999999Z"},
        {"id": "n4", "title": "Lighthouse", "published_at": -62_135_596_800},
        {"id": "n5", "title": "Lighthouse", "published_at": "9999-12-31T23:59:59.999999Z"},
        {"id": "é" * 256, "title": "Lighthouse"},
    ]
    events = [
        {"user_id": "ann", "item_id": "1", "event_id": 1, "timestamp": "0001-01-01"},
        {"user_id": "ann", "item_id": "é" * 256, "event_id": 2, "value": -1e308},
    ]
    flags: tuple[str, ...] = ()
    if store == "redis":
        url = request.getfixturevalue("durable_redis").url
        flags = ("--cache-url", url, "--store-url", url)

    def answered(service: Running) -> list[list[str]]:
        asked = ({"query": "lighthouse"}, {"query": "lighthouse"}, {"user_id": "ann"})
        return [ids(service, **request) for request in asked]

    with serving(bundle, tmp_path, *flags) as service:
        changed(service, "PUT", "/items", items)
        sent = service.client.post("/events", json=events).json()
        assert (sent["accepted"], sent["rejected"]) == (2, [])
        before = answered(service)
        service.process.kill()
        service.process.wait()
    assert {item["id"] for item in items} <= set(before[0])
    with serving(bundle, tmp_path, *flags) as service:
        assert answered(service) == before
