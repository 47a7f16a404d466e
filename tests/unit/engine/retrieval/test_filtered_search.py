"""Filters in the engine: no source brings what fails, nothing that passes is lost, widening."""

import faiss
import numpy as np
import pytest

from app.core.errors import DeviceError, InvalidRequestError
from app.core.ranking import RankRequest, RankResult
from app.core.types import Matrix
from app.domain.filters import filter_text
from app.engine.retrieval.gpu_index import DeviceIndex
from app.engine.retrieval.index import FlatIndex, ListIndex, VectorIndex
from tests.small_engine import small_engine

SPACE = filter_text({"categories": {"any": ["space"]}})
DRAMA = filter_text({"categories": {"any": ["drama"]}})


def answer(**asked: object) -> RankResult:
    return small_engine({"mob": 1.0}).rank([RankRequest(**asked)]).results[0]  # type: ignore[arg-type]


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


@pytest.mark.parametrize(
    "asked",
    [{"query": "bank heist"}, {"history": ("heist",)}, {}, {"query": "mob", "like": ("love",)}],
)
def test_no_source_brings_what_fails(asked: dict[str, object]) -> None:
    assert set(ids(answer(filter=SPACE, **asked))) == {"alien", "star", "robot"}


def test_a_filter_holds_for_named_candidates_too() -> None:
    assert ids(answer(candidates=("heist", "star"), filter=SPACE)) == ["star"]


def test_filters_of_one_batch_do_not_mix() -> None:
    batch = [
        RankRequest(history=("heist",), filter=SPACE),
        RankRequest(history=("heist",), filter=DRAMA),
        RankRequest(history=("heist",)),
    ]
    space, drama, anything = small_engine().rank(batch).results

    assert set(ids(space)) == {"alien", "star", "robot"}
    assert set(ids(drama)) == {"mob", "love"}
    assert len(ids(anything)) == 7


def test_too_little_stays_too_little_by_default() -> None:
    result = answer(query="space", filter=DRAMA)

    assert (set(ids(result)), result.passing) == ({"mob", "love"}, None)


def test_relaxing_adds_what_fits_apart_from_the_filter() -> None:
    result = answer(query="space horror", filter=DRAMA, on_empty="relax", k=3)

    assert set(ids(result)[:2]) == {"mob", "love"}
    assert (ids(result)[2:], result.passing) == (["alien"], 2)


def test_popular_fills_up_with_what_is_popular() -> None:
    result = answer(query="drama love", filter=SPACE, on_empty="popular", k=4)

    assert (ids(result)[3:], result.passing) == (["mob"], 3)


def test_what_is_excluded_stays_out_when_widened() -> None:
    excluded = frozenset({"alien", "star"})
    result = answer(query="space", filter=DRAMA, on_empty="relax", exclude=excluded)

    assert not excluded & set(ids(result))


def test_a_filter_that_leaves_enough_is_not_widened() -> None:
    assert answer(filter=SPACE, on_empty="popular", k=3).passing is None


def test_the_door_refuses_what_the_pass_could_not_take() -> None:
    engine = small_engine()
    engine.check_filter(SPACE)

    with pytest.raises(InvalidRequestError, match="categories, year"):
        engine.check_filter(filter_text({"colour": {"eq": "red"}}))


def large_index(kind: str, vectors: Matrix) -> VectorIndex:
    if kind == "lists":
        lists = faiss.index_factory(16, "IVF64,SQ8", faiss.METRIC_INNER_PRODUCT)
        lists.train(vectors)
        lists.add(vectors)
        return ListIndex(lists, vectors, 24, 1)
    try:
        return DeviceIndex(vectors, kind)  # type: ignore[arg-type]
    except DeviceError as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.05, 0.01, 0.002])
@pytest.mark.parametrize("kind", ["lists", "cpu", "cuda"])
def test_large_catalogues_keep_their_recall_under_a_filter(kind: str, share: float) -> None:
    rng = np.random.default_rng(0)
    centres = rng.standard_normal((50, 16))
    vectors = centres[rng.integers(0, 50, 20_000)] + 0.5 * rng.standard_normal((20_000, 16))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    blocked = rng.random(20_000) >= share
    probes, n = vectors[:20], 30

    _, found = large_index(kind, vectors).search(probes, n, blocked)
    scores, exact = FlatIndex(vectors).search(probes, n, blocked)

    assert not blocked[found[found >= 0]].any()
    kept = [len(set(a) & set(b)) / n for a, b in zip(found.tolist(), exact.tolist(), strict=True)]
    assert np.mean(kept) >= 0.95
    assert np.isfinite(scores[exact >= 0]).all()


def test_facets_count_what_passes() -> None:
    engine = small_engine()
    everything = engine.facets("", ["categories", "year"], 2)
    space = engine.facets(SPACE, ["categories", "year"], 10)

    categories, year = everything.fields
    assert (everything.total, categories.count, categories.distinct) == (7, 6, 13)
    assert categories.values == (("space", 3), ("adventure", 2))  # equal counts: by name
    assert (year.count, year.low, year.high) == (5, 1977, 2020)
    assert space.total == 3
    assert dict(space.fields[0].values) == {
        "space": 3,
        "adventure": 2,
        "alien": 1,
        "horror": 1,
        "robot": 1,
        "star": 1,
    }
    assert space.fields[1].low == 1977
