"""Small requests and catalogues of real kinds that once failed, answered as a user expects.

They lie outside the repository (`RECSERVE_SHARED`/field). The requests go to a service that serves
the films of the demo, the queries to engines over the catalogues of the files.
"""

import gzip
import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from app.bundle.reader import open_bundle
from app.core.ranking import RankRequest
from app.engine.encoding.encoder import PackedEncoder
from app.engine.open import open_engine
from app.offline.build import build
from app.offline.demo import build_demo
from app.offline.input.recipe import Recipe
from tests.e2e.conftest import Running, serving

pytestmark = pytest.mark.e2e

FIELD = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "field"
ORIGIN = "https://shop.example"


def field(name: str) -> Any:
    path = FIELD / name
    if os.environ.get("RECSERVE_REQUIRE_DATA") != "1" and not path.exists():
        pytest.skip(f"RECSERVE_SHARED has no field/{name}")
    text = path.read_text()
    return [json.loads(line) for line in text.splitlines()] if name[-1] == "l" else json.loads(text)


class Builder:
    """Builds bundles with the encoder of another one: exporting takes longer than all the rest."""

    def __init__(self, bundle: Path, folder: Path) -> None:
        self._encoder = open_bundle(bundle).path / "encoder"
        self.folder = folder

    def encoder(self, _: str, folder: Path) -> PackedEncoder:
        shutil.copytree(self._encoder, folder, dirs_exist_ok=True)
        return PackedEncoder(folder, threads=2)

    def of(self, name: str, items: Sequence[dict[str, Any]]) -> Path:
        path = self.folder / f"{name}.jsonl"
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        out = self.folder / "models" / name
        build(path, None, Recipe(), out, self.encoder)
        return out


