"""Lists and shelves over HTTP: similar, popular, trending and newest items, and rows of a user."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

DRAMA = json.dumps({"categories": {"any": ["Drama"]}})


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(bundle, tmp_path_factory.mktemp("lists")) as running:
        yield running


def titles(answer: Any) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [item["title"] for item in answer.json()["items"]]


def shelves(service: Running, *rows: dict[str, Any], **whole: Any) -> dict[str, Any]:
    body = {"budget_ms": 10_000, "shelves": rows, **whole}
    answer = service.client.post("/v1/shelves", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def row_titles(row: dict[str, Any]) -> list[str]:
    return [item["title"] for item in row["items"]]


def test_similar_items_come_by_what_they_say(service: Running) -> None:
    heat = {"item_id": "4", "k": 3, "budget_ms": 10_000}
    first = service.client.post("/similar", json=heat)
    again = service.client.post("/v1/similar", json=heat)

    assert "Heat" not in titles(first)
    assert (first.json()["cache"], again.json()["cache"]) == ("miss", "hit")
    scores = [item["score"] for item in first.json()["items"]]
    assert scores == sorted(scores, reverse=True)
    several = {"items": ["1", 2, "gone"], "k": 8, "budget_ms": 10_000}
    answer = service.client.post("/similar", json=several)
    assert titles(answer)[0] == "I, Robot"  # the third one of science fiction
    assert not {"Alien", "Star Wars"} & set(titles(answer))
    assert answer.json()["missing_ids"] == ["gone"]


def test_similar_to_nothing_that_is_known_is_not_found(service: Running) -> None:
    answer = service.client.post("/similar", json={"item_id": "gone"})
    assert (answer.status_code, answer.json()["error"]["field"]) == (404, "item_id")


def test_the_newest_come_by_date_and_a_filter_holds(service: Running) -> None:
    answer = service.client.get("/newest", params={"k": 3, "fields": "published_at"})
    assert titles(answer) == ["I, Robot", "Notting Hill", "Titanic"]
    assert answer.json()["items"][0]["fields"] == {"published_at": 2004}
    dramas = service.client.get("/v1/newest", params={"filter": DRAMA})
    assert titles(dramas) == ["Titanic", "Goodfellas"]


def test_what_is_popular_and_trending_was_taken(service: Running) -> None:
    taken = {"Heat", "Goodfellas", "Notting Hill", "Titanic", "Star Wars"}
    for path in ("/popular", "/trending"):
        everything = titles(service.client.get(path))
        assert set(everything[:5]) == taken
        assert len(everything) == 8
    # The last event of the log.
    assert titles(service.client.get("/trending"))[0] == "Star Wars"
    sent = {"intent": {"sort": "trending"}, "k": 1, "budget_ms": 10_000}
    assert titles(service.client.post("/recommend", json=sent)) == ["Star Wars"]


def test_what_is_no_filter_is_refused_and_head_answers(service: Running) -> None:
    wrong = service.client.get("/popular", params={"filter": "{drama}"})
    assert wrong.status_code == 422
    assert wrong.json()["error"]["field"] == "filter"
    head = service.client.head("/popular", params={"filter": DRAMA})
    assert (head.status_code, head.content) == (200, b"")
    assert "GET" in service.client.options("/popular").headers["allow"]


def test_the_rows_of_a_user_in_one_pass(service: Running) -> None:
    events = [
        {"user_id": "zoe", "item_id": "6", "event": "play", "timestamp": 1_780_000_000},
        {"user_id": "zoe", "item_id": "7", "event": "play", "timestamp": 1_780_000_001},
        {"user_id": "zoe", "item_id": "6", "event": "complete", "timestamp": 1_780_000_002},
    ]
    assert service.client.post("/events", json=events).json()["accepted"] == 3
    rows = [
        {"name": "on", "kind": "continue"},
        {"name": "like", "kind": "because"},
        {"name": "new", "kind": "new"},
        {"name": "crime", "query": "crime", "title": "Crooks"},
        {"name": "popular", "kind": "popular"},
    ]
    found = shelves(service, *rows, user_id="zoe", k=2, fields=["published_at"])

    on, like, new, crime, popular = found["shelves"]
    assert (on["title"], row_titles(on)) == ("Continue", ["Titanic"])
    assert (like["item_id"], like["title"]) == ("6", "Because you took Notting Hill")
    assert (new["title"], crime["title"], popular["title"]) == (
        *("New for you", "Crooks"),
        "Popular",
    )
    shown = [title for row in found["shelves"] for title in row_titles(row)]
    assert len(shown) == len(set(shown)) == 7  # all but the film that was finished
    assert "Notting Hill" not in shown
    assert found["generation"]["catalogue"] == 0
    assert all("published_at" in item["fields"] for item in on["items"])
    again = shelves(service, *rows, user_id="zoe", k=2, fields=["published_at"])
    assert [row["cache"] for row in again["shelves"]] == ["hit"] * 5


def test_rows_of_nobody_and_wrong_rows(service: Running) -> None:
    rows = [
        {"name": "on", "kind": "continue"},
        {"name": "bad", "k": 0},
        {"name": "new", "kind": "new"},
    ]
    found = shelves(service, *rows, language="zh", k=2)

    assert found["left_out"] == [{"name": "on", "reason": "it needs a user_id or a session_id"}]
    bad, new = found["shelves"]
    assert (bad["name"], bad["error"]["field"]) == ("bad", "k")
    assert (new["title"], row_titles(new)) == ("最新", ["I, Robot", "Notting Hill"])


def test_a_row_of_a_scenario(service: Running) -> None:
    put = service.client.put(
        "/admin/scenarios/crooks", json={"query": "crime", "filter": json.loads(DRAMA), "k": 5}
    )
    assert put.status_code == 200, put.text
    rows = [{"name": "crooks", "scenario": "crooks"}, {"name": "gone", "scenario": "gone"}]
    found = shelves(service, *rows, k=2)

    assert row_titles(found["shelves"][0])[0] == "Goodfellas"
    assert found["shelves"][1]["error"]["field"] == "scenario"
    beside = {"item_id": "1", "scenario": "crooks", "budget_ms": 10_000}
    answer = service.client.post("/similar", json=beside)
    assert set(titles(answer)) == {"Goodfellas", "Titanic"}  # the dramas
