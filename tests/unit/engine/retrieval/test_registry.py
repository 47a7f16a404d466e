"""Which sources an engine has follows from its parts, by one list."""

import numpy as np

from app.engine.kernels.topk import topk_over
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.registry import (
    FALLBACK_SOURCES,
    SOURCES,
    SourceParts,
    behaviour_sources,
    sources_of,
)
from app.engine.retrieval.similar import Similarity
from app.engine.retrieval.sources import TasteSource, VectorSource
from tests.planted import random_behaviour, random_space

N = 40
TOPK = topk_over(N)


def names(sources):
    return [source.name for source in sources]


def texts():
    titles = [f"thing {row}" for row in range(N)]
    vectors = random_space(np.random.default_rng(0), N).inputs
    return FlatIndex(vectors), LexicalIndex(lexical_arrays(titles, titles))


def test_an_engine_without_behaviour_has_taste_by_text():
    vectors, words = texts()
    made = sources_of(SourceParts(topk=TOPK, vectors=vectors, words=words))
    assert names(made) == ["meaning", "words", "taste"]
    assert isinstance(made[2], VectorSource)


def test_what_was_learned_takes_the_place_of_taste_by_text():
    vectors, words = texts()
    made = sources_of(
        SourceParts(topk=TOPK, vectors=vectors, words=words, behaviour=random_behaviour(1, N))
    )
    assert names(made) == ["meaning", "words", "behaviour", "alike", "taste"]
    assert isinstance(made[4], TasteSource)


def test_similarity_is_a_source_of_its_own():
    vectors, _ = texts()
    similarity = Similarity(random_space(np.random.default_rng(0), N).inputs, vectors, None)
    made = sources_of(SourceParts(topk=TOPK, vectors=vectors, similarity=similarity))
    assert names(made) == ["meaning", "similar", "taste"]


def test_learning_asks_only_the_sources_of_behaviour():
    assert names(behaviour_sources(random_behaviour(1, N), 0.1)) == ["behaviour", "alike", "taste"]


def test_a_signal_that_is_nowhere_is_no_source():
    some = np.linspace(0, 1, N, dtype=np.float32)
    signals = {"popularity": some, "trending": np.zeros(N, np.float32), "freshness": some}
    made = sources_of(SourceParts(topk=TOPK, signals=signals), FALLBACK_SOURCES)
    assert names(made) == ["popular", "newest"]
    assert sources_of(SourceParts(topk=TOPK)) == ()


def test_only_taste_is_registered_twice():
    registered = [spec.name for spec in (*SOURCES, *FALLBACK_SOURCES)]
    assert [name for name in {*registered} if registered.count(name) > 1] == ["taste"]