@pytest.fixture(scope="module")
def builder(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Builder:
    return Builder(bundle, tmp_path_factory.mktemp("field"))


@pytest.fixture(scope="module")
def films(builder: Builder) -> Iterator[Running]:
    out = builder.folder / "models" / "films"
    build_demo(out, builder.encoder, learning=False)
    with serving(out, builder.folder, "--cors-origins", ORIGIN) as running:
        yield running


def post_events(service: Running, events: Sequence[dict[str, Any]]) -> dict[str, Any]:
    reply = service.client.post("/events", json=events)
    assert reply.status_code == 200, reply.text
    told: dict[str, Any] = reply.json()
    return told


def found(service: Running, **said: Any) -> list[dict[str, Any]]:
    reply = service.recommend(**said)
    assert reply.status_code == 200, reply.text
    items: list[dict[str, Any]] = reply.json()["items"]
    return items


def first_of(path: Path, queries: Sequence[str], k: int = 1) -> dict[str, list[str]]:
    with closing(open_engine(path, threads=1)) as engine:
        answers = engine.rank([RankRequest(query=query, k=k) for query in queries]).results
    return {
        query: [item.id for item in answer.items]
        for query, answer in zip(queries, answers, strict=True)
    }


FIRST = {
    "thai.json": ["t1", "t1", "t3"],
    "stroke_letters.json": ["p1", "d1", "v1", "i1"],
    "negation.json": ["n2", "n4", "n4"],
    "id_query.json": ["0439064864", "54-OR323014"],
}


@pytest.mark.parametrize("name", FIRST)
def test_the_right_item_comes_first(builder: Builder, name: str) -> None:
    case = field(name)
    answers = first_of(builder.of(name[:-5], case["items"]), case["queries"])
    assert [ids[0] for ids in answers.values()] == FIRST[name]


def test_words_of_the_text_count(builder: Builder) -> None:
    case = field("body_words.json")
    answers = first_of(builder.of("body_words", case["items"]), list(case["queries"]), k=4)
    assert {query: sorted(ids) for query, ids in answers.items()} == case["queries"]


def test_an_accent_that_is_typed_prefers_itself(builder: Builder) -> None:
    case = field("accent_prefers.json")
    answers = first_of(builder.of("accents", case["items"]), case["queries"], k=2)
    assert answers["rosé"][0] == "w1"
    assert set(answers["rose"]) == {"w1", "w2"}


def test_characters_that_the_encoder_does_not_know(builder: Builder) -> None:
    case = field("han_unknown_to_encoder.json")
    answers = first_of(builder.of("han", case["items"]), case["queries"], k=2)
    assert set(answers["鲁迅"]) == set(answers["全集"]) == {"z5", "z6"}
    assert (answers["科幻"][0], answers["推理"][0]) == ("z7", "z8")


def test_items_without_text_are_not_found_by_meaning(builder: Builder) -> None:
    path = builder.of("untitled", field("untitled_items.jsonl"))
    requests = [RankRequest(query=query, k=3) for query in ("x", "...", "what", "ok")]
    with closing(open_engine(path, threads=1)) as engine:
        answers = engine.rank(requests).results
    brought = [
        (item.id, source.name) for each in answers for item in each.items for source in item.sources
    ]
    assert {item for item, source in brought if source == "meaning"} == {"u3"}


def test_beginnings_of_titles(films: Running) -> None:
    for query, title in zip(
        field("prefix.json")["queries"],
        ("Star Wars", "Godfather, The", "Toy Story"),
        strict=True,
    ):
        titles = [item["title"] for item in found(films, query=query, k=3)]
        assert any(title in each for each in titles), (query, titles)


def test_punctuation_is_no_query(films: Running) -> None:
    popular = [item["id"] for item in found(films, k=5)]
    for query in field("punctuation_query.json")["queries"]:
        assert [item["id"] for item in found(films, query=query, k=5)] == popular, query


def test_a_year_in_the_query(films: Running) -> None:
    first, second = field("year_in_query.json")["queries"]
    for query, year in ((first, 1995), (second, 1979)):
        items = found(films, query=query, k=5, fields=["published_at"])
        assert [item["fields"]["published_at"] for item in items] == [year] * 5


def test_a_new_item_leads_to_what_is_like_it(films: Running) -> None:
    field("new_item_like.json")
    added = [
        {"id": "x1", "title": "Cartoon about toys that come alive"},
        {"id": "x2", "title": "JavaScript: The Good Parts book"},
    ]
    assert films.client.put("/items", json=added).json()["accepted"] == 2
    items = found(films, history=["x1"], k=5)
    for item in added:
        assert films.client.delete(f"/items/{item['id']}").status_code == 200
    assert "x2" not in [item["id"] for item in items]
    assert any("Toy Story" in item["title"] for item in items)


def test_who_types_a_title_wants_it(films: Running) -> None:
    field("search_for_owned.json")
    post_events(films, [{"user_id": "o1", "item_id": "2571", "event": "purchase"}])
    assert found(films, user_id="o1", query="the matrix", k=5)[0]["id"] == "2571"


def test_nothing_that_was_bought_comes_back(films: Running) -> None:
    field("seen_beyond_200.json")
    bought: list[str] = []
    said: dict[str, Any] = {"k": 100}
    for _ in range(3):
        page = films.recommend(**said).json()
        bought += [item["id"] for item in page["items"]]
        said = {"k": 100, "cursor": page["next_cursor"]}
    assert len(set(bought)) == 300
    start = int(time.time()) - 1000
    post_events(
        films,
        [
            {"user_id": "heavy-1", "item_id": each, "event": "purchase", "timestamp": start + n}
            for n, each in enumerate(bought)
        ],
    )
    items = found(films, user_id="heavy-1", k=10)
    assert len(items) == 10
    assert not {item["id"] for item in items} & set(bought)


def test_a_clock_ahead_is_cut_to_now(films: Running) -> None:
    field("clock_ahead.json")
    ahead = int(time.time()) + 12 * 3600
    post_events(films, [{"user_id": "c1", "item_id": "1", "event": "dislike", "timestamp": ahead}])
    post_events(films, [{"user_id": "c1", "item_id": "1", "event": "like"}])
    assert films.client.get("/users/c1").json()["history"] == ["1"]


def test_kinds_of_events_are_taken_or_warned_about(films: Running) -> None:
    spelled = post_events(films, field("event_kind_spelling.json"))
    assert spelled["accepted"] == 3
    # The others have an event rule by now.
    assert [(w["index"], w["code"]) for w in spelled["warnings"]] == [(0, "unknown_event")]
    blank = post_events(films, field("event_kind_blank.json"))
    assert (blank["accepted"], blank["warnings"]) == (1, [])


def test_a_value_may_be_text(films: Running) -> None:
    assert post_events(films, field("value_text.json"))["accepted"] == 1


def test_a_field_that_the_bundle_does_not_have_is_left_out(films: Running) -> None:
    reply = films.client.put("/items", json=field("new_field.json"))
    assert reply.status_code == 200
    assert reply.json()["accepted"] == 1
    assert [each["code"] for each in reply.json()["warnings"]] == ["unknown_field"]
    assert films.client.delete("/items/n1").status_code == 200


def test_bodies_may_be_compressed(films: Running) -> None:
    body = gzip.compress(b'{"query":"cats"}')
    headers = {"content-type": "application/json", "content-encoding": "gzip"}
    assert films.client.post("/recommend", content=body, headers=headers).status_code == 200


def test_a_probe_by_head(films: Running) -> None:
    assert films.client.head("/livez").status_code == 200


def test_a_browser_asks_before_it_sends(films: Running) -> None:
    headers = {
        "origin": ORIGIN,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type",
    }
    reply = films.client.options("/recommend", headers=headers)
    assert reply.status_code == 204
    assert reply.headers["access-control-allow-origin"] == ORIGIN


def test_equal_titles_can_be_limited(builder: Builder, tmp_path: Path) -> None:
    case = field("same_title_six_times.json")
    with serving(builder.of("vases", case["items"]), tmp_path) as running:
        items = found(running, query=case["query"], k=2, max_per={"title": 1})
    assert [item["title"] for item in items] == ["Blue ceramic vase handmade", "Blue glass vase"]


def test_a_like_can_be_taken_back(films: Running) -> None:
    field("undo_like.json")
    event = {"user_id": "w1", "item_id": "1", "event": "like", "event_id": "like-1"}
    post_events(films, [event])
    assert films.client.get("/users/w1").json()["history"] == ["1"]
    assert films.client.delete("/events/like-1").status_code == 200
    assert films.client.get("/users/w1").status_code == 404  # nothing is known any more
