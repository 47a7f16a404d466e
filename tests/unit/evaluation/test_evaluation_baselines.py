"""Baselines against brute force and closed forms, and how a missing library is reported."""

import math
import sys

import numpy as np
import pytest

from app.core.errors import UsageError
from app.evaluation.baselines import peer
from app.evaluation.baselines.als import Als
from app.evaluation.baselines.base import (
    BaselineQuery,
    TrainingData,
    UnavailableError,
    check_dense,
    decayed,
    optional,
)
from app.evaluation.baselines.behaviour import Ease, Hybrid, ItemKnn, Ridge, inverse_gram
from app.evaluation.baselines.registry import BASELINES, parse_names, suited_baselines
from app.evaluation.baselines.simple import Bm25, Meaning, Popularity, WordsAndMeaning
from app.evaluation.baselines.trees import LambdaMart
from app.evaluation.names import BASELINE_NAMES
from app.testing.encoder import HashEncoder
from tests.evaluation_rig import walks

TITLES = ["red sofa", "red table", "oak table", "lamp", ""]
SEQUENCES = [[0, 1, 2], [1, 2, 3], [0, 1], [3], [2, 0, 1, 3]]


def train(sequences=SEQUENCES, titles=TITLES) -> TrainingData:
    rows = [np.array(s, dtype=np.int64) for s in sequences]
    return TrainingData(rows, titles, HashEncoder(16).encode(titles), seed=0)


def ask(*history: int) -> BaselineQuery:
    return BaselineQuery(np.array(history, dtype=np.int64))


def fitted(model, data: TrainingData | None = None):
    model.fit(data or train())
    return model


def test_decay_counts_from_the_newest_and_keeps_the_newer_of_two():
    rows = decayed([np.array([3, 1, 3, 0]), np.array([], np.int64)], 4, 0.5).toarray()
    assert rows.tolist() == [[1.0, 0.25, 0.0, 0.5], [0.0] * 4]
    long = decayed([np.arange(60)], 60, 1.0).toarray()
    assert long.sum() == 50
    assert decayed([np.arange(60)], 60, 1.0, None).toarray().sum() == 60


def test_popularity_counts_events():
    assert fitted(Popularity()).scores([ask(0), ask()]).tolist() == [[3, 4, 3, 3, 0]] * 2


def test_item_knn_is_what_its_formula_says():
    a = np.zeros((5, 5))
    for s in SEQUENCES:
        for i in range(len(s)):
            for j in range(i + 1, min(len(s), i + 9)):
                a[s[i], s[j]] += (j - i) ** -0.5
    c = np.maximum(np.bincount(np.concatenate(SEQUENCES), minlength=5), 1.0) ** -0.2
    near = (a + 0.25 * a.T) * np.outer(c, c)
    expected = near[2] + 0.7 * near[0]
    assert fitted(ItemKnn()).scores([ask(0, 2)])[0] == pytest.approx(expected, rel=1e-5)


def test_ease_is_the_regression_without_a_diagonal():
    x = np.zeros((5, 5))
    for row, s in enumerate(SEQUENCES):
        x[row, s] = 1.0
    model = fitted(Ease())
    gram = x.T @ x + 200.0 * np.eye(5)
    for item in range(5):  # each column: least squares on the other items only
        others = [i for i in range(5) if i != item]
        solved = np.linalg.solve(gram[np.ix_(others, others)], gram[others, item])
        got = model.scores([ask(i) for i in others])[:, item]
        assert got == pytest.approx(solved, rel=1e-3, abs=1e-6)


def test_ridge_solves_its_normal_equations():
    past, future, rows = Ridge.past, Ridge.future, []
    for s in SEQUENCES:
        for place in range(1, len(s)):
            x, y = np.zeros(5), np.zeros(5)
            for age, item in enumerate(reversed(s[:place])):
                x[item] = past**age
            for distance, item in enumerate(s[place:]):
                y[item] = future**distance
            rows.append((x, y))
    x, y = (np.array(side) for side in zip(*rows, strict=True))
    weights = np.linalg.solve(x.T @ x + 50.0 * np.eye(5), x.T @ y)
    expected = weights[1] + math.exp(-1 / 3) * weights[0]
    assert fitted(Ridge()).scores([ask(0, 1)])[0] == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_the_inverse_is_mirrored_across_blocks():
    x = decayed([np.array(s) for s in np.random.default_rng(0).integers(0, 2100, (50, 5))], 2100, 1)
    inverse = inverse_gram(x, 3.0)
    gram = (x.T @ x).toarray() + 3.0 * np.eye(2100)
    assert np.abs(inverse @ gram - np.eye(2100)).max() < 1e-4


