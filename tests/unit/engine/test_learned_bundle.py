"""From an event log with a known pattern, through a bundle on disk, to ranked answers."""

import shutil

import numpy as np
import pytest
from safetensors.numpy import save_file

from app.bundle.manifest import BundleFacts, LearnedFacts
from app.bundle.reader import load_arrays, open_bundle
from app.bundle.writer import write_bundle
from app.core.errors import BundleError
from app.core.rank_rules import RankRule, RankRules
from app.core.ranking import RankRequest
from app.engine import open as opening
from app.engine.kernels.features import feature_names
from app.engine.kernels.topk import NumpyTopK
from app.engine.retrieval.resolve import EncodedQuery, resolve
from app.engine.retrieval.sources import retrieval_order, retrieve
from app.offline.build import retrain
from app.offline.input.recipe import Recipe
from tests.bundles import fake_opened
from tests.learned_rig import N_ITEMS, N_RING, build_ring, engine_over, ring_name, write_walks

pytestmark = pytest.mark.learning


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("ring")


@pytest.fixture(scope="module")
def bundle(folder):
    return build_ring(folder, folder / "shop").bundle


@pytest.fixture(scope="module")
def engine(bundle):
    return engine_over(bundle)


def after(at, step=1, k=5, **more):
    """Ask for somebody who came to a place of the ring in three steps."""
    history = tuple(ring_name(at - back * step) for back in (2, 1, 0))
    return RankRequest(history=history, exclude=frozenset(history), k=k, **more)


def ids(result):
    return [item.id for item in result.items]


def firsts(engine, step):
    """Return the share of places of the ring from where the next one is ranked first."""
    results = engine.rank([after(at, step) for at in range(N_RING)]).results
    return np.mean([ids(r)[0] == ring_name(at + step) for at, r in enumerate(results)])


def test_the_manifest_says_what_was_learned(bundle, engine):
    facts = bundle.manifest.learned
    assert tuple(facts.decays) == ("sequential_ridge", "cooccurrence", "content_knn")
    assert facts.features["history"] == feature_names(tuple(facts.decays))
    # Here both may find all there is to find.
    assert facts.metrics["history_ndcg@10"] >= facts.metrics["history_unlearned_ndcg@10"]
    assert facts.metrics["history_ndcg@10"] > 0.7
    assert {"behaviour.safetensors", "scorer.safetensors"} <= set(bundle.manifest.files)
    assert engine.info.scorer == "learned"


def test_the_next_of_the_ring_comes_first(engine):
    assert firsts(engine, 1) >= 0.8
    assert firsts(engine, -1) <= 0.1


def test_answers_name_the_sources_of_behaviour(engine):
    first = engine.rank([after(7)]).results[0].items[0]
    named = {hit.name: hit for hit in first.sources}
    assert {"behaviour", "taste"} <= set(named) <= {"behaviour", "alike", "taste"}
    assert named["behaviour"].rank <= 3


def test_likes_are_no_history(engine):
    request = RankRequest(like=("r8",), exclude=frozenset({"r8"}), k=5)
    result = engine.rank([request]).results[0]
    assert {hit.name for hit in result.items[0].sources} == {"similar"}
    resolved = resolved_by(engine, after(7)._replace(like=("r20",)))
    assert resolved.recent.tolist() == [7, 6, 5]
    assert (resolved.length, resolved.liked.rows.tolist()) == (3, [20])


def test_beside_a_history_the_likes_decide_first(engine):
    like = RankRequest(like=("r20",), exclude=frozenset({"r20"}), k=10, by="behaviour")
    alone = engine.rank([like]).results[0]
    request = after(7, k=10, like=("r20",), by="behaviour")
    both = engine.rank([request._replace(exclude=request.exclude | {"r20"})]).results[0]
    assert ids(alone)[0] == ids(both)[0] == "r21"
    assert firsts(engine, 1) >= 0.8  # after r7 alone it would be r8


def test_what_makes_items_similar_can_be_chosen_for_each_request_of_a_batch(engine):
    ways = ("content", "behaviour", "both", "content")
    batch = [RankRequest(like=("r20",), exclude=frozenset({"r20"}), k=5, by=by) for by in ways]
    together = [ids(result) for result in engine.rank(batch).results]

    assert together == [ids(engine.rank([request]).results[0]) for request in batch]
    assert together[1][0] == "r21"
    assert together[0] != together[1]


def test_without_a_history_the_popular_come_first(bundle, engine):
    result = engine.rank([RankRequest(k=3)]).results[0]
    popularity = load_arrays(bundle, "signals.safetensors")["popularity"]
    assert popularity.argmax() == 0
    assert ids(result)[0] == "r0"
    assert {hit.name for hit in result.items[0].sources} >= {"popular"}
    assert result.degraded == ()


