"""Proves that serving and training compute the same features, and so the same scores.

The engine tells what its scorer sees of some requests. The same pairs are computed once more by the
code of training, in plain numpy, from the files of the bundle. A difference of a feature counts in
its standard deviations, as the network sees it. A rank may move by a place where two values are
nearly equal, so ranks are left out of that figure; the scores contain them.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np

from app.bundle.reader import Bundle, load_arrays, load_vectors
from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.engine.catalogue.behaviour import behaviour_of
from app.engine.engine import RankEngine
from app.engine.kernels.features import Features
from app.engine.kernels.lexical_features import NumpyLexicalFeatures
from app.engine.open import networks_of
from app.engine.retrieval.index import EmptyRows
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.learned import LearnedScorer
from app.engine.scoring.pair_features import PairFeatures, TextSide

MOST_REQUESTS: Final = 256

TOLERANCE: Final = 0.02
"""Largest difference of a feature, in its standard deviations."""

SCORE_TOLERANCE: Final = 0.05
"""Largest difference of a score; the networks keep theirs within ±12."""


def compare_features(
    bundle: Bundle, engine: RankEngine, requests: Sequence[RankRequest]
) -> dict[str, Any] | None:
    """Return how far serving and training differ; None where nothing was learned.

    Raises:
        EngineError: they differ by more than the tolerances.
    """
    networks = networks_of(bundle)
    if not networks:
        return None
    oracle = _in_numpy(bundle)
    scorer = LearnedScorer(oracle, networks, bundle.manifest.n_items)
    arrays = load_arrays(bundle, "scorer.safetensors")
    n_pairs, feature_difference, score_difference = 0, 0.0, 0.0
    resolved, candidates, seen = engine.pairs(requests[:MOST_REQUESTS])
    for pairs in seen:
        names = oracle.names(pairs.mode)
        # Training has no cosines of an index.
        plain = [replace(resolved[position], cosines=None) for position in pairs.positions]
        rows = [candidates[position] for position in pairs.positions]
        expected = oracle.compute(pairs.mode, plain, rows)
        unit = np.maximum(arrays[f"{pairs.mode}/deviation"], 1e-6)
        compared = [line for line, name in enumerate(names) if not name.endswith("rank")]
        apart = np.abs(pairs.features - expected)[compared] / unit[compared, None]
        scores = [scorer.score(pairs.mode, columns) for columns in (pairs.features, expected)]
        n_pairs += expected.shape[1]
        feature_difference = max(feature_difference, float(apart.max(initial=0.0)))
        score_difference = max(score_difference, float(np.ptp(scores, axis=0).max(initial=0.0)))
    if feature_difference > TOLERANCE or score_difference > SCORE_TOLERANCE:
        raise EngineError(
            "serving and training differ: features by up to "
            f"{feature_difference:.4f} standard deviations, scores by up to {score_difference:.4f}"
        )
    return {
        "pairs": n_pairs,
        "feature_difference": round(feature_difference, 6),
        "score_difference": round(score_difference, 6),
    }


def _in_numpy(bundle: Bundle) -> PairFeatures:
    """Return what computes the features of training from the files of a bundle, in numpy."""
    facts, n_items = bundle.manifest.learned, bundle.manifest.n_items
    vectors = np.asarray(load_vectors(bundle))
    words = LexicalIndex(
        load_arrays(bundle, "words.safetensors"), features_over=NumpyLexicalFeatures
    )
    freshness = load_arrays(bundle, "signals.safetensors")["freshness"]
    side = TextSide(words, vectors, EmptyRows(vectors), freshness)
    if facts is None or not facts.decays:
        return PairFeatures(side, None, None)
    behaviour = behaviour_of(load_arrays(bundle, "behaviour.safetensors"), facts.decays, n_items)
    history = HistoryFeatures(Features(behaviour), behaviour)
    return PairFeatures(side, history, behaviour.items)
