"""A whole build: files in, a verified bundle out, values against a hand-made oracle."""

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from app.bundle.reader import load_arrays, load_vectors, open_bundle
from app.core.errors import BadDataError, BundleError, EngineError, UsageError
from app.domain.columns import decode_column, parts_of
from app.engine.open import info_of
from app.offline.build import build, retrain
from app.offline.demo import build_demo
from app.offline.input.recipe import (
    Defaults,
    EventColumns,
    ItemColumns,
    Recipe,
    Roles,
    load_recipe,
)
from app.serving.stores.bundle_users import BundleUserStore
from app.testing.encoder import HashEncoder
from tests.bundles import ITEMS, build_small, fake_encoder, fake_opened, write_jsonl


@pytest.fixture
def report(tmp_path):
    return build_small(tmp_path, tmp_path / "shop")


def column(bundle, name):
    kinds = {"id": "string", "title": "string", **bundle.manifest.attributes}
    arrays = load_arrays(bundle, "items.safetensors")
    parts = {
        key.rpartition("/")[2]: a for key, a in arrays.items() if key.rpartition("/")[0] == name
    }
    decoded = decode_column(kinds[name], parts)
    return [decoded.value(row) for row in range(len(decoded))]


def test_a_build_names_kinds_without_a_rule_and_what_stars_were_taken_for(tmp_path):
    events = [
        {"user_id": 1, "item_id": 1, "rating": 0.5},
        {"user_id": 1, "item_id": 2, "event": "purchases", "shop": "x"},
    ]
    done = build(
        write_jsonl(tmp_path / "items.jsonl", ITEMS),
        write_jsonl(tmp_path / "events.jsonl", events),
        Recipe(),
        tmp_path / "shop",
        fake_encoder,
    )
    lines = str(done).splitlines()
    assert "  column 'rating' was read as the value of 1 ratings; a value from 3.5 is positive" in (
        lines
    )
    assert "  columns that were not used: 'shop'" in lines
    assert (
        "  warning: 1 × events of kind 'purchases' have no rule, so they shape nothing; "
        "nearest kind: 'purchase'"
    ) in lines
    assert load_arrays(done.bundle, "signals.safetensors")["popularity"].tolist() == [0, 0, 0]


def test_ratings_of_ten_are_judged_by_their_scale_in_building_and_serving(tmp_path):
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    ratings = [
        {"user_id": user, "item_id": item, "rating": value}
        for user, item, value in [(1, 1, 9), (2, 2, 5), (3, 1, 7)]
    ]
    events = write_jsonl(tmp_path / "events.jsonl", ratings)
    done = build(items, events, Recipe(), tmp_path / "shop", fake_encoder)
    assert load_arrays(done.bundle, "signals.safetensors")["popularity"].tolist() == [1.0, 0.0, 0.0]
    again = retrain(tmp_path / "shop", events, open_encoder=fake_opened)
    build(items, None, Recipe(), tmp_path / "later", fake_encoder)
    later = retrain(tmp_path / "later", events, open_encoder=fake_opened)
    for bundle in (done.bundle, again.bundle, later.bundle):
        rule = bundle.manifest.recipe["weights"]["rating"]
        assert rule == {"weight": 1.0, "positive_from": 7.0}
    assert str(later).count("ratings: a value from 7 is positive") == 1


def test_the_items_of_a_bundle(report, tmp_path):
    bundle = open_bundle(tmp_path / "shop")
    assert bundle == report.bundle
    assert column(bundle, "id") == ["1", "2", "drei"]
    assert column(bundle, "title") == ["Heat", "Alien", None]
    assert column(bundle, "text") == [None, "In space.", None]
    assert column(bundle, "categories") == [["Crime", "Drama"], ["Horror"], None]
    assert column(bundle, "published_at") == [1995, None, "2016-01-02T03:04:05Z"]
    assert column(bundle, "price") == [9.5, 7, None]


