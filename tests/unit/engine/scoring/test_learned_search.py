"""The learned score of requests with words: features, exactness, and which network is asked."""

from dataclasses import replace

import numpy as np
import pytest

from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.retrieval.index import FlatIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.scoring.exactness import HOLDS_ALL, RANGE, RAREST, WHOLE_TITLE, exactness
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.learned import LearnedScorer
from app.engine.scoring.modes import mode_of
from app.engine.scoring.pair_features import PairFeatures, TextSide
from app.engine.scoring.scorer import Scorer
from app.offline.learning.fusion import fixed_sum
from app.testing.encoder import HashEncoder
from tests.planted import random_behaviour, with_random_sides

TITLES = [f"common thing {n}" for n in range(300)] + ["rare bird song", "rare thing", "bird house"]
RARE, HALF = 300, 301


@pytest.fixture(scope="module")
def side():
    vectors = HashEncoder(16).encode(TITLES)
    freshness = np.linspace(0, 1, len(TITLES), dtype=np.float32)
    words = LexicalIndex(lexical_arrays(TITLES, TITLES))
    return TextSide(words, vectors, FlatIndex(vectors).empty, freshness)


def asked(query, vector=True):
    found = HashEncoder(16).encode([query])[0] if vector else None
    return ResolvedRequest(query=query, query_vector=found)


def column(features, columns, name):
    return columns[features.names("words").index(name)]


def test_the_mode_is_what_a_request_has():
    recent = np.array([1, 2])
    assert mode_of(ResolvedRequest()) is None
    assert mode_of(ResolvedRequest(query="a")) == "words"
    assert mode_of(ResolvedRequest(recent=recent)) == "history"
    assert mode_of(ResolvedRequest(query="a", recent=recent)) == "both"
    sides = np.array([3], np.int32)
    assert mode_of(ResolvedRequest(sides=sides)) == "history"
    assert mode_of(ResolvedRequest(query="a", sides=sides)) == "both"


def test_cosines_are_those_of_the_texts_and_0_without_a_vector(side):
    features, rows = PairFeatures(side, None, None), np.array([5, RARE, HALF])
    requests = [asked("rare bird song"), asked("rare bird song", vector=False)]
    columns = features.compute("words", requests, [rows, rows])
    expected = side.vectors[rows] @ requests[0].query_vector
    np.testing.assert_allclose(column(features, columns, "cosine.cosine")[:3], expected, rtol=1e-5)
    assert column(features, columns, "cosine.rank")[1] == 0.0
    assert column(features, columns, "cosine.gap")[1] == 0.0
    assert column(features, columns, "cosine.known").tolist() == [1, 1, 1, 0, 0, 0]
    assert not column(features, columns, "cosine.cosine")[3:].any()
    np.testing.assert_array_equal(
        column(features, columns, "item.freshness")[:3], side.freshness[rows]
    )


def test_a_changed_date_changes_the_freshness(side):
    features, rows = PairFeatures(side, None, None), np.array([5, 6])
    fresh = side.freshness.copy()
    fresh[5] = 0.75
    features.change(np.array([5]), fresh)
    columns = features.compute("words", [asked("thing")], [rows])
    assert column(features, columns, "item.freshness").tolist() == [0.75, side.freshness[6]]


def scorer_by(side, weights):
    """A scorer of words whose network is a sum of features."""
    features = PairFeatures(side, None, None)
    arrays = fixed_sum(features.names("words"), weights)
    networks = {"words": Scorer(arrays, len(features.names("words")))}
    return LearnedScorer(features, networks, len(TITLES))


@pytest.mark.parametrize("weight", [100.0, -100.0])
def test_no_likeness_comes_before_an_item_that_holds_all_words(side, weight):
    """Whatever the network says, for words of which the rarest is rare."""
    scorer = scorer_by(side, {"cosine.cosine": weight})
    rows = np.arange(len(TITLES))
    (found,) = scorer.scores([asked("bird rare")], [rows])
    assert found.reads_words
    assert int(np.argmax(found.values)) == RARE
    others = np.delete(found.values, RARE)
    assert found.values[RARE] - others[others < RAREST / 2].max() >= RAREST - 2 * RANGE


