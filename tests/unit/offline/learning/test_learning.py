"""Examples, training and the whole of learning, on behaviour with a planted pattern."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from app.engine.kernels.features import Features
from app.engine.kernels.topk import NumpyTopK
from app.engine.retrieval.registry import behaviour_sources
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import retrieve
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.scorer import Scorer
from app.offline.learning.examples import (
    HARD_NEGATIVES,
    KINDS,
    RANDOM_NEGATIVES,
    TrainingQuery,
    draw_examples,
    unlearned_score,
)
from app.offline.learning.gains import UNJUDGED, JudgedGains
from app.offline.learning.learn import MIN_EXAMPLES, learn
from app.offline.learning.negatives import Negatives, Skipped
from app.offline.learning.step_goals import StepGoals
from app.offline.learning.train_scorer import listwise, padded, split, train
from app.testing.encoder import HashEncoder
from tests.planted import (
    NOBODY,
    NOTHING,
    as_sequences,
    firsts,
    planted_lists,
    random_behaviour,
    ring_walks,
)

pytestmark = pytest.mark.learning

N_ITEMS = 40
MANY = 300


def queries(behaviour, n, seed=0):
    """Histories without repeats, and answers anywhere among the rest."""
    rng = np.random.default_rng(seed)
    n_items = behaviour.items.shape[1]
    found = []
    for _ in range(n):
        rows = rng.permutation(n_items)
        size = int(rng.integers(1, 26))
        found.append(
            TrainingQuery(rows[:size], int(rows[size]), float(rng.uniform(0.5, 2)), rows[30:33])
        )
    return found


def found_by(query, sources):
    """Return the candidates of one query, asked alone: what was taken is hidden."""
    one = ResolvedRequest(recent=query.recent[:20], hidden=query.recent)
    (hits,) = retrieve([one], sources)
    return NumpyTopK(MANY).union([[one.rows for one in hits.values()]])[0]


@pytest.mark.parametrize("n_items", [N_ITEMS, MANY])
def test_examples_are_what_serving_will_see(n_items):
    behaviour = random_behaviour(2, n_items)
    features = Features(behaviour)
    # Without *taste*, which finds all of so few items, answers are missed now and then.
    sources = behaviour_sources(behaviour, 0.1)[: 2 if n_items == N_ITEMS else 3]
    batch = queries(behaviour, 70)
    drawn = draw_examples(batch, sources, HistoryFeatures(features, behaviour), 0)
    hits = [query for query in batch if query.target in found_by(query, sources)]

    assert drawn.n_queries == 70
    assert len(drawn) == len(hits)
    assert (len(hits) < 70) == (n_items == N_ITEMS)
    np.testing.assert_allclose(
        drawn.sample_weight, [query.sample_weight for query in hits], rtol=1e-6
    )
    for at, query in enumerate(hits):
        rows = found_by(query, sources)
        direct = features.compute([query.recent[:20]], [len(query.recent)], [rows])
        kept = drawn.features[drawn.offsets[at] : drawn.offsets[at + 1]].astype(np.float32)
        right = direct[:, rows.tolist().index(query.target)]
        np.testing.assert_allclose(kept[0], right, rtol=1e-3, atol=1e-4)  # kept in half precision
        assert not set(query.recent.tolist()) & set(rows.tolist())


@pytest.mark.parametrize("n_items", [N_ITEMS, MANY])
def test_the_sample_stands_for_all_candidates(n_items):
    behaviour = random_behaviour(3, n_items)
    sources, batch = behaviour_sources(behaviour, 0.1), queries(behaviour, 70)
    drawn = draw_examples(batch, sources, HistoryFeatures(Features(behaviour), behaviour), 0)
    for at, query in enumerate(batch):
        logs = drawn.log_weights[drawn.offsets[at] : drawn.offsets[at + 1]]
        n = len(found_by(query, sources))
        each = max((n - HARD_NEGATIVES) / RANDOM_NEGATIVES, 1)
        assert logs[0] == 0.0
        assert len(logs) <= 1 + HARD_NEGATIVES + RANDOM_NEGATIVES
        stood = np.exp(logs)
        assert (np.isclose(stood, 1.0) | np.isclose(stood, each)).all()
        # The right one stands for itself; whether it was drawn among the rest as well is chance.
        assert stood.sum() == pytest.approx(n, abs=max(each - 1, 1) + 1e-3)
        if n <= HARD_NEGATIVES + RANDOM_NEGATIVES:
            assert stood.sum() == pytest.approx(n, rel=1e-5)


def test_the_hardest_negatives_and_disliked_items_are_always_sampled():
    behaviour = random_behaviour(4, MANY)
    features, sources = Features(behaviour), behaviour_sources(behaviour, 0.1)
    (query,) = queries(behaviour, 1)
    rows = found_by(query, sources)
    columns = features.compute([query.recent[:20]], [len(query.recent)], [rows])
    order = np.argsort(-unlearned_score(columns, features.names), kind="stable")
    disliked = rows[order[-3:]]  # the easiest of all: they would seldom be drawn
    with_dislikes = TrainingQuery(query.recent, query.target, 1.0, disliked)
    for seed in range(3):
        kept = draw_examples(
            [with_dislikes], sources, HistoryFeatures(features, behaviour), seed
        ).features.tolist()
        wanted = columns.T.astype(np.float16).tolist()
        assert all(wanted[place] in kept for place in [*order[: HARD_NEGATIVES - 3], *order[-3:]])


@pytest.mark.parametrize("n_shown", [3, HARD_NEGATIVES + 20])
def test_skipped_items_are_sampled_whether_a_source_finds_them_or_not(n_shown):
    behaviour = random_behaviour(5, MANY)
    features, sources = Features(behaviour), behaviour_sources(behaviour, 0.1)[:2]
    plain = [one for one in queries(behaviour, 9) if one.target in found_by(one, sources)]
    hidden = [np.append(one.recent, one.target) for one in plain]
    brought = [found_by(one, sources) for one in plain]
    rng = np.random.default_rng(0)
    left = [
        np.concatenate([
            np.setdiff1d(rows, without)[:2],
            rng.permutation(np.setdiff1d(np.arange(MANY), [*rows, *without]))[: n_shown - 2],
        ])
        for rows, without in zip(brought, hidden, strict=True)
    ]  # fmt: skip
    batch = [replace(one, skipped=rows) for one, rows in zip(plain, left, strict=True)]
    assert len(batch) > 2

    drawn = draw_examples(batch, sources, HistoryFeatures(features, behaviour), 0)
    assert (len(drawn), drawn.n_with_skipped) == (len(plain), len(plain))
    assert (
        draw_examples(plain, sources, HistoryFeatures(features, behaviour), 0).n_with_skipped == 0
    )
    for at, query in enumerate(batch):
        rows = np.concatenate([brought[at], np.setdiff1d(query.skipped, brought[at])])
        direct = features.compute([query.recent[:20]], [len(query.recent)], [rows])
        shown = direct[:, np.isin(rows, query.skipped)].T.astype(np.float16).tolist()
        part = slice(drawn.offsets[at], drawn.offsets[at + 1])
        logs = drawn.log_weights[part].tolist()
        kept = drawn.features[part].tolist()
        stands = [logs[kept.index(one)] for one in shown if one in kept]
        assert stands.count(0.0) >= min(n_shown, HARD_NEGATIVES)  # for themselves alone


def test_queries_whose_target_no_source_finds_give_no_examples():
    behaviour = random_behaviour(2, N_ITEMS)
    seen = TrainingQuery(
        np.array([1, 2]), 1, 1.0, np.empty(0, np.int64)
    )  # hidden: no source brings it
    for batch in ([], [seen]):
        drawn = draw_examples(
            batch,
            behaviour_sources(behaviour, 0.1),
            HistoryFeatures(Features(behaviour), behaviour),
            0,
        )
        assert (len(drawn), drawn.n_queries, len(drawn.features)) == (0, len(batch), 0)
        assert drawn.offsets.tolist() == [0]


def test_training_is_the_same_for_the_same_seed_and_finds_the_pattern():
    examples = planted_lists()
    one, again, other = (train(examples, seed) for seed in (0, 0, 1))
    assert all((one.arrays[name] == again.arrays[name]).all() for name in one.arrays)
    assert (one.loss, one.epoch) == (again.loss, again.epoch)
    assert any((one.arrays[name] != other.arrays[name]).any() for name in one.arrays)
    assert one.loss < 0.4 * math.log(8)  # a guess among about eight
    assert firsts(planted_lists(200, seed=9), Scorer(one.arrays, 4).score) > 0.85


@pytest.mark.parametrize("shift", [0.0003, 0.5])
def test_a_feature_constant_in_training_does_not_disturb_serving(shift):
    """All histories of one length, say: serving has others, and half precision rounds these."""
    scorer = Scorer(train(planted_lists(constant=1.9459), 0).arrays, 4)
    unseen = planted_lists(200, seed=9, constant=1.9459)
    usual = firsts(unseen, scorer.score)
    assert usual > 0.85
    assert firsts(unseen, scorer.score, shift) > usual - 0.03


@pytest.mark.parametrize(
    "constant",
    [
        None,
        1.9459,
    ],
)
def test_scores_have_the_digits_of_float32(constant):
    """Else they depend on how a matrix product rounds, which depends on who shares the batch."""
    examples = planted_lists(constant=constant)
    arrays = train(examples, 0).arrays
    exact = {name: array.astype(np.float64) for name, array in arrays.items()}
    inputs = (examples.features.astype(np.float64) - exact["mean"]) / exact["deviation"]
    hidden = np.maximum(np.clip(inputs, -6, 6) @ exact["w1"].T + exact["b1"], 0)
    scores = np.maximum(hidden @ exact["w2"].T + exact["b2"], 0) @ exact["w3"]
    columns = np.ascontiguousarray(examples.features.T, np.float32)
    np.testing.assert_allclose(Scorer(arrays, 4).score(columns), scores, atol=1e-4)


def test_examples_are_split_into_training_and_validation():
    learned, stop = split(100, 0)
    assert sorted([*learned.tolist(), *stop.tolist()]) == list(range(100))
    assert len(stop) == 10
    assert [len(part) for part in split(2, 0)] == [1, 1]


def test_padding_has_no_weight_in_the_softmax():
    examples = planted_lists(5)
    features, logs, gains = padded(examples, np.array([3, 1]))
    for line, example in enumerate((3, 1)):
        part = slice(examples.offsets[example], examples.offsets[example + 1])
        size = part.stop - part.start
        np.testing.assert_array_equal(features[line, :size], examples.features[part])
        assert not logs[line, :size].any()
        assert (logs[line, size:] < -1e8).all()
        assert gains[line].tolist() == [1.0] + [0.0] * (gains.shape[1] - 1)


def test_gains_share_the_softmax():
    scores = torch.tensor([[0.3, -0.2, 0.9]])
    logs, gains = torch.zeros(1, 3), torch.tensor([[1.0, 1.0, 0.0]])
    logarithms = torch.log_softmax(scores, dim=1)[0]
    expected = -(logarithms[0] + logarithms[1]) / 2
    assert listwise(scores, logs, gains).item() == pytest.approx(expected.item(), rel=1e-6)
    level = torch.zeros(1, 3, requires_grad=True)
    listwise(level, logs, gains).sum().backward()
    assert level.grad[0].tolist() == pytest.approx([-1 / 6, -1 / 6, 1 / 3])  # equal grades rise


@pytest.mark.parametrize("n_judged", [2, 30])
def test_a_judged_query_gives_its_items_and_a_few_others(n_judged):
    behaviour = random_behaviour(1, 400)
    features, sources = HistoryFeatures.over(behaviour), behaviour_sources(behaviour, 0.1)
    rng = np.random.default_rng(2)
    rows = np.sort(rng.permutation(400)[:n_judged])
    gains = np.arange(n_judged, dtype=np.float32) / n_judged
    (query,) = queries(behaviour, 1)
    judged = replace(query, gains=JudgedGains(rows, gains), kind="judged")
    drawn = draw_examples([judged], sources, features, 0)
    assert drawn.gains[:n_judged].tolist() == gains[::-1].tolist()
    assert n_judged < len(drawn.gains) <= n_judged + UNJUDGED
    assert not drawn.gains[n_judged:].any()
    assert not drawn.log_weights.any()
    assert [KINDS[kind] for kind in drawn.kinds] == ["judged"]
    alike = replace(judged, gains=JudgedGains(rows, np.ones(n_judged, np.float32), unjudged=0))
    assert len(draw_examples([alike], sources, features, 0)) == 0


def texts_of(n_items):
    """Texts that say nothing of the ring."""
    texts = [f"{'red' if row % 3 else 'blue'} thing {row}" for row in range(n_items)]
    return texts, HashEncoder(8).encode(texts)


@pytest.fixture(scope="module")
def learned():
    return learn(as_sequences(ring_walks(N_ITEMS, 600)), NOTHING, *texts_of(N_ITEMS), seed=0)


def test_learning_finds_the_way_round_the_ring(learned):
    metrics = learned.metrics
    assert metrics["history_ndcg@10"] >= metrics["history_unlearned_ndcg@10"]
    assert metrics["history_ndcg@10"] > 0.7
    assert metrics["history_candidate_recall"] > 0.95
    assert metrics["history_examples"] >= MIN_EXAMPLES

    features = Features(learned.behaviour)
    scorer = Scorer(learned.networks["history"], len(features.names))
    right = 0
    for at in range(N_ITEMS):
        recent = np.array([at, at - 1, at - 2]) % N_ITEMS
        rows = np.setdiff1d(np.arange(N_ITEMS), recent)
        best = rows[np.argmax(scorer.score(features.compute([recent], [3], [rows])))]
        right += int(best == (at + 1) % N_ITEMS)
    assert right >= 0.9 * N_ITEMS


def test_learning_is_the_same_for_the_same_seed(learned):
    """Goals add heads, and change nothing else."""
    sequences = as_sequences(ring_walks(N_ITEMS, 600))
    goals = StepGoals(("click", "purchase"), 1 << sequences.items % 2, sequences.items)
    again = learn(sequences, NOTHING, *texts_of(N_ITEMS), seed=0, goals=goals)
    assert learned.goals is None
    assert again.goals.names == ("click", "purchase")
    odd = np.arange(N_ITEMS) % 2
    np.testing.assert_array_equal(again.goals.arrays["shares"][:, :-1].round(), [1 - odd, odd])
    own = {name: value for name, value in again.metrics.items() if "_goal_" not in name}
    assert own == pytest.approx(learned.metrics, rel=0.02)
    assert (again.behaviour.decays, again.content_knn_share) == (
        learned.behaviour.decays,
        learned.content_knn_share,
    )
    # Where arrays lie in memory decides how sums round, so the last digits may differ.
    for name, values in learned.networks["history"].items():
        np.testing.assert_allclose(again.networks["history"][name], values, atol=5e-2)
    taste = learned.behaviour.taste
    np.testing.assert_allclose(again.behaviour.taste.inputs, taste.inputs, atol=5e-3)
    np.testing.assert_array_equal(again.behaviour.items, learned.behaviour.items)
    for name, near in learned.behaviour.tables.items():
        np.testing.assert_array_equal(again.behaviour.tables[name].rows, near.rows)


def test_too_few_events_teach_nothing():
    walks = ring_walks(N_ITEMS, MIN_EXAMPLES - 1)  # one query each at most
    assert learn(as_sequences(walks), NOTHING, *texts_of(N_ITEMS)) is None
    assert learn(NOBODY, NOTHING, *texts_of(N_ITEMS)) is None


def test_users_of_two_events_can_be_learned_from():
    """Once one is held out, no user has two left to fit a two-tower space on."""
    found = learn(
        as_sequences(ring_walks(N_ITEMS, 600, lengths=(2, 3))), NOTHING, *texts_of(N_ITEMS)
    )
    assert found is not None
    assert np.isfinite(found.behaviour.taste.targets).all()
    assert np.isfinite(found.networks["history"]["w1"]).all()


N_POPULAR, N_STALE, N_ALL = 120, 3, 400
STALE = np.arange(N_POPULAR, N_POPULAR + N_STALE)


def zipf_log():
    """People who take what is popular, and what is the most popular of all with nobody else.

    No source brings these stale items to anybody: they go with nothing, in events and in words.
    """
    rng = np.random.default_rng(0)
    popularity = 1 / np.arange(1, N_POPULAR + 1) ** 0.8
    popularity /= popularity.sum()
    sizes = rng.integers(4, 7, 700).tolist()
    baskets = [rng.choice(N_POPULAR, size, replace=False, p=popularity).tolist() for size in sizes]
    texts, _ = texts_of(N_ALL)
    texts[N_POPULAR : N_POPULAR + N_STALE] = [f"stale fish {row}" for row in STALE]
    return baskets, [[int(STALE[n % N_STALE])] for n in range(900)], texts


def mean_rank_of_stale(found, baskets):
    """Among all items that are not in the history, from 0; means over some people."""
    features = Features(found.behaviour)
    scorer = Scorer(found.networks["history"], len(features.names))
    ranks = []
    for basket in baskets[:100]:
        recent = np.array(basket[-2::-1])
        rows = np.setdiff1d(np.arange(N_ALL), recent)
        scores = scorer.score(features.compute([recent], [len(recent)], [rows]))
        ranks += [int((scores > scores[rows == row]).sum()) for row in STALE]
    return float(np.mean(ranks))


def test_items_often_skipped_are_ranked_lower():
    """Without impressions all that is known of it is that it is popular, and that is good."""
    baskets, fans, texts = zipf_log()
    n_steps = sum(map(len, baskets))
    page = np.array([0, N_STALE])  # one, beside every step
    shown = Skipped(np.arange(n_steps), np.zeros(n_steps, np.int64), page, STALE)
    ranks = []
    for negatives in (NOTHING, Negatives(NOBODY, shown)):
        vectors = HashEncoder(8).encode(texts)
        found = learn(as_sequences(baskets + fans), negatives, texts, vectors, seed=0)
        assert (found.metrics["shown"] > 0) == (negatives is not NOTHING)
        ranks.append(mean_rank_of_stale(found, baskets))
    guessed, known = ranks
    assert known > guessed + 50
