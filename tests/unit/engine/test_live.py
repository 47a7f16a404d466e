"""Items that change between passes: found, forgotten, hidden; as if the engine were built anew."""

from dataclasses import replace

import numpy as np
import pytest

from app.core.ranking import RankRequest
from app.core.types import Change
from app.domain.filters import filter_text
from app.engine.engine import RankEngine
from app.engine.parts import assemble
from app.engine.retrieval.gpu_index import DeviceIndex
from app.engine.retrieval.index import FlatIndex
from app.testing.encoder import HashEncoder
from tests import learned_rig
from tests.small_engine import small_engine

NOW = 1_000.0


def change(
    engine: RankEngine, *items: tuple[str, dict[str, object] | None], now: float = NOW
) -> None:
    first = engine.info.catalogue + 1
    changes = [Change(first + n, name, record) for n, (name, record) in enumerate(items)]
    engine.plan(changes, now)()


def ids(engine: RankEngine, **asked: object) -> list[str]:
    request = RankRequest(**{"k": 20, **asked})  # type: ignore[arg-type]
    return [item.id for item in engine.rank([request]).results[0].items]


@pytest.fixture
def engine() -> RankEngine:
    return small_engine({"mob": 1.0})


def test_a_new_item_is_found_by_its_words_at_once(engine: RankEngine) -> None:
    change(engine, ("new", {"title": "submarine chase", "year": 1990}))

    assert ids(engine, query="submarine")[0] == "new"
    assert ids(engine, query="submarin")[0] == "new"  # misspelt
    assert "new" in ids(engine)
    assert engine.info.n_items == 8
    item = engine.item("new")
    assert item is not None
    assert (item.title, item.fields["year"], item.fields["categories"]) == (
        "submarine chase",
        1990,
        None,
    )


def test_a_field_that_the_bundle_lacks_stays_in_the_record(engine: RankEngine) -> None:
    change(engine, ("new", {"title": "submarine chase", "maker": "Oak & Co", "hidden": False}))

    record = engine.record("new")
    assert record is not None
    assert (record["maker"], record["title"]) == ("Oak & Co", "submarine chase")
    item = engine.item("new")
    assert item is not None
    assert "maker" not in item.fields
    assert ids(engine, query="oak")[0] != "new"


def test_an_answer_shows_the_new_fields(engine: RankEngine) -> None:
    change(engine, ("star", {"title": "star peace", "year": 2001}))
    request = RankRequest(query="star", k=1, fields=("year", "categories"))
    (item,) = engine.rank([request]).results[0].items

    assert (item.id, item.title, dict(item.fields)) == (
        "star",
        "star peace",
        {"year": 2001, "categories": None},
    )


def test_a_changed_item_is_not_found_by_its_old_words(engine: RankEngine) -> None:
    assert "heist" in ids(engine, query="bank", k=1)
    change(engine, ("heist", {"title": "quiet garden"}))

    words = [
        hit.name
        for item in engine.rank([RankRequest(query="bank", k=20)]).results[0].items
        if item.id == "heist"
        for hit in item.sources
    ]
    assert "words" not in words
    assert ids(engine, query="quiet garden")[0] == "heist"


def test_a_deleted_item_is_gone_everywhere(engine: RankEngine) -> None:
    change(engine, ("mob", None))

    for asked in (
        {},
        {"query": "mob crime"},
        {"history": ("heist",)},
        {"candidates": ("mob", "heist")},
    ):
        assert "mob" not in ids(engine, **asked)
    assert engine.item("mob") is None
    assert not engine.contains("mob")
    assert engine.info.n_items == 6
    missing = engine.rank([RankRequest(history=("mob",))]).results[0].missing_ids
    assert missing == ("mob",)


def test_what_comes_back_is_there_again(engine: RankEngine) -> None:
    change(engine, ("mob", None))
    change(engine, ("mob", {"title": "mob returns"}))

    assert ids(engine, query="mob returns")[0] == "mob"
    assert engine.info.n_items == 7
    assert ids(engine)[0] == "mob"  # as popular as it was