def test_the_hybrid_is_ridge_and_a_little_meaning():
    asks = [ask(0, 1)]
    expected = fitted(Ridge()).scores(asks) + 0.05 * fitted(Meaning()).scores(asks)
    assert fitted(Hybrid()).scores(asks) == pytest.approx(expected, abs=1e-6)


def test_bm25_by_hand():
    idf = math.log1p((5 - 2 + 0.5) / (2 + 0.5))  # "red" stands in two of five titles
    mean = 7 / 5
    tf = 1 * 2.2 / (1 + 1.2 * (0.25 + 0.75 * 2 / mean))
    scores = fitted(Bm25()).scores([BaselineQuery(np.empty(0, np.int64), "Red unknown")])[0]
    assert scores == pytest.approx([idf * tf, idf * tf, 0, 0, 0], rel=1e-5)


def test_bm25_of_a_history_asks_with_its_words():
    scores = fitted(Bm25()).scores([ask(0)])[0]
    assert np.argmax(scores) == 0
    assert scores[1] > scores[3] == 0.0


def test_meaning_takes_the_query_or_the_history():
    data = train()
    query = HashEncoder(16).encode(["oak table"])[0]
    empty = np.empty(0, np.int64)
    by_query, by_history = fitted(Meaning(), data).scores(
        [BaselineQuery(empty, "oak table", query), ask(2)]
    )
    assert by_query == pytest.approx(data.vectors @ query, abs=1e-6)
    assert by_history == pytest.approx(data.vectors @ data.vectors[2], abs=1e-6)
    both = fitted(WordsAndMeaning(), data).scores([BaselineQuery(empty, "oak table", query)])[0]
    assert both[2] == pytest.approx(2.0)  # first in both


def learnable() -> TrainingData:
    sequences = walks(300, 60, seed=1)
    rows = [[int(item[1:]) for item in items] for items in sequences.values()]
    return train(rows, [f"thing {n}" for n in range(60)])


def test_als_puts_what_goes_together_together():
    pytest.importorskip("implicit", reason="the extra eval is not installed")
    scores = fitted(Als(), learnable()).scores([ask(10, 11, 12)])
    assert scores.shape == (1, 60)
    assert set(np.argsort(-scores[0])[:8].tolist()) & {9, 13, 14}


def test_lambdamart_learns_the_step_to_the_next():
    pytest.importorskip("lightgbm", reason="the extra eval is not installed")
    model = LambdaMart()
    model.rounds = 20
    scores = fitted(model, learnable()).scores([ask(3, 4, 5), ask(20, 21)])
    assert np.argmax(scores, axis=1).tolist() == [6, 22]
    assert np.isneginf(scores[0, [3, 4, 5]]).all()


def test_lambdamart_without_anything_to_learn_says_so():
    pytest.importorskip("lightgbm", reason="the extra eval is not installed")
    with pytest.raises(UnavailableError, match="too few events"):
        LambdaMart().fit(train([[0], [1]]))


def test_a_missing_library_is_named_with_its_cure():
    assert "no_such_library" not in sys.modules
    with pytest.raises(
        UnavailableError, match=r"no_such_library is not installed.*recserve\[eval\]"
    ):
        optional("no_such_library")


def test_a_catalogue_beyond_the_dense_bound_is_refused():
    check_dense(20_000)
    with pytest.raises(UnavailableError, match="30,000 items: the dense product would take 11 GB"):
        check_dense(30_000)


def test_names():
    assert parse_names("all") == tuple(BASELINES) == BASELINE_NAMES
    assert suited_baselines(parse_names("all"), words=True) == ("minilm", "bm25", "bm25+minilm")
    assert "bm25+minilm" not in suited_baselines(parse_names("all"), words=False)
    assert suited_baselines(("sasrec",), words=False) == ("sasrec",)
    assert suited_baselines(("sasrec",), words=True) == ()
    with pytest.raises(UsageError, match="'eaze' is none of all, none, popularity"):
        parse_names("ease,eaze")


def test_sasrec_trains_and_answers_with_lists_of_unseen_items():
    if not peer.ready():
        pytest.skip(
            "the environment of loadtest/peers/sasrec is not there: `make evaluate` makes it"
        )
    data = learnable()
    histories = [np.array([3, 4, 5]), np.array([20, 21])]
    options = ("--epochs", "30", "--k", "10", "--factors", "32")
    answers = peer.ask_sasrec(data, histories, np.array([6, 22]), options)
    assert answers.rows.shape == (2, 10)
    assert not set(answers.rows[0].tolist()) & {3, 4, 5}
    assert (answers.ranks < 5).all()
