"""The ablation for requests with words, on a shop whose customers keep to a colour."""

from dataclasses import replace

import numpy as np
import pytest

from app.core.errors import BadDataError
from app.evaluation.answers import Numbering
from app.evaluation.candidate_pools import training_queries_about
from app.evaluation.eval_catalogue import EvalCatalogue, events_of
from app.evaluation.evaluate import Options
from app.evaluation.search_cases import plan_of_search
from app.evaluation.word_ablation import VARIANTS, WordVariant, ablate_words, word_table
from app.evaluation.word_pools import WordPools, queries_in, word_material
from app.offline.input.recipe import DEFAULT_EVENT_RULES, Recipe
from app.offline.learning.train_scorer import Linear
from tests.bundles import fake_encoder, write_jsonl

pytestmark = pytest.mark.learning

COLOURS = ("red", "blue", "green", "grey")
KINDS = ("shoes", "hats", "lamps", "sofas", "rugs", "cups", "bowls", "desks", "beds", "pens")
TITLES = {f"{c}-{k}-{n}": f"{c} {k} {n}" for c in COLOURS for k in KINDS for n in range(3)}
OPTIONS = Options(Recipe(), make_encoder=fake_encoder)

FEW = {
    "full": WordVariant("", "all of it", Linear),
    "no-words": WordVariant(
        "features off", "words", Linear, ("lexical.*", "cosine.*"), exact=False
    ),
    "interplay": WordVariant("features off", "fit", Linear, ("fit.*",), modes=("both",)),
    "written": WordVariant("examples off", "written", Linear, kind_off="synthetic"),
    "unlearned": WordVariant("model", "fixed blend", None),
    "judged": WordVariant(
        "examples off", "judgements", Linear, kind_off="judged", modes=("words",)
    ),
}


def shop(users=620, titles=TITLES):
    """Each user takes six things of one colour; the last is asked for by a word of its title."""
    rng = np.random.default_rng(0)
    by_colour = [[name for name in titles if name.startswith(colour)] for colour in COLOURS]
    lists = []
    for user in range(users):
        same = by_colour[user % len(COLOURS)]
        lists.append((f"u:{user}", [same[at] for at in rng.permutation(len(same))[:6]]))
    rows = [{"id": name, "title": title} for name, title in titles.items()]
    catalogue = EvalCatalogue(list(titles), list(titles.values()), rows)
    return plan_of_search(catalogue=catalogue, events=events_of(lists), weights=DEFAULT_EVENT_RULES)


@pytest.fixture(scope="module")
def document():
    return ablate_words(shop(), "shop", OPTIONS, FEW)


@pytest.fixture(scope="module")
def material(tmp_path_factory):
    return word_material(shop(), OPTIONS, tmp_path_factory.mktemp("material"))


def ndcg(document, name, mode):
    return document["variants"][name]["modes"][mode]["ndcg@10"]["value"]


def test_a_missing_piece_shows_in_the_mode_that_it_belongs_to(document):
    assert ndcg(document, "no-words", "words") < 0.5 * ndcg(document, "full", "words")
    assert ndcg(document, "full", "both") > ndcg(document, "full", "words")
    assert "words" not in document["variants"]["interplay"]["modes"]
    assert document["modes"]["words"]["candidates"]["recall"] == 1.0
    assert document["modes"]["words"]["examples"].keys() == {"synthetic"}


def test_differences_are_to_the_first_in_the_same_mode(document):
    for mode in ("words", "both"):
        assert "difference" not in document["variants"]["full"]["modes"][mode]
        apart = ndcg(document, "no-words", mode) - ndcg(document, "full", mode)
        difference = document["variants"]["no-words"]["modes"][mode]["difference"]
        assert difference["value"] == pytest.approx(apart, abs=2e-6)
        assert difference["low"] <= difference["value"] <= difference["high"]


def test_without_its_examples_a_mode_has_the_fixed_blend(document):
    for mode in ("words", "both"):
        assert ndcg(document, "written", mode) == ndcg(document, "unlearned", mode)
    judged = document["variants"]["judged"]["modes"]
    assert judged == {"words": {"unavailable": "no such examples"}}


def test_judgements_of_the_recipe_are_examples_of_words(tmp_path):
    rows = [
        {"query": f"{colour} {kind}", "item_id": f"{one}-{kind}-0", "grade": int(one == colour)}
        for colour in COLOURS
        for kind in KINDS
        for one in COLOURS
    ]
    path = write_jsonl(tmp_path / "judged.jsonl", rows)
    recipe = Recipe.model_validate({"judgements": {"path": str(path)}})
    material = word_material(shop(), Options(recipe, make_encoder=fake_encoder), tmp_path)
    kinds = material.examples("words").kinds.tolist()
    assert kinds.count(3) == len(COLOURS) * len(KINDS)
    assert 3 not in material.examples("both").kinds


def test_columns_that_the_build_found_by_their_names_are_read(tmp_path):
    """`overview` is read as the text; the template of the recipe names it as the file does."""
    rows = [
        {"id": name, "title": title, "overview": "made by hand"} for name, title in TITLES.items()
    ]
    recipe = Recipe(text="{title}. {overview}")
    path = write_jsonl(tmp_path / "items.jsonl", rows)
    catalogue = EvalCatalogue(list(TITLES), list(TITLES.values()), path)
    plan = replace(shop(), catalogue=catalogue)
    side = word_material(plan, Options(recipe, make_encoder=fake_encoder), tmp_path).side
    assert len(side.words.rows_with("made hand")) == len(TITLES)


def test_words_alone_hide_the_history_but_do_not_know_it(material):
    plan = shop()
    queries = training_queries_about(plan.folds[0].cases, Numbering.of(plan.catalogue.ids))[:70]
    for query, asked in zip(queries, queries_in("words", queries), strict=True):
        assert query.query == asked.query != ""
        assert asked.recent.size == 0
        assert asked.hidden.tolist() == query.recent.tolist()
    pools = WordPools(queries, "words", material)
    everything = pools.ranks(lambda columns, _: np.zeros(columns.shape[1], np.float32))
    # All are equal: the target stands in the middle of the items that the user has not had.
    assert everything.tolist() == [(len(TITLES) - 5 - 1) / 2] * 70
    by_popularity = material.names("words").index("item.popularity")
    off = pools.ranks(lambda columns, _: columns[by_popularity], [by_popularity])
    assert off.tolist() == everything.tolist()


def test_the_table_has_a_row_a_variant(document):
    lines = word_table(document)
    assert len(lines) == 2 + len(FEW)
    assert {line.count("|") for line in lines} == {7}
    assert lines[2].startswith("|  | all of it | ")
    assert lines[4].startswith("|  | fit |  |  | ")
    assert lines[-1] == "| examples off | judgements | no such examples |  |  |  |"


def test_every_pattern_of_a_variant_names_features(material):
    names = material.names("both")
    for variant in VARIANTS.values():
        for pattern in variant.features_off:
            start, _, end = pattern.partition("*")
            assert any(name.startswith(start) and name.endswith(end) for name in names), pattern


def test_what_cannot_be_learned_from_is_refused():
    with pytest.raises(BadDataError, match="fewer than 100 items"):
        ablate_words(shop(titles=dict(list(TITLES.items())[:90])), "small", OPTIONS, FEW)
    with pytest.raises(BadDataError, match="fewer than 500 events"):
        ablate_words(shop(users=20), "few", OPTIONS, FEW)
