"""Diversity, draws, popularity and shares of an answer, through a real process."""

from collections import Counter
from collections.abc import Iterator
from math import sqrt
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from app.api import schemas
from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

TAKEN = {"2", "4", "5", "6", "7"}
"""Items that somebody took: the popular ones."""

SPACE = [
    *("Space station", "Space station again", "Space station returns", "Space station forever"),
    *("Space pirates", "A garden in space", "Space dogs", "Music from space", "Space cooking"),
]
MORE = [
    {"id": f"s{n}", "title": title, "categories": ["Sci-Fi"], "published_at": 2000 + n}
    for n, title in enumerate(SPACE)
] + [
    {
        "id": f"d{n}",
        "title": f"Space documentary {n}",
        "categories": ["Documentary", "Short"][: n % 2 + 1],
    }
    for n in range(4)
]


@pytest.fixture(scope="module")
def service(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with serving(bundle, tmp_path_factory.mktemp("arranging")) as running:
        assert running.client.put("/items", json=MORE).json()["accepted"] == len(MORE)
        yield running


def answered(service: Running, **said: Any) -> dict[str, Any]:
    reply = service.recommend(**said)
    assert reply.status_code == 200, reply.text
    answer: dict[str, Any] = reply.json()
    jsonschema_rs.validate(schemas.ANSWER, answer)
    return answer


def ids(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


def test_a_diverse_answer_repeats_itself_less(service: Running) -> None:
    asked = {"query": "space station", "k": 5}
    plain, diverse = answered(service, **asked), answered(service, **asked, diversity=0.8)
    stations = {"s0", "s1", "s2", "s3"}

    assert ids(answered(service, **asked, diversity=0)) == ids(plain)
    assert stations <= set(ids(plain))
    assert ids(diverse)[0] == ids(plain)[0]
    assert len(stations & set(ids(diverse))) < len(stations)
    scores = {
        item["id"]: item["score"] for item in answered(service, **{**asked, "k": 30})["items"]
    }
    assert all(item["score"] == scores[item["id"]] for item in diverse["items"])
    assert answered(service, **asked, diversity=0.8)["cache"] == "hit"


def test_pages_of_a_diverse_answer_go_on_unlike_the_first(service: Running) -> None:
    asked = {"query": "space station", "k": 3, "diversity": 0.7}
    first = answered(service, **asked)
    second = answered(service, **asked, cursor=first["next_cursor"])
    assert not set(ids(first)) & set(ids(second))
    everything = set(ids(first)) | set(ids(second))
    assert len({"s0", "s1", "s2", "s3"} & everything) < 4


def test_a_popularity_bias_turns_the_order_and_is_in_the_score(service: Running) -> None:
    common = answered(service, popularity_bias=1.0, k=5)
    rare = answered(service, popularity_bias=-1.0, k=5)
    assert set(ids(common)) == TAKEN
    assert not TAKEN & set(ids(rare))
    least = rare["items"][2]["score"]
    enough = answered(service, popularity_bias=-1.0, k=5, min_score=least)
    assert all(item["score"] >= least for item in enough["items"])
    explained = answered(service, popularity_bias=-1.0, k=5, explain=True)
    for item in explained["items"]:
        total = explained["baseline"] + sum(item["contributions"].values())
        assert total == pytest.approx(item["score"], abs=1e-5)


def test_draws_have_the_propensities_that_the_answers_say(service: Running) -> None:
    asked = {"query": "space", "k": 3, "explore": 0.5}
    one, two = answered(service, **asked, seed=5), answered(service, **asked, seed=5)
    assert (one["items"], one["cache"], two["cache"]) == (two["items"], "bypass", "bypass")

    n, first, said = 400, Counter[str](), {}
    for seed in range(n):
        item = answered(service, **asked, seed=seed)["items"][0]
        first[item["id"]] += 1
        said[item["id"]] = item["propensity"]
        assert (item.get("placed_by") == "explore") is (item["propensity"] < 0.5)
    assert len(first) > 3
    for name, propensity in said.items():
        bound = 5 * sqrt(propensity * (1 - propensity) / n) + 1 / n
        assert abs(first[name] / n - propensity) < bound, name
    unseeded = [ids(answered(service, **asked)) for _ in range(20)]
    assert len({tuple(each) for each in unseeded}) > 3


def test_groups_get_their_share_or_the_answer_says_that_they_do_not(service: Running) -> None:
    asked = {"query": "space station", "k": 5}
    wanted = {
        "field": "categories",
        "groups": {"Documentary": {"min": 0.4}, "Sci-Fi": {"max": 0.6}, "Western": {"min": 0.1}},
    }
    answer = answered(service, **asked, exposure=wanted, fields=["categories"])
    kinds = Counter(kind for item in answer["items"] for kind in item["fields"]["categories"])

    assert (kinds["Documentary"], kinds["Sci-Fi"], kinds["Western"]) == (2, 3, 0)
    assert answer["exposure"] == {
        "field": "categories",
        "groups": {
            "Documentary": {"share": 0.4, "wanted": {"min": 0.4, "max": None}, "met": True},
            "Sci-Fi": {"share": 0.6, "wanted": {"min": None, "max": 0.6}, "met": True},
            "Western": {"share": 0.0, "wanted": {"min": 0.1, "max": None}, "met": False},
        },
    }
    by = {item["id"]: item.get("placed_by") for item in answer["items"]}
    plain = ids(answered(service, **asked))
    assert {by[name] for name in by if name not in plain} == {"exposure"}
    drawn = answered(service, **asked, exposure=wanted, explore=1.0, seed=1)
    assert drawn["exposure"] == answer["exposure"]


@pytest.mark.parametrize(
    ("said", "field", "words"),
    [
        ({"diversity": 1.5}, "diversity", "less than or equal to 1"),
        ({"popularity_bias": "much"}, "popularity_bias", "number"),
        ({"explore": -0.1}, "explore", "greater than or equal to 0"),
        (
            {"exposure": {"field": "genre", "groups": {"a": {"min": 0.1}}}},
            "exposure.field",
            "categories",
        ),
        (
            {"exposure": {"field": "published_at", "groups": {"a": {"min": 0.1}}}},
            "exposure.field",
            "time",
        ),
        (
            {"exposure": {"field": "categories", "groups": {"a": {"min": 0.9, "max": 0.1}}}},
            "exposure.groups.a",
            "min must not be above max",
        ),
    ],
)
def test_what_cannot_be_is_refused_in_words(
    service: Running, said: dict[str, Any], field: str, words: str
) -> None:
    reply = service.recommend(**said)
    error = reply.json()["error"]
    assert (reply.status_code, error["field"]) == (422, field)
    assert words in error["message"]
