"""Search asked by words, by history and by both, the rules beside it, and names out of texts."""

import numpy as np
import pytest

from app.bundle.reader import open_bundle
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.evaluate import Options, evaluate
from app.evaluation.report import render, search_rows, summary_lines
from app.evaluation.search_cases import plan_of_search
from app.evaluation.text_names import BundleTexts, drawn_names, names_found
from app.offline.build import build
from app.offline.input.recipe import DEFAULT_EVENT_RULES, Recipe
from tests.bundles import fake_encoder, write_jsonl
from tests.evaluation_rig import ScoreEngine, opener

COLOURS = ("red", "blue", "green", "grey")
KINDS = ("shoes", "hats", "lamps", "sofas", "rugs", "cups", "bowls", "desks", "beds", "pens")
TITLES = {f"{c}-{k}-{n}": f"{c} {k} {n}" for c in COLOURS for k in KINDS for n in range(5)}


def users():
    """Each user takes three things of one colour, and then wants one more."""
    rng = np.random.default_rng(0)
    sequences = []
    for number in range(40):
        colour = COLOURS[number % 4]
        same = [item for item in TITLES if item.startswith(colour)]
        sequences.append((f"u:{number}", [same[at] for at in rng.permutation(len(same))[:4]]))
    return sequences


def by_request(request, ids, popularity):
    """Know whether an item is that of the words and the colour of the history."""
    words = request.query.split()
    colour = request.history[-1].split("-")[0] if request.history else "-"
    return np.array(
        [
            2.0 * sum(word in TITLES[name] for word in words) + name.startswith(colour)
            for name in ids
        ]
    )


def words_only(request, ids, popularity):
    words = request.query.split()
    return np.array([float(sum(word in TITLES[name] for word in words)) for name in ids])


def run(score=by_request, open_blend=None):
    rows = [{"id": name, "title": title} for name, title in TITLES.items()]
    catalogue = EvalCatalogue(list(TITLES), list(TITLES.values()), rows)
    plan = plan_of_search(
        catalogue=catalogue, events=events_of(users()), weights=DEFAULT_EVENT_RULES
    )
    options = Options(
        Recipe(), make_encoder=fake_encoder, open_engine=opener(score), open_blend=open_blend
    )
    return evaluate(plan, "shop", options)


@pytest.fixture(scope="module")
def document():
    return run()


def ndcg(part):
    return part["ndcg@10"]["value"]


def test_the_three_ways_are_measured_and_both_is_the_main_result(document):
    search = document["search"]
    assert search["both"]["ndcg@10"] == document["metrics"]["ndcg@10"]
    assert search["both"]["recall@10"] == document["metrics"]["recall@10"]
    assert set(search["words"]["recall@10"]) == {"value", "low", "high"}
    # Twenty items are of the kind, fifty of the colour, five of both.
    assert ndcg(search["both"]) > 1.5 * max(ndcg(search["words"]), ndcg(search["history"]))
    assert document["protocol"] == "search"
    assert document["notes"]["most_titles_of_a_query_word"] == 20


def test_the_cases_are_also_told_by_the_words_of_the_query(document):
    (length, part), *others = document["search"]["by_query_words"].items()
    assert (length, part["n"], others) == ("1", document["n_users"], [])
    assert part["ndcg@10"]["both"] == pytest.approx(ndcg(document["search"]["both"]), abs=1e-6)
    assert set(part["ndcg@10"]) == {"words", "history", "both", *document["search"]["rules"]}


def test_the_rules_rank_the_items_that_hold_all_words(document):
    rules = document["search"]["rules"]
    by_history = rules["all words, by history"]
    # This engine orders the items of both as the rule does.
    assert ndcg(by_history) == pytest.approx(ndcg(document["search"]["both"]), abs=1e-6)
    assert by_history["engine_ratio"]["value"] == pytest.approx(1.0, abs=1e-6)
    by_popularity = rules["all words, by popularity"]
    assert 0 < ndcg(by_popularity) < ndcg(by_history)
    assert by_popularity["engine_ratio"]["low"] > 1.0


def test_the_fixed_blend_is_asked_in_the_same_run_where_there_is_one(document):
    assert "blend" not in document["search"]
    search = run(open_blend=opener(words_only))["search"]
    assert ndcg(search["blend"]["both"]) == ndcg(search["blend"]["words"])
    assert search["blend"]["words"]["engine_ratio"]["value"] == pytest.approx(1.0, abs=1e-6)
    gain = ndcg(search["both"]) / ndcg(search["blend"]["both"])
    assert search["blend"]["both"]["engine_ratio"]["value"] == pytest.approx(gain, abs=1e-4)


def test_lines_and_page_show_all_of_it(document):
    assert [label for label, _ in search_rows(document)] == [
        "recserve, words",
        "recserve, history",
        "recserve, both",
        "all words, by history",
        "all words, by popularity",
    ]
    lines = summary_lines(document)
    assert any(line.startswith("recserve, words") for line in lines)
    assert "By words, by history, and by both" in render(document)
    assert document["search"]["names"]["share"]["value"] is None
    assert document["search"]["names"]["n"] == 0


def films(tmp_path):
    cast = ["Ann Weaver", "Bob Stone", "Cy Hollow"]
    rows = [
        {
            "id": f"f{n}",
            "title": f"Silver Moon {n}",
            "text": f"A quiet film. With {cast[n % 3]} and somebody else{n}.",
        }
        for n in range(36)
    ] + [{"id": f"x{n}", "title": f"Other {n}", "text": "Nothing to say."} for n in range(90)]
    items = write_jsonl(tmp_path / "items.jsonl", rows)
    return build(items, None, Recipe(), tmp_path / "films", fake_encoder).bundle


def test_names_come_from_the_text_and_not_from_titles(tmp_path):
    texts = BundleTexts(open_bundle(films(tmp_path).path))
    names = drawn_names(texts, seed=0)
    assert {"Ann Weaver", "Bob Stone", "Cy Hollow"} <= set(names)
    assert "Silver Moon" not in names
    # There are three names only: phrases fill up. "Nothing to" stands in too many items.
    assert "quiet film" not in names
    assert drawn_names(texts, seed=0) == names


def test_the_share_counts_the_places_that_hold_the_name(tmp_path):
    path = films(tmp_path).path
    texts = BundleTexts(open_bundle(path))

    def all_but_one(request, ids, popularity):
        holds = set(texts.holding(request.query))
        wrong = {"x0"} if request.query == "Ann Weaver" else set()
        return np.array([2.0 * (name in wrong) + (name in holds) for name in ids])

    found = names_found(ScoreEngine(path, all_but_one), texts, ["Ann Weaver", "Bob Stone"])
    share = {"value": 0.95, "low": 0.9, "high": 1.0}
    assert found.document(0) == {"share": share, "n": 2, "short": {"Ann Weaver": 9}}