def test_the_manifest(report):
    manifest = report.bundle.manifest
    assert (manifest.n_items, manifest.n_users, manifest.n_events) == (3, 2, 4)
    assert manifest.attributes == {
        "text": "string",
        "categories": "strings",
        "published_at": "time",
        "price": "number",
    }
    assert (manifest.encoder.id, manifest.encoder.dim, manifest.index.kind) == ("hash-8", 8, "flat")
    assert (manifest.trained_until, manifest.journal_seq) == (400.0, 0)
    assert manifest.counts == {
        "item_rows": 3,
        "item_rejected": 0,
        "item_duplicates": 0,
        "missing_title": 1,
        "missing_title_and_text": 1,
        "event_rows": 4,
        "event_rejected": 0,
        "event_duplicates": 0,
        "unknown_item": 1,
        "unknown_event": 0,
    }


def test_the_vectors_are_those_of_the_texts_in_row_order(report):
    texts = ["Heat. Crime, Drama", "Alien. Horror. In space."]
    vectors = load_vectors(report.bundle)
    assert np.array_equal(vectors[:2], HashEncoder(dim=8).encode(texts))
    assert not vectors[2].any(), "an item without text has no vector"


def test_popularity_is_the_logarithm_of_positive_weights(report):
    popularity = load_arrays(report.bundle, "signals.safetensors")["popularity"]
    assert popularity.tolist() == [1.0, 1.0, 0.0]  # a click each; the dislike takes nothing away


def test_only_a_build_from_ratings_knows_what_is_rated_well(tmp_path, report):
    assert "rated" not in load_arrays(report.bundle, "signals.safetensors")
    ratings = [
        {"user_id": user, "item_id": item, "rating": stars}
        for user, item, stars in [(1, 1, 2), (2, 1, 4), (1, "gone", 5), (3, 2, 4.5)]
    ]
    events = write_jsonl(tmp_path / "ratings.jsonl", ratings)
    items = tmp_path / "items.jsonl"
    bundle = build(items, events, Recipe(), tmp_path / "films", fake_encoder).bundle
    rated = load_arrays(bundle, "signals.safetensors")["rated"]
    mean = 10.5 / 3
    assert rated.dtype == np.float32
    assert rated[:2] == pytest.approx([(6 + 1.5 * mean) / 3.5, (4.5 + 1.5 * mean) / 2.5])
    assert np.isnan(rated[2])
    assert (
        retrain(
            tmp_path / "films", tmp_path / "events.jsonl", open_encoder=fake_opened
        ).bundle.manifest.n_events
        == 4
    )
    assert "rated" not in load_arrays(open_bundle(tmp_path / "films"), "signals.safetensors")


async def test_histories_are_oldest_first_and_keep_unknown_items(report):
    store = BundleUserStore.open(report.bundle)
    assert len(store) == 2
    assert await store.history("u:7") == ("gone", "2", "1")
    assert await store.history("s:7") == ()
    assert await store.history("u:8") == await store.history("") == await store.history("z") == ()
    await store.aclose()
    await store.aclose()
    assert await store.history("u:7") == ()


def test_a_build_without_events(tmp_path):
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    report = build(items, None, Recipe(), tmp_path / "shop", fake_encoder)
    assert str(report).splitlines()[3] == "no events"
    bundle = report.bundle
    assert (bundle.manifest.n_users, bundle.manifest.n_events) == (0, 0)
    assert bundle.manifest.trained_until is None
    assert not load_arrays(bundle, "signals.safetensors")["popularity"].any()
    assert len(BundleUserStore.open(bundle)) == 0


def test_the_report_is_a_few_readable_lines(report):
    head, items, read_as, events, same, *guessed, learned, times = str(report).splitlines()
    assert head.startswith("shop/")
    assert head.endswith("3 items, 2 users, 4 events, encoder hash-8 (8)")
    assert items == (
        "items.jsonl: 3 rows, 0 unusable, 0 duplicates, 1 missing title, 1 missing title and text"
    )
    assert events == "events.jsonl: 4 rows, 0 unusable, 0 duplicates, 1 unknown item"
    assert read_as == same == "  read as: JSON Lines, UTF-8"
    assert list(report.seconds) == [
        "read",
        "export",
        "encode",
        "index",
        "distil",
        "learn",
        "publish",
    ]
    assert guessed == [
        'guessed; to correct a line, write it in the recipe ("" switches a role off):',
        "  [roles]",
        '  price = "price"',
    ]
    assert learned.startswith("nothing learned")
    assert times.startswith("read ")