def test_of_several_changes_of_an_item_the_last_counts(engine: RankEngine) -> None:
    change(
        engine,
        ("a", {"title": "first name"}),
        ("b", {"title": "other"}),
        ("a", {"title": "second"}),
    )
    change(engine, ("b", {"title": "gone soon"}), ("b", None))

    found = engine.item("a")
    assert found is not None
    assert found.title == "second"
    assert ids(engine, query="first name second")[0] == "a"
    assert not engine.contains("b")
    assert engine.info.catalogue == 5


def test_hidden_items_are_known_but_never_come_back(engine: RankEngine) -> None:
    change(engine, ("mob", {"title": "mob", "hidden": True}))

    assert "mob" not in ids(engine)
    assert ids(engine, candidates=("mob", "star")) == ["star"]
    assert engine.contains("mob")
    assert engine.record("mob") == {"title": "mob", "hidden": True}


def test_what_is_as_it_was_is_known_by_the_number_of_its_change(engine: RankEngine) -> None:
    change(engine, ("mob", {"title": "mob story"}), ("love", {"title": "love", "hidden": True}))
    change(engine, ("heist", None))

    assert engine.unchanged("alien", 0)
    assert [engine.unchanged("mob", since) for since in (0, 1)] == [False, True]
    assert [engine.unchanged("heist", since) for since in (2, 3)] == [False, True]
    assert engine.unchanged("nobody", 0)
    names = ("alien", "mob", "love", "heist", "nobody")
    assert [engine.visible(name) for name in names] == [True, True, False, False, False]


def test_what_only_takes_away_or_alters_fields_is_no_arrival(engine: RankEngine) -> None:
    def visible_since_seq(*items: tuple[str, dict[str, object] | None]) -> int:
        change(engine, *items)
        return engine.info.visible_since_seq

    star = engine.record("star") or {}
    assert visible_since_seq(("mob", None)) == 0
    assert visible_since_seq(("star", {**star, "year": 1978})) == 0
    assert visible_since_seq(("star", {**star, "hidden": True})) == 0
    assert visible_since_seq(("star", star)) == 4  # seen again
    assert visible_since_seq(("star", {**star, "title": "star of peace"})) == 5
    assert visible_since_seq(("mob", {"title": "mob"})) == 6
    assert visible_since_seq(("heist", None), ("new", {"title": "new"}), ("alien", None)) == 8
    assert engine.info.catalogue == 9
    assert visible_since_seq(("later", {"title": "later", "available_from": NOW + 5})) == 8
    # What was skipped may have been anything.
    assert visible_since_seq(("robot", {"title": "robot"}), ("robot", None)) == 12
    changes = [Change(15, "love", None)]
    engine.plan(changes, NOW)()
    assert engine.info.visible_since_seq == 15


def test_only_other_words_need_a_new_vector(engine: RankEngine) -> None:
    star = engine.record("star") or {}
    row = engine._parts.catalogue.row("star")
    mark = np.full(64, 0.125, np.float32)  # no text has this vector
    change(engine, ("x", {"title": "y"}))  # copies the vectors
    engine._parts.texts.vectors[row] = mark

    change(engine, ("star", {**star, "year": 1978}))
    assert np.array_equal(engine._parts.texts.vectors[row], mark)
    assert ids(engine, filter=filter_text({"year": {"gte": 1978, "lt": 1979}})) == ["star"]
    change(engine, ("star", {**star, "title": "sun"}))
    assert not np.array_equal(engine._parts.texts.vectors[row], mark)


