"""Whole evaluations over small folders: known answers, and cheats that must not pay."""

import pytest

from app.bundle.reader import open_bundle
from app.core.errors import EngineError
from app.evaluation.dataset_readers import read_impressions, read_pairs, read_sequences
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.evaluate import Options, evaluate
from app.evaluation.protocols import plan_of_events, plan_of_grades, plan_of_impressions
from app.evaluation.report import summary_lines
from app.offline.input.recipe import DEFAULT_EVENT_RULES, Recipe
from app.serving.stores.bundle_users import BundleUserStore
from tests.bundles import fake_encoder
from tests.evaluation_rig import (
    by_row,
    constant,
    impressions_folder,
    opener,
    pairs_folder,
    popular,
    sequences_folder,
    walks,
)

LEARNED = ("popularity", "minilm", "bm25", "item-knn", "ease", "hybrid")


def run_sequences(folder, score=popular, baselines=(), *, seed=0, seen=None):
    catalogue, events = read_sequences(folder, seed)
    plan = plan_of_events("strict", catalogue, events, DEFAULT_EVENT_RULES)
    options = Options(
        Recipe(),
        seed=seed,
        baselines=baselines,
        make_encoder=fake_encoder,
        open_engine=opener(score, seen),
    )
    return evaluate(plan, folder.name, options)


def value(document, name):
    return document["metrics"][name]["value"]


def small(folder):
    """Popularity as fitted on: a 3, b 2, c 1, d 0, e 0. Asked: u, v and w with all but the last."""
    sequences = {"u": list("abced"), "v": list("baed"), "w": list("adbec")}
    return sequences_folder(folder, sequences, {name: f"thing {name}" for name in "abcde"})


def test_known_answers_through_a_real_build(tmp_path):
    # Fitted on: u a b c, v b a, w a d b: a 3, b 3, c 1, d 1, e 0.
    # u wants d: left d. v wants d: left c = d tied. w wants c: left c.
    document = run_sequences(small(tmp_path / "small"))
    assert value(document, "recall@10") == 1.0
    ranks = [0.0, 0.5, 0.0]
    assert value(document, "mrr") == pytest.approx(sum(1 / (r + 1) for r in ranks) / 3, abs=1e-6)
    assert document["n_users"] == 3
    assert document["n_items"] == 5
    assert document["n_training_events"] == 8
    assert document["sources"]["scores"]["recall"] == 1.0
    assert document["candidates"]["mean"] == pytest.approx((1 + 2 + 1) / 3, abs=0.01)
    assert document["exposure"]["coverage@10"] == 0.4  # c and d are all that is left for anybody
    assert [b["history"] for b in document["by_history"]] == ["3–4"]


def test_the_document_holds_what_the_contract_says(tmp_path):
    document = run_sequences(small(tmp_path / "small"), baselines=("popularity",))
    for name in ("recall@5", "recall@10", "recall@50", "ndcg@5", "ndcg@10", "mrr"):
        assert set(document["metrics"][name]) == {"value", "low", "high"}
    assert {"n_users", "n_items", "seconds", "seed", "sources", "bundle"} <= set(document)
    assert {"novelty@10", "diversity@10", "popularity_lift@10"} <= set(document["metrics"])
    assert document["seconds"] > 0
    assert document["bundle"]["built_here"] is True
    assert document["baselines"]["popularity"]["metrics"]["mrr"] == document["metrics"]["mrr"]


def ring(folder, n_items=60):
    """A world in which the next item is the next number: lines, rows and ids all give it away."""
    sequences = {
        f"u{n}": [f"{(n + step) % n_items:03}" for step in range(5)] for n in range(n_items)
    }
    return sequences_folder(folder, sequences, {f"{n:03}": "thing" for n in range(n_items)})


def test_a_model_that_uses_row_order_earns_what_chance_gives(tmp_path):
    document = run_sequences(ring(tmp_path / "ring"), by_row)
    assert value(document, "recall@10") < 0.35  # 10 of 56 by chance; every one by the real order
    assert value(document, "ndcg@10") < 0.2


def test_the_same_model_would_win_without_new_ids():
    names = [f"{n:03}" for n in range(60)]
    catalogue = EvalCatalogue(names, names, [{"id": name, "title": "thing"} for name in names])
    users = [(f"u:{n}", [names[(n + step) % 60] for step in range(5)]) for n in range(60)]
    plan = plan_of_events("strict", catalogue, events_of(users), DEFAULT_EVENT_RULES)
    options = Options(Recipe(), make_encoder=fake_encoder, open_engine=opener(by_row))
    assert value(evaluate(plan, "open", options), "recall@10") > 0.9


def test_a_constant_model_earns_nothing_for_its_order(tmp_path):
    document = run_sequences(ring(tmp_path / "ring"), constant)
    assert value(document, "recall@10") == 0.0
    assert value(document, "recall@50") in (0.0, pytest.approx(50 / 56, abs=0.2))


@pytest.mark.parametrize(("protocol", "held_out"), [("strict", 2), ("all-but-last", 1)])
async def test_the_built_bundle_never_holds_what_is_asked_for(tmp_path, protocol, held_out):
    catalogue, events = read_sequences(ring(tmp_path / "ring", 30), 0)
    plan = plan_of_events(protocol, catalogue, events, DEFAULT_EVENT_RULES)
    stores = []

    def noting(path):
        stores.append(BundleUserStore.open(open_bundle(path)))
        return opener(popular)(path)

    options = Options(Recipe(), make_encoder=fake_encoder, open_engine=noting)
    evaluate(plan, "ring", options)
    (store,) = stores
    for user, case in zip(events.users, plan.folds[0].cases, strict=True):
        asked = (*case.request.history, *case.grades)
        assert await store.history(user) == asked[: 5 - held_out]
    await store.aclose()