def test_unknown_ids_in_a_history_change_nothing_else(engine):
    known = after(9)
    request = RankRequest(history=("?", *known.history, "!"), exclude=known.exclude, k=5)
    plain, result, cold = engine.rank([known, request, RankRequest(history=("?",), k=5)]).results
    assert ids(result) == ids(plain)
    assert result.missing_ids == ("?", "!")
    assert ids(cold) == ids(engine.rank([RankRequest(k=5)]).results[0])


NO_QUERY = EncodedQuery("")


def resolved_by(engine, request, query=NO_QUERY):
    parts = engine._parts
    return resolve(
        request,
        query,
        parts.catalogue,
        parts.texts.vectors,
        parts.texts.words,
        n_learned=parts.learned.behaviour.n_learned,
    )


def retrieved(engine, request):
    """Return the rows of a request, in no order, and what each source brought."""
    resolved = resolved_by(engine, request)
    (hits,) = retrieve([resolved], engine._parts.sources)
    lists = [one.rows for one in hits.values()]
    lists += [] if resolved.named is None else [resolved.named]
    return NumpyTopK(N_ITEMS).union([lists])[0], hits


def test_named_candidates_are_ranked_and_nothing_else(engine):
    request = after(5)
    brought, _ = retrieved(engine, request)
    seen = engine._parts.catalogue.rows(request.history)
    other = np.setdiff1d(np.arange(N_ITEMS), np.concatenate([brought, seen]))
    assert other.size  # or else this test shows nothing
    dull = engine._parts.catalogue.id(int(other[0]))
    named = (dull, "r20", "?", "r6", *request.history[:1], "r20")

    result = engine.rank([after(5, k=10, candidates=named)]).results[0]
    assert set(ids(result)) == {dull, "r20", "r6"}
    assert ids(result)[0] == "r6"
    assert {item.id: item.sources for item in result.items}[dull] == ()
    assert result.missing_ids == ("?",)
    (cold,) = engine.rank([RankRequest(candidates=named, k=10)]).results
    assert set(ids(cold)) == {dull, "r20", "r6", request.history[0]}


BATCH = [
    after(3),
    RankRequest(k=4),
    after(11, candidates=("dull7", "r12", "r30")),
    after(20, query="thing r33"),
    RankRequest(like=("r8",), exclude=frozenset({"r8"})),
    RankRequest(history=("r3",) * 30, k=3),
    after(30, dislike=("r31",)),
]


@pytest.mark.parametrize(
    "allowed",
    [
        1e-2,
        1e-4,
    ],
)
def test_a_batch_answers_as_its_requests_alone(engine, allowed):
    for together, request in zip(engine.rank(BATCH).results, BATCH, strict=True):
        alone = engine.rank([request]).results[0]
        assert ids(together)[:1] == ids(alone)[:1]
        scores = [{item.id: item.score for item in result.items} for result in (together, alone)]
        assert scores[0] == pytest.approx(scores[1], abs=allowed)


def test_the_score_is_what_was_learned_and_ten_times_what_is_named(engine):
    parts = engine._parts
    request = after(20, k=20, query="thing r33", dislike=("r9",))
    query = EncodedQuery(request.query, parts.encoder.encode([request.query])[0])
    resolved = resolved_by(engine, request, query)
    (hits,) = retrieve([resolved], parts.sources)
    (rows,) = NumpyTopK(N_ITEMS).union([[one.rows for one in hits.values()]])
    (learned,) = parts.scorer.scores([resolved], [rows])
    assert learned.reads_words
    disliked = np.maximum(parts.texts.vectors[rows] @ resolved.disliked, 0.0)
    scores = learned.calibration.log_odds(learned.values - 10.0 * 0.4 * disliked)
    expected = dict(zip(map(parts.catalogue.id, rows.tolist()), scores.tolist(), strict=True))

    items = engine.rank([request]).results[0].items
    assert [item.score for item in items] == pytest.approx(
        sorted(expected.values())[:-21:-1], abs=1e-3
    )
    assert all(item.score == pytest.approx(expected[item.id], abs=1e-3) for item in items)


def test_a_query_with_a_history_turns_with_the_sign_of_its_network(bundle):
    engine = engine_over(bundle)
    request = after(20, k=N_ITEMS, query="thing")
    before = ids(engine.rank([request]).results[0])
    network = engine._parts.scorer.networks["both"]
    network._w3 = -network._w3
    after_it = ids(engine.rank([request]).results[0])
    assert before[0] != after_it[0]
    assert before.index(after_it[0]) > len(before) // 2