def test_items_come_and_go_at_their_times(engine: RankEngine) -> None:
    times = {"available_from": NOW + 10, "available_until": NOW + 20}
    change(engine, ("soon", {"title": "soon", **times}))
    moments = [engine.info.moment]
    assert "soon" not in ids(engine)
    assert engine.next_boundary == NOW + 10

    engine.advance(NOW + 10)
    assert "soon" in ids(engine)
    assert engine.next_boundary == NOW + 20
    moments.append(engine.info.moment)

    engine.advance(NOW + 20)
    assert "soon" not in ids(engine)
    assert engine.next_boundary == float("inf")
    assert len({*moments, engine.info.moment}) == 3


def test_a_change_does_not_make_an_engine_miss_a_time(engine: RankEngine) -> None:
    change(engine, ("mob", {"title": "mob", "available_until": NOW + 5}))
    last = engine.info.catalogue
    engine.plan([Change(last + 1, "love", {"title": "love"})], NOW + 6)()  # before any `advance`
    assert (engine.visible("mob"), engine.visible("love")) == (False, True)
    assert engine.info.moment == int((NOW + 5) * 1e3)


def test_filters_and_facets_see_what_changed(engine: RankEngine) -> None:
    change(
        engine,
        ("new", {"title": "x", "categories": ["space"], "year": 2024}),
        ("star", {"title": "star"}),
    )
    space = filter_text({"categories": {"any": ["space"]}})

    assert set(ids(engine, filter=space)) == {"alien", "robot", "new"}
    change(engine, ("alien", None))
    assert set(ids(engine, filter=space)) == {"robot", "new"}
    facets = engine.facets(space, ["year"], 5)
    assert (facets.total, facets.fields[0].low, facets.fields[0].high) == (2, 2020, 2024)


def test_a_patch_starts_from_what_is_there(engine: RankEngine) -> None:
    assert engine.record("star") == {
        "title": "star space adventure",
        "categories": ["star", "space", "adventure"],
        "year": 1977,
    }
    assert engine.record("?") is None


def test_more_items_than_there_was_room_for(engine: RankEngine) -> None:
    for part in range(3):
        change(engine, *((f"n{part}-{n}", {"title": f"novel{part}x{n}"}) for n in range(600)))

    assert engine.info.n_items == 7 + 1800
    for part in range(3):
        assert ids(engine, query=f"novel{part}x599", k=1) == [f"n{part}-599"]
    assert ids(engine, query="space alien", k=1) == ["alien"]


def test_a_new_item_has_no_rating(engine: RankEngine) -> None:
    rated = np.full(len(engine._parts.catalogue), 4.5, np.float32)
    parts = replace(engine._parts, signals={**engine._parts.signals, "rated": rated})
    engine = RankEngine(parts, engine.info)
    change(engine, ("new", {"title": "submarine chase"}), ("heist", {"title": "quiet heist"}))

    grown, row = engine._parts.signals["rated"], engine._parts.catalogue.row
    assert np.isnan(grown[row("new")])
    assert grown[[row("heist"), row("mob")]].tolist() == [4.5, 4.5]
    assert engine._parts.signals["popularity"][row("new")] == 0.0
    assert ids(engine, query="submarine")[0] == "new"


def test_a_plan_changes_nothing_until_it_is_performed(engine: RankEngine) -> None:
    before = ids(engine, query="crime submarine")
    changes = [Change(1, "new", {"title": "submarine"}), Change(2, "mob", None)]
    make_changes = engine.plan(changes, NOW)

    assert ids(engine, query="crime submarine") == before
    assert engine.info.catalogue == 0
    make_changes()
    assert engine.info.catalogue == 2


def test_words_weigh_the_same_in_either_index(engine: RankEngine) -> None:
    twin = {"title": "robot space adventure"}
    change(engine, ("twin", twin))
    found = {
        i.id: i for i in engine.rank([RankRequest(query="robot space", k=20)]).results[0].items
    }

    scores = [{h.name: h.score for h in found[name].sources}["words"] for name in ("robot", "twin")]
    assert scores[1] == pytest.approx(scores[0], rel=0.1)


