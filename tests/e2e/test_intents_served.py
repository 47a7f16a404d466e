"""Intents through a real process: in answers, sent back, switched off, cached, outdated."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from app.api import schemas
from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

SCIENCE_FICTION = {"categories": {"any": ["Sci-Fi"]}}


@pytest.fixture
def service(bundle: Path, tmp_path: Path) -> Iterator[Running]:
    with serving(bundle, tmp_path) as running:
        yield running


def answered(service: Running, **said: Any) -> dict[str, Any]:
    reply = service.recommend(**said)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    jsonschema_rs.validate(schemas.ANSWER, answer)
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_an_intent_is_shown_sent_back_edited_and_switched_off(service: Running) -> None:
    first = answered(service, query="romantic love story", k=3)
    back = answered(service, intent=first["intent"], k=3)
    assert (ids(back), back["intent"]) == (ids(first), first["intent"])

    edited = {**first["intent"], "residual_text": "", "sort": "newest", "filters": SCIENCE_FICTION}
    newest = answered(service, query="romantic love story", intent=edited, k=3)
    assert (ids(newest), newest["passing"]) == (["3", "1", "2"], None)
    assert newest["intent"] == edited
    oldest = answered(service, intent={"sort": "oldest", "count": 2})
    assert ids(oldest) == ["2", "1"]

    off = answered(service, query="newest films", intent=False)["intent"]
    assert (off["sort"], off["residual_text"], off["spans"]) == ("relevance", "newest films", [])
    assert answered(service)["intent"] is None


def test_words_with_demands_are_understood_cached_and_outdated(service: Running) -> None:
    said = {"query": "newest sci-fi films", "k": 3}
    first, again = answered(service, **said), answered(service, **said)
    assert (ids(first), first["cache"], again["cache"]) == (["3", "1", "2"], "miss", "hit")
    assert (first["intent"]["sort"], first["intent"]["residual_text"]) == ("newest", "")
    assert again["intent"] == first["intent"]
    assert answered(service, intent=first["intent"], k=3)["items"] == first["items"]
    assert answered(service, query="newest sci-fi films", k=3, intent=False)["cache"] == "miss"

    two = answered(service, query="two sci-fi films from the 70s")
    assert (sorted(ids(two)), two["intent"]["count"]) == (["1", "2"], 2)
    new = {"id": "9", "title": "Interstellar", "categories": ["Sci-Fi"], "published_at": 2014}
    assert service.client.put("/items", json=[new]).json()["accepted"] == 1
    assert ids(answered(service, **said)) == ["9", "3", "1"]


def test_too_few_items_give_up_demands_but_no_negation(service: Running) -> None:
    asked = {"categories": {"any": ["Sci-Fi"], "not": ["Horror"]}}
    answer = answered(service, intent={"filters": asked}, k=5)

    assert set(ids(answer)[:2]) == {"2", "3"}
    assert (len(ids(answer)), answer["passing"]) == (5, 2)
    assert "1" not in ids(answer)


def test_interpret_says_what_an_answer_shows(service: Running) -> None:
    reply = service.client.post("/interpret", json={"query": "romantic love story"})
    jsonschema_rs.validate(schemas.INTERPRETED, reply.json())
    assert reply.json()["intent"] == answered(service, query="romantic love story")["intent"]


def test_what_cannot_be_meant_is_refused(service: Running) -> None:
    wrong: list[tuple[str, dict[str, Any], str | None]] = [
        ("/recommend", {"intent": {"sort": "best"}}, "intent.sort"),
        ("/recommend", {"intent": {"filters": {"hue": {"eq": 1}}}}, "intent.filters.hue"),
        ("/recommend", {"intent": {"tone": "sad"}}, "intent.tone"),
        ("/recommend", {"max_per": {"hue": 1}}, "max_per"),
        ("/interpret", {"query": 5}, "query"),
    ]
    for path, body, field in wrong:
        reply = service.client.post(path, json=body)
        assert (reply.status_code, reply.json()["error"]["field"]) == (422, field)
        jsonschema_rs.validate(schemas.ERROR, reply.json())


def test_a_hit_goes_by_the_words_and_holds_until_what_it_depends_on_changes(
    service: Running,
) -> None:
    demanding = {"query": "films", "intent": {"filters": SCIENCE_FICTION}, "k": 3}
    plain = {"query": "romantic love story", "intent": False, "k": 2}
    for said in (demanding, plain):
        assert [answered(service, **said)["cache"] for _ in range(2)] == ["miss", "hit"]

    # A field that only filters read, of an item that is in neither answer.
    changed = service.client.patch("/items/4", json={"categories": ["Sci-Fi", "Crime"]})
    assert changed.status_code == 200
    again = answered(service, **{**demanding, "k": 4})
    assert "4" in ids(again)
    assert answered(service, **demanding)["cache"] == "miss"


def test_one_item_of_each_value_on_all_pages(service: Running) -> None:
    said = {"intent": {"sort": "oldest"}, "max_per": {"published_at": 1}, "k": 4}
    first = answered(service, **said)
    second = answered(service, **said, cursor=first["next_cursor"])

    assert ids(first) in (["2", "1", "5", "4"], ["2", "1", "5", "8"])
    assert ids(second) == ["7", "6", "3"]  # not the other film of 1995