def test_a_scorer_gone_wrong_leaves_the_order_of_retrieval(bundle):
    engine = engine_over(bundle)
    scorer = engine._parts.scorer.networks["history"]
    scorer._w3 = np.full_like(scorer._w3, np.nan)
    request = after(12, k=20)
    result = engine.rank([request]).results[0]

    rows, hits = retrieved(engine, request)
    order = rows[np.argsort(-retrieval_order(rows, hits), kind="stable")][:20]
    assert ids(result) == [engine._parts.catalogue.id(int(row)) for row in order]
    assert result.degraded == ("rerank",)
    assert engine.rank([RankRequest(k=3)]).results[0].degraded == ()  # nothing learned is asked


@pytest.fixture(scope="module")
def retrained(folder, bundle):
    return retrain(
        folder / "shop", write_walks(folder / "back.jsonl", -1), Recipe(), open_encoder=fake_opened
    ).bundle


def test_a_boost_is_added_to_calibrated_scores(engine):
    boost = RankRule("red", "boost", '{"categories":{"any":["red"]}}', 0.75)
    plain, boosted = engine.rank(
        [after(20, k=30), after(20, k=30, rules=RankRules("red", (boost,)))]
    ).results
    before = {item.id: item.score for item in plain.items}
    common = [item for item in boosted.items if item.id in before]
    added = {item.id: round(item.score - before[item.id], 4) for item in common}
    assert set(added.values()) == {0.0, 0.75}
    assert added == {name: 0.0 if int(name[1:]) % 3 == 0 else 0.75 for name in added}


def test_without_a_recipe_the_log_is_read_as_the_bundle_was_built(folder, bundle):
    retrain(bundle.path, folder / "forth.jsonl", open_encoder=fake_opened)


def test_learning_anew_turns_the_ring_round(folder, bundle, retrained):
    assert retrained.manifest.generation != bundle.manifest.generation
    assert open_bundle(folder / "shop") == retrained
    for name in ("items.safetensors", "vectors.npy", "words.safetensors"):
        assert (retrained.path / name).read_bytes() == (bundle.path / name).read_bytes()
        assert retrained.manifest.files[name] == bundle.manifest.files[name]
    for name in ("behaviour.safetensors", "scorer.safetensors"):
        assert retrained.manifest.files[name].sha256 != bundle.manifest.files[name].sha256
    assert firsts(engine_over(retrained), -1) >= 0.8
    kept = BundleFacts.model_fields.keys() - {"learned", "counts", "n_events", "trained_until"}
    assert all(getattr(retrained.manifest, n) == getattr(bundle.manifest, n) for n in kept)


