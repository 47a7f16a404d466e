"""Explanations and `POST /why-not` over HTTP, by a service over a bundle built from files."""

from collections.abc import Iterator
from math import fsum
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(bundle, tmp_path_factory.mktemp("explaining")) as running:
        yield running


def why_not(service: Running, item_id: str, **request: Any) -> dict[str, Any]:
    body = {"request": {"budget_ms": 10_000, **request}, "item_id": item_id}
    answer = service.client.post("/why-not", json=body)
    assert answer.status_code == 200, answer.text
    lost: dict[str, Any] = answer.json()
    return lost


def test_an_answer_says_what_adds_to_its_scores_and_why(service: Running) -> None:
    answer = service.recommend(query="star wars", user_id="ann", explain=True).json()
    first = answer["items"][0]
    assert first["title"] == "Star Wars"
    assert first["reason"] == "Its title has your words: star, wars."
    assert first["evidence"]["words"] == [
        {"word": "star", "fields": ["title"]},
        {"word": "wars", "fields": ["title"]},
    ]
    assert max(first["contributions"], key=first["contributions"].get) == "words"
    for item in answer["items"]:
        total = fsum([answer["baseline"], *item["contributions"].values()])
        assert total == pytest.approx(item["score"], abs=1e-9)
    plain = service.recommend(query="star wars", user_id="ann").json()
    assert [item["id"] for item in plain["items"]] == [item["id"] for item in answer["items"]]
    assert "baseline" not in plain


def test_the_reason_is_in_the_language_of_the_context(service: Running) -> None:
    context = {"language": "es-MX"}
    answer = service.recommend(context=context, explain=True).json()
    assert answer["items"][0]["reason"] == "Es el número 1 de 8 por popularidad."
    answer = service.recommend(history=["4"], explain=True).json()
    assert answer["items"][0]["evidence"]["items"][0]["title"] == "Heat"


def test_in_a_strict_order_the_reason_tells_the_order(service: Running) -> None:
    answer = service.recommend(query="newest films", explain=True).json()
    first = answer["items"][0]
    year = first["evidence"]["order"]["value"]
    assert first["evidence"]["order"] == {
        "sort": "newest",
        "field": "published_at",
        "value": year,
    }
    assert first["reason"] == f"The newest come first: it is from {year}."
    answer = service.recommend(query="最新电影", explain=True).json()
    assert answer["items"][0]["reason"] == f"最新的排在前面：它的时间是{year}。"


def test_why_an_item_is_not_there(service: Running) -> None:
    stages = {
        why_not(service, "2", query="star wars")["stage"],
        why_not(service, "nope")["stage"],
        why_not(service, "4", user_id="ann")["stage"],
        why_not(service, "1", history=["1"])["stage"],
        why_not(service, "1", filter={"categories": {"any": ["Comedy"]}})["stage"],
        why_not(service, "1", query="star wars", k=1)["stage"],
        why_not(service, "1", query="comedies", min_score=99)["stage"],
    }
    assert stages >= {"answered", "unknown", "seen", "excluded", "filtered", "outranked"}
    hidden = {"hidden": True}
    assert service.client.patch("/items/7", json=hidden).status_code == 200
    lost = why_not(service, "7", query="titanic")
    assert (lost["stage"], lost["sentence"]) == ("hidden", "It is hidden.")


def test_a_negation_of_the_query_has_lost_it(service: Running) -> None:
    lost = why_not(service, "5", query="crime films without drama")
    assert lost["stage"] == "filtered"
    assert lost["details"]["by"] == "intent"
