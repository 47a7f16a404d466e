"""Variants of the learned recommender: each piece against an oracle, and the whole on a ring."""

import numpy as np
import pytest
import torch

from app.core.errors import BadDataError, UsageError
from app.engine.kernels.features import features_over
from app.engine.kernels.topk import NumpyTopK
from app.engine.retrieval.registry import behaviour_sources
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.sources import retrieve
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.scorer import Scorer
from app.evaluation import rankers
from app.evaluation.ablation import VARIANTS, Variant, ablate, matching_features, table_of
from app.evaluation.baselines.base import UnavailableError
from app.evaluation.candidate_pools import Pools, TracedExamples, TracedSources, found_by_others
from app.evaluation.dataset_readers import read_sequences
from app.evaluation.evaluate import Options
from app.evaluation.protocols import plan_of_events
from app.offline.input.recipe import DEFAULT_EVENT_RULES, Recipe
from app.offline.learning.examples import TrainingQuery, draw_examples
from tests.bundles import fake_encoder
from tests.evaluation_rig import sequences_folder
from tests.planted import firsts, planted_lists, random_behaviour, ring_walks

pytestmark = pytest.mark.learning

N_ITEMS = 60


def asked(n, seed=0):
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(N_ITEMS) for _ in range(n)]
    return [TrainingQuery(rows[:7], int(rows[7]), 1.0, rows[:0]) for rows in orders]


SOURCES = ("behaviour", "alike", "taste")


def test_without_a_source_only_what_it_alone_found_is_gone():
    """A candidate that no source found was shown to the user: it stays."""
    origins = np.array([[True, False, False, True], [False, True, False, True]])
    assert found_by_others(origins, 0).tolist() == [False, True, True, True]
    assert found_by_others(origins, 1).tolist() == [True, False, True, True]


def left_over(behaviour, query, off):
    """The candidates that some source other than `off` brings, asked alone."""
    sources = [one for one in behaviour_sources(behaviour, 0.1) if one.name != off]
    (hits,) = retrieve([ResolvedRequest(recent=query.recent, hidden=query.recent)], sources)
    return NumpyTopK(N_ITEMS).union([[one.rows for one in hits.values()]])[0]


@pytest.mark.parametrize("off", [None, *SOURCES])
def test_ranks_are_those_among_the_candidates_of_the_sources_left(off):
    behaviour, queries = random_behaviour(1, N_ITEMS), asked(70)
    features = HistoryFeatures.over(behaviour)
    features_off = matching_features(features.names, ["*.mean", "user.*"])
    weights = np.random.default_rng(2).standard_normal(len(features.names)).astype(np.float32)
    pools, place = Pools(queries, TracedSources(behaviour, 0.1)), off and SOURCES.index(off)
    ranks = pools.ranks(lambda columns: weights @ columns, place, features_off)
    expected, sizes = [], []
    for query in queries:
        everything = left_over(behaviour, query, None)
        columns = features.compute(
            [ResolvedRequest(recent=query.recent, length=7)], [everything]
        ).astype(np.float16)
        columns = columns.astype(np.float32)
        columns[features_off] = 0
        rows = left_over(behaviour, query, off)
        scores = (weights @ columns)[np.isin(everything, rows)]
        own = (weights @ columns)[(everything == query.target) & np.isin(everything, rows)]
        expected.append((scores > own[0] + 1e-5).sum() if own.size else np.inf)
        sizes.append(len(rows))

    np.testing.assert_array_equal(ranks, expected)
    assert pools.recall_and_size(place) == (np.isfinite(expected).mean(), np.mean(sizes))
    assert (pools.recall_and_size(place)[0] < 1) == (off == "taste")  # it finds all of so few items


@pytest.mark.parametrize("off", SOURCES)
def test_examples_lose_what_only_the_missing_source_found(off):
    behaviour, queries = random_behaviour(1, N_ITEMS), asked(70)
    lists = TracedExamples.draw(queries, behaviour, 0.1, 0)
    direct = draw_examples(
        queries, behaviour_sources(behaviour, 0.1), HistoryFeatures.over(behaviour), 0
    )
    np.testing.assert_array_equal(lists.examples.features, direct.features)
    assert lists.without(None) is lists.examples

    left = lists.without(SOURCES.index(off), [0, 3])
    rows = [left_over(behaviour, query, off) for query in queries]
    found = [query.target in mine for query, mine in zip(queries, rows, strict=True)]
    # So few candidates are all kept, once each.
    assert np.diff(left.offsets).tolist() == [
        len(m) for m, is_in in zip(rows, found, strict=True) if is_in
    ]
    assert len(left) == sum(found) == len(left.sample_weight)
    assert len(left.log_weights) == len(left.features) == left.offsets[-1]
    assert not left.features[:, [0, 3]].any()
    rights = lists.examples.features[lists.examples.offsets[:-1]][found]
    rights[:, [0, 3]] = 0
    np.testing.assert_array_equal(left.features[left.offsets[:-1]], rights)
    assert lists.examples.features[:, 0].any()  # the whole is as it was


def test_a_linear_ranker_is_served_as_it_was_trained():
    torch.manual_seed(0)
    made = rankers.Linear(torch.randn(5), torch.rand(5) + 0.5)
    columns = np.random.default_rng(0).standard_normal((5, 50)).astype(np.float32) * 5
    with torch.inference_mode():
        expected = made(torch.from_numpy(columns.T.copy())).numpy()
    np.testing.assert_allclose(Scorer(made.arrays(), 5).score(columns), expected, atol=1e-5)