def test_the_verdict_of_the_gate_stands_before_the_times(report):
    lines = str(replace(report, verdict="gate: fine")).splitlines()
    assert lines[:-2] == str(report).splitlines()[:-1]
    assert lines[-2] == "gate: fine"


def test_bad_data_publishes_nothing(tmp_path):
    good = write_jsonl(tmp_path / "good.jsonl", ITEMS)
    bad = write_jsonl(tmp_path / "bad.jsonl", [{}, {}])
    for items, events in ((bad, None), (good, bad)):
        with pytest.raises(BadDataError):
            build(items, events, Recipe(), tmp_path / "shop", fake_encoder)
    with pytest.raises(BundleError):
        open_bundle(tmp_path / "shop")


def test_paths_given_override_those_of_the_recipe(tmp_path):
    write_jsonl(tmp_path / "mine.jsonl", [{"id": "mine"}])
    write_jsonl(tmp_path / "clicks.jsonl", [{"user_id": 1, "item_id": "mine"}])
    (tmp_path / "r.toml").write_text(
        "[items]\npath = 'mine.jsonl'\n[events]\npath = 'clicks.jsonl'\n"
    )
    recipe = load_recipe(tmp_path / "r.toml")
    bundle = build(None, None, recipe, tmp_path / "shop", fake_encoder).bundle
    assert column(bundle, "id") == ["mine"]
    assert bundle.manifest.n_events == 1
    given_ = write_jsonl(tmp_path / "given.jsonl", [{"id": "given"}])
    assert column(build(given_, None, recipe, tmp_path / "shop", fake_encoder).bundle, "id") == [
        "given"
    ]


def test_no_items_at_all_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match="--items"):
        build(None, None, Recipe(), tmp_path / "shop", fake_encoder)


def test_a_template_may_use_our_names_attributes_and_mapped_columns(tmp_path):
    items = write_jsonl(
        tmp_path / "i.jsonl", [{"id": 1, "name": "Heat", "year": 1995, "brand": "W"}]
    )
    columns = ItemColumns(title="name", published_at="year")
    recipe = Recipe(items=columns, text="{name} {title} ({published_at}). {brand}")
    bundle = build(items, None, recipe, tmp_path / "shop", fake_encoder).bundle
    assert np.array_equal(load_vectors(bundle), HashEncoder(8).encode(["Heat Heat (1995). W"]))


def test_a_template_with_an_unknown_column_is_a_usage_error(tmp_path):
    with pytest.raises(
        UsageError, match=r"text: there is no column 'colour'; there are categories"
    ):
        build_small(tmp_path, tmp_path / "shop", Recipe(text="{colour}"))


def test_roles_are_checked_and_kept(tmp_path):
    recipe = Recipe(roles=Roles(price="price", brand="text"))
    manifest = build_small(tmp_path, tmp_path / "shop", recipe).bundle.manifest
    assert manifest.roles == {"price": "price", "brand": "text"}
    with pytest.raises(UsageError, match=r"roles\.price.*no column 'cost'"):
        build_small(tmp_path, tmp_path / "shop", Recipe(roles=Roles(price="cost")))
    with pytest.raises(UsageError, match=r"roles\.price.*'title' holds no numbers"):
        build_small(tmp_path, tmp_path / "shop", Recipe(roles=Roles(price="title")))