@pytest.mark.learning
def test_a_new_item_joins_the_taste_of_its_neighbours(tmp_path) -> None:  # type: ignore[no-untyped-def]
    report = learned_rig.build_ring(tmp_path, tmp_path / "ring")
    engine = learned_rig.engine_over(report.bundle)
    history = ("r3", "r4", "r5")
    before = ids(engine, history=history, k=5, exclude=frozenset(history))
    change(engine, ("twin", {"title": "thing r6", "categories": ["blue"]}))
    taste = engine._parts.learned.behaviour.taste  # type: ignore[union-attr]
    row = engine._parts.catalogue.row("twin")

    assert np.linalg.norm(taste.targets[row]) == pytest.approx(1.0, abs=1e-5)
    assert np.linalg.norm(taste.targets[row + 1 :]) == 0
    assert ids(engine, history=history, k=5, exclude=frozenset({*history, "twin"})) == before
    # Nothing was learned of it: where it is the history, or liked, its text says what is similar.
    for field in ("history", "like"):
        assert ids(engine, k=1, exclude=frozenset({"twin"}), **{field: ("twin",)}) == ["r6"]
    change(engine, ("r6", {"title": "renamed"}))
    # Behaviour belongs to the item, whatever it is called now.
    assert "r6" in ids(engine, history=history, k=5, exclude=frozenset(history))


def test_a_list_index_finds_what_changed() -> None:
    faiss = pytest.importorskip("faiss")
    from app.engine.retrieval.index import ListIndex  # noqa: PLC0415 - beside the library

    encoder = HashEncoder(16)
    vectors = encoder.encode([f"w{n} v{n % 50}" for n in range(4000)])
    index = faiss.index_factory(16, "IVF32,SQ8", faiss.METRIC_INNER_PRODUCT)
    index.train(vectors)
    index.add(vectors)
    grown = np.concatenate([vectors, encoder.encode(["brand new"]), np.zeros((9, 16), np.float32)])
    live = ListIndex(index, vectors, 4, 1).over(grown)
    grown[7] = encoder.encode(["changed since"])[0]
    live.put(np.array([4000]))
    live.put(np.array([7]))
    blocked = np.zeros(len(grown), np.bool_)
    blocked[4001:] = True

    for text, row in (("brand new", 4000), ("changed since", 7)):
        probe = encoder.encode([text])
        _, found = live.search(probe, 5, blocked)
        assert found[0, 0] == row
        _, exact = FlatIndex(grown).search(probe, 1, blocked)
        assert exact[0, 0] == row
    assert live.merge() is None  # so few are scored for every probe
    blocked[4000] = True
    assert 4000 not in live.search(encoder.encode(["brand new"]), 50, blocked)[1]


def test_a_device_index_finds_what_changed(engine: RankEngine) -> None:
    parts = engine._parts
    texts = replace(parts.texts, index=DeviceIndex(parts.texts.vectors, "cpu"))
    assembled = assemble(parts.catalogue, parts.encoder, texts, parts.signals)
    live = RankEngine(assembled, engine.info)
    before = live.rank([RankRequest(query="space", k=3)]).results[0].items
    change(live, ("new", {"title": "submarine chase"}), ("heist", {"title": "quiet garden"}))
    change(live, ("star", None))

    assert isinstance(live._parts.texts.index, DeviceIndex)
    for query, name in (("submarine chase", "new"), ("quiet garden", "heist")):
        (item,) = live.rank([RankRequest(query=query, k=1)]).results[0].items
        assert item.id == name
        assert {hit.name for hit in item.sources} == {"meaning", "words", "holders"}
    after = live.rank([RankRequest(query="space", k=3)]).results[0].items
    assert "star" in [item.id for item in before]
    assert "star" not in [item.id for item in after]
    assert ids(live, history=("new",), k=1) != []


def test_the_parts_of_a_bundle_stay_as_they_were(engine: RankEngine) -> None:
    before = engine._parts
    copy = before.texts.vectors.copy()
    change(engine, ("alien", {"title": "other"}))

    assert np.array_equal(before.texts.vectors, copy)