@pytest.mark.parametrize("loss", [rankers.pairwise, rankers.pointwise])
def test_a_candidate_that_stands_for_three_counts_as_three(loss):
    scores = torch.tensor([[0.3, -0.2, 0.9, 5.0]])
    logs = torch.tensor([[0.0, 0.0, np.log(3.0), -1e9]], dtype=torch.float32)  # the last: padding
    copies = torch.tensor([[0.3, -0.2, 0.9, 0.9, 0.9]])
    gains = torch.eye(1, 5)
    one, all_ = loss(scores, logs, gains[:, :4]), loss(copies, torch.zeros(1, 5), gains)
    assert one.item() == pytest.approx(all_.item(), rel=1e-6)


def test_losses_are_their_formulas():
    scores, logs, gains = torch.tensor([[0.3, -0.2, 0.9]]), torch.zeros(1, 3), torch.eye(1, 3)

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x))

    pairs = -(log_sigmoid(0.5) + log_sigmoid(-0.6)) / 2
    points = -(log_sigmoid(0.3) + log_sigmoid(0.2) + log_sigmoid(-0.9))
    assert rankers.pairwise(scores, logs, gains).item() == pytest.approx(pairs, rel=1e-5)
    assert rankers.pointwise(scores, logs, gains).item() == pytest.approx(points, rel=1e-5)


@pytest.mark.parametrize(
    "name", ["network", "linear", "network_by_pairs", "network_by_points", "lambdamart"]
)
def test_every_ranker_finds_the_pattern(name):
    try:
        score = getattr(rankers, name)(planted_lists(), 0)
    except UnavailableError as reason:
        pytest.skip(str(reason))
    assert firsts(planted_lists(200, seed=9), score) > 0.7


def ring(folder, users=560):
    """Walks on a ring of 40 with 400 items beside it: no source finds everything."""
    walks = ring_walks(40, users, lengths=(6, 9))
    lists = {f"u{user}": [f"r{at}" for at in walk] for user, walk in enumerate(walks)}
    names = [f"r{at}" for at in range(40)] + [f"dull{at}" for at in range(400)]
    catalogue, events = read_sequences(
        sequences_folder(folder, lists, {name: f"thing {name}" for name in names}), 0
    )
    return plan_of_events("strict", catalogue, events, DEFAULT_EVENT_RULES)


def by_taste(examples, seed):
    """A fit that learns nothing and ranks by taste."""
    place = names_of().index("taste.total")
    return lambda columns: columns[place]


def missing(examples, seed):
    raise UnavailableError("not installed")


def names_of():
    return features_over(random_behaviour(1, N_ITEMS)).names


FAKES = {
    "full": Variant("", "all of it", by_taste),
    "no-taste": Variant("features off", "taste", by_taste, features_off=("taste.*",)),
    "unlearned": Variant("model", "no training", None),
    "source-behaviour": Variant("source off", "*behaviour*", by_taste, source_off="behaviour"),
    "missing": Variant("model", "trees", missing),
}
OPTIONS = Options(Recipe(), make_encoder=fake_encoder)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    return ring(tmp_path_factory.mktemp("ring"))


@pytest.fixture(scope="module")
def variants(plan):
    document = ablate(plan, "ring", OPTIONS, FAKES)
    assert [*document["variants"]] == [*FAKES]
    assert document["n_users"] == 560
    return document["variants"]


def test_a_missing_piece_shows_in_the_metrics(variants):
    value = {
        name: variant["metrics"]["recall@10"]["value"]
        for name, variant in variants.items()
        if name != "missing"
    }
    assert value["unlearned"] > value["full"] > 0.1
    assert value["no-taste"] == 0.0  # all scores are equal: the right one stands in the middle
    assert variants["missing"]["unavailable"] == "not installed"


def test_differences_are_to_the_first(variants):
    whole = variants["full"]["metrics"]
    assert "difference" not in variants["full"]
    for name in ("no-taste", "unlearned", "source-behaviour"):
        for metric, difference in variants[name]["difference"].items():
            value = variants[name]["metrics"][metric]["value"] - whole[metric]["value"]
            assert difference["value"] == pytest.approx(value, abs=2e-6)
    sizes = {name: variant["candidates"]["mean"] for name, variant in variants.items()}
    assert sizes["source-behaviour"] <= sizes["full"] == sizes["no-taste"]


def test_the_table_has_a_row_a_variant(variants):
    lines = table_of({"variants": variants})
    assert len(lines) == 2 + len(variants)
    assert {line.count("|") for line in lines} == {8}
    assert lines[2].startswith("|  | all of it | .")
    assert "not installed" in lines[-1]


def test_every_pattern_of_a_variant_names_features():
    for variant in VARIANTS.values():
        assert all(matching_features(names_of(), [pattern]) for pattern in variant.features_off)


def test_what_cannot_be_learned_from_is_refused(plan, tmp_path):
    with pytest.raises(BadDataError, match="fewer than 500"):
        ablate(ring(tmp_path / "few", users=20), "few", OPTIONS)
    other = plan_of_events("time-split", plan.catalogue, plan.folds[0].events, DEFAULT_EVENT_RULES)
    with pytest.raises(UsageError, match="strict"):
        ablate(other, "ring", OPTIONS)
