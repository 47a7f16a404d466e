"""The proof that serving and training compute the same features, and that it can fail."""

import pytest

from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.engine.scoring.modes import MODES
from app.evaluation.same_features import SCORE_TOLERANCE, TOLERANCE, compare_features
from tests.learned_rig import N_RING, engine_over, ring_name

pytestmark = pytest.mark.learning

HISTORIES = [tuple(ring_name(at + step) for step in range(3)) for at in range(N_RING)]
REQUESTS = [
    *(RankRequest(history=taken) for taken in HISTORIES),
    *(RankRequest(query=f"thing {ring_name(at)}") for at in range(N_RING)),
    *(RankRequest(query="thing", history=taken) for taken in HISTORIES),
]


def test_they_are_the_same_in_each_mode(ring_bundle):
    engine = engine_over(ring_bundle)
    same = compare_features(ring_bundle, engine, REQUESTS)
    _, _, seen = engine.pairs(REQUESTS)
    assert (
        {pairs.mode for pairs in seen} == set(ring_bundle.manifest.learned.features) <= set(MODES)
    )
    assert same["pairs"] == sum(pairs.features.shape[1] for pairs in seen) > 1000
    assert same["feature_difference"] <= TOLERANCE
    assert same["score_difference"] <= SCORE_TOLERANCE


def test_an_engine_that_computes_others_is_found_out(ring_bundle):
    engine = engine_over(ring_bundle)
    features = engine._parts.scorer.features
    features._freshness = features._freshness + 0.5
    with pytest.raises(EngineError, match="serving and training differ"):
        compare_features(ring_bundle, engine, REQUESTS)
