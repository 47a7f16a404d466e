"""Films that are alike, by the demo: `like` brings those that anybody would name."""

import os
from pathlib import Path

import pytest

from app.core.errors import BundleError
from app.core.ranking import RankRequest
from app.engine.open import open_engine
from tests.similar_pairs import answered, judge, pairs_of, similar

pytestmark = pytest.mark.model

DEMO = Path(__file__).resolve().parents[3] / "models/demo"


@pytest.fixture(scope="module")
def engine():
    required = os.environ.get("RECSERVE_REQUIRE_DATA") == "1"
    try:
        opened = open_engine(DEMO, 1)
    except BundleError as error:
        if required:
            raise
        pytest.skip(f"needs the demo, `recserve demo --build-only`: {error}")
    if opened.info.scorer != "learned" and not required:
        pytest.skip("needs the trained demo: `recserve demo --build-only`")
    return opened


@pytest.mark.parametrize(("fold", "least"), [("tune", 0.55), ("report", 0.39)])
def test_like_brings_films_that_are_alike_and_no_others(engine, fold, least):
    pairs = pairs_of(fold)
    by_like = judge(answered(engine, pairs, "like"), pairs)
    by_history = judge(answered(engine, pairs, "history"), pairs)

    assert len(pairs) == 15
    assert by_like.near >= max(least, by_history.near + 0.05)
    assert by_like.far == 0


def test_both_finds_more_than_either(engine):
    pairs = pairs_of("tune") + pairs_of("report")
    near = {
        by: judge(similar(engine, by, pairs), pairs).near for by in ("content", "behaviour", "both")
    }
    assert near["both"] > near["content"] > 0.3
    assert near["both"] > near["behaviour"] > 0.3


def test_the_example_of_the_documentation(engine):
    request = RankRequest(like=("1",), exclude=frozenset({"1"}), k=20)
    titles = [item.title for item in engine.rank([request]).results[0].items]
    assert {"Toy Story 2", "Bug's Life, A"} <= set(titles)
    assert "Leaving Las Vegas" not in titles
