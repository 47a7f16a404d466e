"""Items and queries that the encoder cannot read: their words alone bring and order them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from app.core.ranking import RankRequest, RankResult
from app.core.types import Change, Mask, Matrix, TextRole
from app.engine.encoding.text_vectors import text_vectors
from app.engine.engine import RankEngine
from app.testing.encoder import HashEncoder
from tests import learned_rig
from tests.small_engine import small_engine

NOW = 1_000.0


class LatinEncoder(HashEncoder):
    """Knows words of ASCII letters only; gives all other texts one and the same vector."""

    def knows(self, texts: Sequence[str]) -> Mask:
        return np.array([any(c.isascii() and c.isalnum() for c in text) for text in texts], bool)

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> Matrix:
        known = self.knows(texts)
        return super().encode([text if known[row] else "unknown" for row, text in enumerate(texts)])


TITLES: dict[str, str | None] = {
    "ge1": "თბილისის ქუჩები",
    "ge2": "მთის გზა",
    "ge3": "ძველი თბილისი და მთა",
    "am1": "አዲስ አበባ",
    "am2": "ቀይ ባህር",
    "hy1": "Կարմիր խնձոր",
    "hy2": "Հին քաղաք",
    "en": "red apple",
    "none": None,
    "blank": "",
    "dash": "—",
}


@pytest.fixture
def engine() -> RankEngine:
    return small_engine(titles=TITLES, encoder=LatinEncoder())


def answer(engine: RankEngine, **asked: object) -> RankResult:
    return engine.rank([RankRequest(**{"k": 20, **asked})]).results[0]  # type: ignore[arg-type]


def sources(result: RankResult) -> dict[str, set[str]]:
    return {item.id: {hit.name for hit in item.sources} for item in result.items}


def test_texts_that_the_encoder_cannot_read_have_rows_of_zeros() -> None:
    encoder = LatinEncoder()
    vectors = text_vectors(["red", "ქუჩა", "", "—", "red ქუჩა"], encoder)

    assert np.linalg.norm(vectors, axis=1).round(5).tolist() == [1, 0, 0, 0, 1]
    assert vectors.dtype == np.float32
    assert text_vectors(["—", ""], encoder).tolist() == np.zeros((2, 64)).tolist()
    assert text_vectors([], encoder).shape == (0, 64)


@pytest.mark.parametrize(
    ("query", "first"), [("მთის გზა", ["ge2"]), ("አበባ", ["am1"]), ("Հին", ["hy2"])]
)
def test_a_query_that_the_encoder_cannot_read_is_answered_by_words(
    engine: RankEngine, query: str, first: list[str]
) -> None:
    result = answer(engine, query=query)
    found = sources(result)

    assert [item.id for item in result.items][: len(first)] == first
    assert not any("meaning" in names for names in found.values())
    assert "words" in found[first[0]]
    assert result.items[0].score > result.items[-1].score + 0.2
    assert len(result.items) == len(TITLES), "the rest is filled up with popular items"


@pytest.mark.parametrize("query", ["x", "what", "red apple"])
def test_an_item_without_text_is_never_brought_by_meaning(engine: RankEngine, query: str) -> None:
    found = sources(answer(engine, query=query))

    assert {name for name, names in found.items() if "meaning" in names} == {"en"}
    assert all("meaning" not in found[name] for name in ("none", "blank", "dash"))


def test_taste_by_text_never_brings_an_item_without_a_vector(engine: RankEngine) -> None:
    brought = {
        name for name, names in sources(answer(engine, history=("en",))).items() if "taste" in names
    }
    assert brought == {"en"}
    for history in (("ge1",), ("none", "blank"), ("am1", "hy1")):
        result = answer(engine, history=history, dislike=("dash",))
        assert not any("taste" in names for names in sources(result).values())
        assert all(np.isfinite(item.score) for item in result.items)


def test_words_bring_both_scripts_of_a_mixed_query(engine: RankEngine) -> None:
    result = answer(engine, query="red გზა")

    assert {item.id for item in result.items[:2]} == {"en", "ge2"}
    found = sources(result)
    assert found["en"] - {"popular"} == {"meaning", "words"}
    assert found["ge2"] - {"popular"} == {"words"}


@pytest.mark.parametrize("title", ["ახალი წიგნი", "", "!?"])
def test_an_item_that_is_put_without_readable_text_has_no_vector(
    engine: RankEngine, title: str
) -> None:
    record = {"title": title}
    engine.plan([Change(1, "new", record), Change(2, "en", record)], NOW)()
    engine.plan([Change(3, "back", {"title": "green pear"})], NOW)()

    for query in ("red apple", "green"):
        found = sources(answer(engine, query=query))
        assert {name for name, names in found.items() if "meaning" in names} == {"back"}
        assert "new" in found
    engine.plan([Change(4, "en", {"title": "red apple"})], NOW)()
    assert "meaning" in sources(answer(engine, query="apple"))["en"]


def test_a_new_item_without_a_vector_has_no_taste(tmp_path) -> None:  # type: ignore[no-untyped-def]
    engine = learned_rig.engine_over(learned_rig.build_ring(tmp_path, tmp_path / "r").bundle)
    engine.plan([Change(1, "mute", {"title": "…"}), Change(2, "x", {"title": "thing r6"})], NOW)()
    parts = engine._parts
    assert parts.learned is not None
    space = parts.learned.behaviour.taste
    mute, new = (parts.catalogue.row(name) for name in ("mute", "x"))

    assert not space.inputs[mute].any()
    assert not space.targets[mute].any()
    assert np.linalg.norm(space.targets[new]) == pytest.approx(1.0, abs=1e-5)
    result = answer(engine, history=("mute",), k=5)
    assert len(result.items) == 5
    assert all(np.isfinite(item.score) for item in result.items)


def test_fast_encoding_of_an_unreadable_query_changes_nothing(engine: RankEngine) -> None:
    parts = replace(engine._parts, fast_encoder=LatinEncoder())
    fast = RankEngine(parts, engine.info)
    queries = ["გზა", "red apple", "—"]

    plain = fast.rank([RankRequest(query=query) for query in queries]).results
    hurried = RankEngine(parts, engine.info).rank(
        [RankRequest(query=query, fast_encoding=True) for query in queries]
    )
    assert [result.items for result in hurried.results] == [result.items for result in plain]
    assert [result.degraded for result in hurried.results] == [(), ("encoder",), ()]


def test_fast_encoding_outlives_a_change(engine: RankEngine) -> None:
    live = RankEngine(replace(engine._parts, fast_encoder=LatinEncoder()), engine.info)
    live.plan([Change(1, "new", {"title": "green pear"})], NOW)()

    assert live.fast_encoding(RankRequest(query="pear")) == RankRequest(
        query="pear", fast_encoding=True
    )


def test_an_item_without_a_vector_comes_before_others_if_it_has_all_words() -> None:
    titles: dict[str, str | None] = {
        **{f"red{n}": f"red apple number {n}" for n in range(3)},
        "ge": "ქუჩა",
        "both": "red ქუჩა",
    }
    engine = small_engine({"red0": 1.0}, titles=titles, encoder=LatinEncoder())
    # The encoder reads a part of the query, and nothing of the item.
    scores = {item.id: item.score for item in answer(engine, query="ქუჩა a").items}

    assert next(iter(scores)) in {"ge", "both"}
    assert scores["ge"] > scores["red0"]