def test_the_default_of_max_per_is_checked_and_kept(tmp_path):
    recipe = Recipe(defaults=Defaults(max_per={"title": 1, "price": 2}))
    bundle = build_small(tmp_path, tmp_path / "shop", recipe).bundle
    assert info_of(bundle).max_per == (("price", 2), ("title", 1))
    assert info_of(build_small(tmp_path, tmp_path / "shop").bundle).max_per == ()
    for name in ("colour", "id"):
        recipe = Recipe(defaults=Defaults(max_per={name: 1}))
        with pytest.raises(
            UsageError, match=rf"defaults\.max_per: there is no column '{name}'; there"
        ):
            build_small(tmp_path, tmp_path / "shop", recipe)


def test_an_encoder_that_lies_publishes_nothing(tmp_path):
    class Lying(HashEncoder):
        def encode(self, texts, role="item"):
            return super().encode(texts, role) * np.float32(math.nan)

    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    with pytest.raises(EngineError, match="unit length"):
        build(items, None, Recipe(), tmp_path / "shop", lambda *_: Lying(dim=8))
    assert [path.name for path in (tmp_path / "shop").iterdir()] == [".lock"]


# --- real data


def test_the_demo_has_all_films_and_ratings(tmp_path):
    report = build_demo(tmp_path / "demo", fake_encoder, learning=False)
    manifest = open_bundle(report.bundle.path).manifest
    assert (manifest.n_items, manifest.n_users, manifest.n_events) == (9066, 671, 100_004)
    assert manifest.counts["missing_title"] == 5
    assert (manifest.counts["unknown_item"], manifest.counts["unknown_event"]) == (0, 0)
    assert column(report.bundle, "title")[:2] == ["Toy Story", "Jumanji"]
    assert column(report.bundle, "published_at").count(None) == 5
    assert column(report.bundle, "categories").count(None) == 17


def test_csv_files_as_they_are_downloaded(tmp_path):
    folder = Path(os.environ.get("RECSERVE_SHARED", "../shared")) / "data" / "ml-latest-small"
    if not folder.is_dir() and os.environ.get("RECSERVE_REQUIRE_DATA") != "1":
        pytest.skip("the data of ml-latest-small is not here")
    recipe = Recipe(
        items=ItemColumns(id="movieId", categories="genres"),
        events=EventColumns(
            user_id="userId", item_id="movieId", value="rating", default_event="rating"
        ),
    )
    args = (folder / "movies.csv", folder / "ratings.csv", recipe, tmp_path / "ml", fake_encoder)
    manifest = build(*args, learning=False).bundle.manifest
    assert (manifest.n_items, manifest.n_users, manifest.n_events) == (9742, 610, 100_836)
    assert manifest.counts["item_rejected"] == manifest.counts["event_rejected"] == 0


def test_users_of_a_file_are_in_the_bundle_and_survive_training(tmp_path):
    people = [{"id": 7, "country": "NZ", "age": 31}, {"id": "new", "country": "DE"}]
    (tmp_path / "recipes").mkdir()
    write_jsonl(tmp_path / "recipes" / "people.jsonl", people)
    file = tmp_path / "recipes" / "shop.toml"
    file.write_text('[users]\npath = "people.jsonl"\nattributes = ["country"]\n')
    report = build_small(tmp_path, tmp_path / "shop", load_recipe(file))

    manifest = report.bundle.manifest
    assert manifest.user_attributes == info_of(report.bundle).user_attributes
    assert manifest.user_attributes == {"country": "string"}
    assert (manifest.n_users, manifest.counts["user_rows"]) == (2, 2)
    assert "path" not in manifest.recipe["users"]
    assert "people.jsonl: 2 rows, 0 unusable, 0 duplicates" in str(report).splitlines()

    bundles = [
        report.bundle,
        retrain(tmp_path / "shop", tmp_path / "events.jsonl", open_encoder=fake_opened).bundle,
    ]
    for bundle in bundles:
        store = BundleUserStore.open(bundle)
        keys = [store.key(place) for place in range(len(store))]
        assert [(key, store.attributes_at(place)) for place, key in enumerate(keys)] == [
            ("s:7", ()),
            ("u:7", (("country", "NZ"),)),
            ("u:new", (("country", "DE"),)),
        ]
    assert bundles[1].manifest.user_attributes == {"country": "string"}