def terms(side, query, rows):
    lexical = side.words.features([query], [np.array(rows)])
    assert lexical.shape == (len(LEXICAL_FEATURES), len(rows))
    return exactness(lexical, len(TITLES)).tolist()


def test_common_words_are_an_advantage_only(side):
    assert terms(side, "common thing", [5, RARE]) == [HOLDS_ALL, 0.0]


def test_the_rarest_word_counts_where_something_holds_all_words(side):
    assert terms(side, "rare song", [RARE, HALF, 302]) == [RAREST + HOLDS_ALL, 0.0, 0.0]
    assert terms(side, "song common", [RARE, HALF, 5]) == [0.0, 0.0, 0.0]
    assert terms(side, "rare thing", [RARE, HALF, 5]) == [
        RAREST,
        RAREST + HOLDS_ALL + WHOLE_TITLE,
        0.0,
    ]


def test_a_similar_word_is_not_exact(side):
    assert terms(side, "rares", [RARE, HALF]) == terms(side, "rare", [RARE, HALF])
    assert terms(side, "birdy", [RARE, 302]) == [0.0, 0.0]
    assert terms(side, "bird rarer", [RARE, 302]) == [0.0, 0.0]


def test_a_whole_title_counts_most(side):
    assert terms(side, "song bird rare", [RARE, HALF]) == [RAREST + HOLDS_ALL + WHOLE_TITLE, 0.0]


def test_without_a_network_there_is_no_score(side):
    scorer = scorer_by(side, {"cosine.cosine": 1.0})
    history = ResolvedRequest(recent=np.array([1]))
    assert scorer.scores([ResolvedRequest(), history], [np.array([1]), np.array([2])]) == [None] * 2


def test_words_and_who_without_a_history_have_the_features_of_both(side):
    """The features of the history are 0, those of the values are there."""
    behaviour = with_random_sides(random_behaviour(1, len(TITLES)))
    features = PairFeatures(side, HistoryFeatures.over(behaviour), behaviour.items)
    names, rows = features.names("both"), np.unique(behaviour.sides.rows).astype(np.int64)
    who = np.array([0, 2, 3], np.int32)
    request = replace(asked("thing"), sides=who)
    columns = features.compute("both", [request], [rows])
    assert columns.shape == (len(names), len(rows))
    group = {name: columns[at] for at, name in enumerate(names)}
    assert (group["side.known"] == 3.0).all()
    assert group["side.who"].any()
    assert not group["sequential_ridge.total"].any()
    assert not group["fit.mean"].any()
    np.testing.assert_array_equal(group["item.popularity"], behaviour.items[0, rows])
    alone = features.compute("history", [replace(request, query="")], [rows])
    np.testing.assert_array_equal(columns[: len(alone)], alone)


def test_without_a_network_for_both_an_empty_history_leaves_it_to_the_words(side):
    behaviour = with_random_sides(random_behaviour(1, len(TITLES)))
    features = PairFeatures(side, HistoryFeatures.over(behaviour), behaviour.items)
    networks = {}
    for mode, name in (("words", "lexical.holds_all"), ("history", "side.score")):
        names = features.names(mode)
        networks[mode] = Scorer(fixed_sum(names, {name: 1.0}), len(names))
    scorer, rows = LearnedScorer(features, networks, len(TITLES)), np.arange(5, 50)
    new = replace(asked("thing"), sides=np.array([0], np.int32))
    known = replace(new, recent=np.array([1]), length=1)
    scores = scorer.scores([new, known], [rows, rows])
    assert [score.reads_words for score in scores] == [True, False]