def changed(bundle, root, arrays=None, learned=None):
    """Publish a copy whose behaviour.safetensors or facts of learning are others."""

    def fill(folder):
        for name in bundle.manifest.files:
            (folder / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(bundle.path / name, folder / name)
        if arrays:
            old = load_arrays(bundle, "behaviour.safetensors")
            new = {k: np.ascontiguousarray(v) for k, v in {**old, **arrays}.items()}
            save_file(new, folder / "behaviour.safetensors")
        facts = {name: getattr(bundle.manifest, name) for name in BundleFacts.model_fields}
        facts["learned"] = LearnedFacts(**{**dict(facts["learned"]), **(learned or {})})
        return BundleFacts(**facts)

    return open_bundle(write_bundle(root, fill).path)


@pytest.mark.parametrize("which", ["word_cutting_version", "features_version"])
def test_a_bundle_of_other_code_is_refused_with_the_command_that_rebuilds_it(
    tmp_path, bundle, which
):
    def fill(folder):
        shutil.copytree(bundle.path, folder, dirs_exist_ok=True)
        (folder / "manifest.json").unlink()
        facts = {name: getattr(bundle.manifest, name) for name in BundleFacts.model_fields}
        return BundleFacts(**facts | {which: 99})

    other = open_bundle(write_bundle(tmp_path / "other", fill).path)
    what = which.removesuffix("_version").replace("_", " ")
    command = "recserve build --items FILE --out models/other"
    ours = getattr(bundle.manifest, which)
    with pytest.raises(BundleError, match=f"version 99 of {what}, not {ours}: .*{command}"):
        opening.engine_of(other, 1)


def test_a_copy_without_changes_is_as_good(bundle, engine, tmp_path):
    copy = engine_over(changed(bundle, tmp_path / "copy"))
    assert copy.rank([after(4)]).results == engine.rank([after(4)]).results


@pytest.mark.parametrize(
    "change",
    [
        ("taste/inputs", lambda a: a[:-1]),
        ("taste/targets", lambda a: a[:-1]),
        ("sequential_ridge/rows", lambda a: a[:-1]),
        # What else would only show as an IndexError, a ValueError or nonsense with each request.
        ("items", lambda a: a[:, :-1]),
        ("items", lambda a: a[:3]),
        ("items", lambda a: a[0]),
        ("content_knn/weights", lambda a: a[:-1]),
        ("content_knn/weights", lambda a: a[:, :-1]),
        ("taste/targets", lambda a: a[:, :-1]),
        ("sequential_ridge/rows", lambda a: a + N_ITEMS),
        ("sequential_ridge/rows", lambda a: a - N_ITEMS - 1),
        ("sequential_ridge/rows", lambda a: a.astype(np.int64)),
        ("sequential_ridge/rows", lambda a: a.view(np.float32)),
        ("sequential_ridge/weights", lambda a: a.astype(np.float64)),
        ("taste/inputs", lambda a: a * np.float32(np.nan)),
        ("taste/recency", lambda a: a[:0]),
    ],
)
def test_what_was_learned_about_other_items_is_refused(bundle, tmp_path, change):
    name, cut = change
    old = load_arrays(bundle, "behaviour.safetensors")
    with pytest.raises(BundleError):
        opening.learned_of(changed(bundle, tmp_path / "shop", {name: cut(old[name])}))


def facts_of(bundle, case):
    learned = bundle.manifest.learned
    decays, first = learned.decays, learned.features["history"]
    return {
        "one feature less": {"features": {**learned.features, "history": first[:-1]}},
        "another order": {
            "features": {**learned.features, "history": (first[1], first[0], *first[2:])}
        },
        "a table that is not there": {"decays": {**decays, "beside": 0.5}},
        "without words": {
            "decays": {name: decays[name] for name in ("sequential_ridge", "cooccurrence")}
        },
        "other tables": {
            "decays": {name: decays[name] for name in ("cooccurrence", "content_knn")}
        },
        "no table at all": {"decays": {}},
    }[case]


@pytest.mark.parametrize(
    "case",
    [
        "one feature less",
        "another order",
        "a table that is not there",
        "without words",
        "other tables",
        "no table at all",
    ],
)
def test_facts_that_do_not_fit_what_was_learned_are_refused(bundle, tmp_path, case):
    other = changed(bundle, tmp_path / "shop", learned=facts_of(bundle, case))
    with pytest.raises(BundleError):
        opening.check_features(other, engine_over(other)._parts)


def test_a_score_says_which_share_is_taken(engine):
    """From each place of the ring one item is the next: the shares of an answer add up to one."""
    results = engine.rank([after(at, k=20) for at in range(N_RING)]).results
    shares = [[1 / (1 + np.exp(-item.score)) for item in result.items] for result in results]
    assert np.mean([sum(each) for each in shares]) == pytest.approx(1.0, abs=0.25)
    assert all(each == sorted(each, reverse=True) for each in shares)


def test_a_least_score_makes_answers_shorter(engine):
    every, some = engine.rank([after(3, k=20), after(3, k=20, min_score=-3.0)]).results
    assert ids(some) == [item.id for item in every.items if item.score >= -3.0]
    assert 0 < len(some.items) < len(every.items)


@pytest.mark.parametrize("on_empty", ["popular", "relax"])
def test_nothing_fills_up_what_a_least_score_left_out(engine, on_empty):
    request = after(3, k=5, filter='{"categories":{"any":["green"]}}', on_empty=on_empty)
    plain, least = engine.rank([request, request._replace(min_score=-30.0)]).results
    assert len(plain.items) == 5
    assert least.items == ()


def test_words_of_another_request_are_worth_no_more_than_none(engine):
    """With the features of the words shuffled, *both* falls to the level of *history*."""
    requests = [after(at, query=f"thing {ring_name(at + 5)}") for at in range(N_RING)]
    resolved, candidates, (pairs,) = engine.pairs(requests)
    assert pairs.mode == "both"
    scorer = engine._parts.scorer
    n_history = len(scorer.features.names("history"))
    ends = np.cumsum([len(rows) for rows in candidates])[:-1]
    wanted = [engine._parts.catalogue.row(ring_name(at + 5)) for at in range(N_RING)]

    def firsts_by(scores):
        parts = zip(candidates, np.split(scores, ends), wanted, strict=True)
        return np.mean([rows[np.argmax(part)] == row for rows, part, row in parts])

    shuffled = pairs.features.copy()
    order = np.random.default_rng(0).permutation(shuffled.shape[1])
    shuffled[n_history:] = shuffled[n_history:, order]
    history = firsts_by(scorer.score("history", pairs.features[:n_history]))
    assert len(resolved) == N_RING
    assert firsts_by(scorer.score("both", pairs.features)) >= 0.9
    assert history <= 0.2
    assert firsts_by(scorer.score("both", shuffled)) <= history + 0.1