def test_judgements_are_reported_by_builds_and_by_training(tmp_path):
    rows = [
        {"query": "robots", "item_id": item, "relevance": grade}
        for item, grade in ((ITEMS[0]["id"], 4), ("gone", 1), (ITEMS[1]["id"], None))
    ]
    graded = write_jsonl(tmp_path / "graded.jsonl", rows)
    file = tmp_path / "shop.toml"
    file.write_text('[judgements]\npath = "graded.jsonl"\ngrade = "relevance"\n')
    built = build_small(tmp_path, tmp_path / "shop", load_recipe(file))
    said = (
        "graded.jsonl: 3 rows, 1 unusable, 0 duplicates, 1 judged query of one grade, "
        "1 unknown judged item"
    )
    assert said in str(built).splitlines()
    assert "path" not in built.bundle.manifest.recipe["judgements"]
    counts = built.bundle.manifest.counts
    assert (counts["judgement_rows"], counts["unknown_judged_item"]) == (3, 1)
    assert counts["unknown_item"] == 1  # of the events

    def trained(**rest):
        def opened(_):
            return HashEncoder(dim=8)

        events = tmp_path / "events.jsonl"
        return retrain(tmp_path / "shop", events, open_encoder=opened, **rest)

    again = trained(judgements=graded)
    assert said in str(again).splitlines()
    assert again.bundle.manifest.counts == counts
    without = trained().bundle.manifest.counts
    assert not any("judge" in name for name in without)


@pytest.mark.learning
def test_a_catalogue_without_events_learns_words_from_judgements(tmp_path):
    """People want what the text says; the fixed order prefers what the title says."""
    brands, stuffs = (range(12), range(10))
    pairs = [(brand, stuff) for brand in brands for stuff in stuffs]
    rows = [
        {
            "id": f"{b}-{s}-{copy}",
            "title": f"brand{chr(97 + b)}",
            "text": f"made of stuff{chr(97 + s)}",
        }
        for b, s in pairs
        for copy in range(3)  # words of 20 items and fewer are rare, and exact words decide there
    ]
    items = write_jsonl(tmp_path / "items.jsonl", rows)
    judged = [
        {
            "query": f"brand{chr(97 + b)} stuff{chr(97 + s)}",
            "item_id": f"{other}-{stuff}-0",
            "grade": 2 if stuff == s else 0,
        }
        for b, s in pairs
        for other, stuff in pairs
        if (other == b) != (stuff == s)
    ]
    graded = write_jsonl(tmp_path / "graded.jsonl", judged)
    built = build(items, None, Recipe(), tmp_path / "shop", fake_encoder, judgements=graded)
    learned = built.bundle.manifest.learned
    assert set(learned.features) == {"words"}
    assert learned.metrics["words_judged_held_out"] == 120.0
    assert learned.metrics["words_judged_ndcg@10"] > 0.7
    assert learned.metrics["words_judged_unlearned_ndcg@10"] < 0.4
    assert any("judged" in line for line in str(built).splitlines() if line.startswith("learned:"))


def test_a_bundle_whose_attributes_do_not_fit_is_refused(tmp_path):
    users = write_jsonl(tmp_path / "users.jsonl", [{"id": 7, "age": 31}])
    items = write_jsonl(tmp_path / "items.jsonl", ITEMS)
    bundle = build(items, None, Recipe(), tmp_path / "shop", fake_encoder, users=users).bundle
    arrays = load_arrays(bundle, "users.safetensors")
    ids = decode_column("string", parts_of(load_arrays(bundle, "items.safetensors"), "id"))
    with pytest.raises(BundleError, match="attributes of users"):
        BundleUserStore({**arrays, "attribute/age/values": np.zeros(2)}, ids, {"age": "number"})
    with pytest.raises(BundleError, match="sound part"):
        BundleUserStore(arrays, ids, {"city": "number"})