def renamed(sequences, titles, how):
    return (
        {user: [how(item) for item in items] for user, items in sequences.items()},
        {how(item): title for item, title in titles.items()},
    )


@pytest.mark.parametrize("seed", [0, 1])
def test_names_and_order_change_nothing(tmp_path, seed):
    """Ids, rows, columns and the order of lines are all turned around; only ties may differ."""
    sequences = walks(60, 40, seed=2)
    titles = {f"i{n}": f"thing {n} of {n % 7}" for n in range(40)}
    turned = renamed(sequences, titles, lambda item: f"z{97 * int(item[1:]) % 101:03}")
    one = sequences_folder(tmp_path / "one", sequences, titles)
    two = sequences_folder(
        tmp_path / "two", *(dict(reversed(part.items())) for part in turned), header="name"
    )
    first, second = (run_sequences(f, baselines=LEARNED, seed=seed) for f in (one, two))
    for name in ("recall@5", "recall@10", "ndcg@10", "mrr"):
        assert value(first, name) == pytest.approx(value(second, name), abs=1e-6)
        for baseline in LEARNED:
            mine, theirs = (d["baselines"][baseline] for d in (first, second))
            # Sums in another order differ in their last bits: equal items then swap by chance.
            slack = 0.04 if baseline in ("ease", "hybrid") else 1e-4
            assert value(mine, name) == pytest.approx(value(theirs, name), abs=slack), baseline


def test_what_can_be_learned_is_learned_and_shows(tmp_path):
    sequences = walks(300, 80, seed=3)
    folder = sequences_folder(tmp_path / "walks", sequences, {f"i{n}": "x" for n in range(80)})
    found = run_sequences(folder, baselines=("popularity", "item-knn", "hybrid"))["baselines"]
    assert value(found["item-knn"], "ndcg@10") > 3 * value(found["popularity"], "ndcg@10")
    assert value(found["hybrid"], "ndcg@10") > 3 * value(found["popularity"], "ndcg@10")


def test_a_baseline_that_cannot_run_says_why(tmp_path):
    folder = impressions_folder(
        tmp_path,
        [
            {
                "impression_id": n,
                "history": [{"id": "N1", "title": "a"}],
                "candidates": [{"id": "N2", "title": "b"}, {"id": "N3", "title": "c"}],
                "clicked": [n % 2],
            }
            for n in range(4)
        ],
    )
    plan = plan_of_impressions(*read_impressions(folder, 0))
    options = Options(
        Recipe(),
        baselines=("sasrec", "lambdamart", "popularity"),
        make_encoder=fake_encoder,
        open_engine=opener(constant),
    )
    document = evaluate(plan, "mind", options)
    assert "this protocol names them" in document["baselines"]["sasrec"]["unavailable"]
    assert "this protocol names them" in document["baselines"]["lambdamart"]["unavailable"]
    assert value(document, "mrr") == pytest.approx(1 / 1.5, abs=1e-6)  # two tied candidates
    assert value(document["baselines"]["popularity"], "mrr") == value(document, "mrr")
    assert document["exposure"] == {}


def grades(tmp_path):
    rows = []
    for n in range(12):
        rows += [
            (f"colour{n} sofa", f"colour{n} sofa", "", 4),
            (f"colour{n} sofa", f"colour{n} table", "", 2),
            (f"colour{n} sofa", "lamp", "", 1),
        ]
    return plan_of_grades(*read_pairs(pairs_folder(tmp_path, rows), 0))


def test_graded_queries_are_asked_both_ways_in_every_fold(tmp_path):
    seen = []

    options = Options(
        Recipe(),
        baselines=("bm25", "minilm", "popularity"),
        make_encoder=fake_encoder,
        open_engine=opener(constant, seen),
    )
    document = evaluate(grades(tmp_path), "pairs", options)
    # Three tied products with gains 7, 1, 0: every place is worth 8/3.
    places = [1.0, 0.6309297535714575, 0.5]
    tied = 8 / 3 * sum(places) / (7 * places[0] + 1 * places[1])
    assert value(document, "ndcg@10") == pytest.approx(tied, abs=1e-6)
    assert document["n_users"] == 12
    assert len(seen) == len({engine.info.bundle for engine in seen}) > 1
    assert [engine.closed for engine in seen] == [1] * len(seen)
    assert list(document["baselines"]) == ["bm25", "minilm"]
    assert value(document["baselines"]["bm25"], "retrieval_ndcg@10") > 0.9
    assert document["by_history"] == []


def test_grades_of_other_folds_reach_the_build_and_the_others_know_none(tmp_path):
    counts = []

    def noting(path):
        counts.append(open_bundle(path).manifest.counts.get("judgement_rows", 0))
        return opener(constant)(path)

    plan = grades(tmp_path)
    options = Options(Recipe(), make_encoder=fake_encoder, open_engine=noting)
    document = evaluate(plan, "pairs", options)
    assert counts == [*(len(fold.judgements) for fold in plan.folds), 0, 0]
    assert list(document["graded"]) == ["catalogue alone", "fixed blend"]
    for part in document["graded"].values():
        assert part["ndcg@10"]["value"] == value(document, "ndcg@10")
        assert part["engine_gain_retrieval_ndcg@10"]["value"] == 0.0
    assert any(line.startswith("catalogue alone") for line in summary_lines(document))


def test_an_engine_that_fails_is_closed_and_its_error_comes_out(tmp_path):
    seen = []

    def failing(request, ids, popularity):
        raise EngineError("poison")

    with pytest.raises(EngineError, match="poison"):
        run_sequences(small(tmp_path / "small"), failing, seen=seen)
    assert [engine.closed for engine in seen] == [1]
