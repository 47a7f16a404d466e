"""Which columns are taken for price, rating, runtime, brand and provider, through whole builds."""

import tomllib

import pytest

from app.bundle.reader import open_bundle
from app.core.errors import UsageError
from app.offline.build import build, retrain
from app.offline.input.recipe import Recipe, Roles, load_recipe
from app.offline.input.roles import guessed_column, guessed_unit_of
from tests.bundles import fake_encoder, fake_opened, write_jsonl


def built(folder, *items, recipe=None):
    rows = [{"id": number, "title": f"thing {number}", **item} for number, item in enumerate(items)]
    path = write_jsonl(folder / "items.jsonl", rows)
    return build(path, None, recipe or Recipe(), folder / "shop", fake_encoder)


@pytest.mark.parametrize(
    ("role", "names"),
    [
        ("price", ["Price", "list_price", "priceUSD", "price (€)", "Precio", "PREÇO", "价格(元)"]),
        ("price", ["販売価格", "цена", "product_price", "price in yen", "가격"]),
        ("rating", ["avgRating", "Average Rating", "vote_average", "Bewertung", "评分", "평점"]),
        ("runtime", ["Runtime", "duration_s", "running time", "Durée (min.)", "片长(分钟)"]),
        ("runtime", ["length_ms", "track_duration_ms", "Spieldauer", "length in minutes"]),
        ("runtime", ["minutes", "reading_minutes", "read_time_min", "playtime", "Seconds"]),
        ("brand", ["brand_name", "Hersteller", "Marca", "品牌", "ブランド", "productBrand"]),
        ("provider", ["publisher", "Artist", "Verlag", "seller_name", "出版社", "éditeur"]),
    ],
)
def test_the_usual_names_in_several_languages(role, names):
    kind = "string" if role in {"brand", "provider"} else "number"
    other = "number" if kind == "string" else "string"
    assert [name for name in names if guessed_column(role, {name: kind})] == names
    assert not [name for name in names if guessed_column(role, {name: other})]


@pytest.mark.parametrize(
    ("role", "name"),
    [
        ("price", "price_level"),
        ("price", "priceless"),
        ("price", "price_in_cents"),  # a hundred times too much
        ("price", "old"),
        ("rating", "rating_count"),
        ("rating", "ratings_total"),
        ("rating", "score"),
        ("runtime", "length"),
        ("runtime", "length_cm"),
        ("runtime", "length_m"),
        ("runtime", "minutes_to_closing_time"),
        ("runtime", "time"),
        ("runtime", "in"),
        ("runtime", "min"),
        ("runtime", "std"),
        ("runtime", ""),
    ],
)
def test_names_that_only_look_like_one(role, name):
    assert guessed_column(role, {name: "number"}) is None


def test_the_likeliest_name_wins_and_the_first_of_equal_ones():
    assert guessed_column("price", {"list_price": "number", "price": "number"}) == "price"
    assert guessed_column("price", {"price_eur": "number", "price_usd": "number"}) == "price_eur"


def test_a_column_that_is_mostly_filled_comes_before_a_likelier_name(tmp_path):
    sale = [{"sale price": 3, "regular price": 5}, {"regular price": 6}, {"regular price": 7}]
    assert built(tmp_path, *sale).bundle.manifest.roles == {"price": "regular price"}
    assert built(tmp_path, sale[0]).bundle.manifest.roles == {"price": "sale price"}
    assert built(tmp_path, {"price": 3}, {}, {}).bundle.manifest.roles == {"price": "price"}


@pytest.mark.parametrize(
    ("name", "values", "unit"),
    [
        ("duration_s", [2.0], "seconds"),
        ("runtime_sec", [2.0], "seconds"),
        ("length_ms", [2.0], "milliseconds"),
        ("DurationMs", [2.0], "milliseconds"),
        ("Dauer (Stunden)", [2.0], "hours"),
        ("时长(秒)", [2.0], "seconds"),
        ("duration_min", [7000.0], "minutes"),
        ("runtime", [95.0, 120.0, None, 88.0], "minutes"),
        ("runtime", [5700.0, 7200.0, None], "seconds"),
        ("duration", [180_000.0, 240_000.0], "milliseconds"),
        ("duration", [], "minutes"),
    ],
)
def test_the_unit_of_a_runtime(name, values, unit):
    assert guessed_unit_of(name, values) == unit


def test_a_guess_is_in_the_manifest_and_its_lines_are_a_recipe(tmp_path):
    item = {"Preis": 9.5, "Hersteller": "Acme", "时长(秒)": 90, "pages": 12, "stars": 4}
    report = built(tmp_path, item, {**item, "Preis": None})
    manifest = open_bundle(tmp_path / "shop").manifest
    assert manifest.roles == {
        "price": "Preis",
        "rating": "stars",
        "runtime": "时长(秒)",
        "brand": "Hersteller",
    }
    assert manifest.units == {"时长(秒)": "seconds"}
    shown = str(report).splitlines()
    first = shown.index(
        'guessed; to correct a line, write it in the recipe ("" switches a role off):'
    )
    lines = "\n".join(shown[first + 1 : first + 8])
    assert tomllib.loads(lines) == {"roles": manifest.roles, "units": manifest.units}

    (tmp_path / "r.toml").write_text(lines)
    again = built(tmp_path, item, recipe=load_recipe(tmp_path / "r.toml"))
    assert again.bundle.manifest.roles == manifest.roles
    assert again.bundle.manifest.units == manifest.units
    assert again.guesses == ()
    assert "guessed" not in str(again)


def test_the_recipe_wins_and_an_empty_role_is_not_guessed(tmp_path):
    item = {"price": 9.5, "cost": 5, "brand": "Acme", "publisher": "Acme", "runtime": 90}
    (tmp_path / "r.toml").write_text(
        '[roles]\nprice = "cost"\nbrand = "publisher"\nruntime = "runtime"\nrating = ""\n'
        '[units]\nruntime = "hours"\n'
    )
    report = built(tmp_path, {**item, "rating": 4}, recipe=load_recipe(tmp_path / "r.toml"))
    manifest = report.bundle.manifest
    # The publisher is the brand already, so it is not the provider as well.
    assert manifest.roles == {"price": "cost", "runtime": "runtime", "brand": "publisher"}
    assert manifest.units == {"runtime": "hours"}
    assert report.guesses == ()


def test_a_runtime_of_the_recipe_still_needs_a_unit(tmp_path):
    report = built(tmp_path, {"d": 90}, recipe=Recipe(roles=Roles(runtime="d")))
    assert report.bundle.manifest.units == {"d": "minutes"}
    assert report.guesses[1:] == ("  [units]", '  d = "minutes"')


def test_columns_of_our_own_fields_and_empty_ones_have_no_role(tmp_path):
    recipe = load_recipe_of(tmp_path, '[items]\ntitle = "brand"\n')
    report = built(tmp_path, {"brand": "Acme", "publisher": None}, recipe=recipe)
    assert report.bundle.manifest.roles == {}
    assert report.bundle.manifest.units == {}


def test_a_unit_must_be_of_a_column_of_numbers(tmp_path):
    for units, message in (
        ('nothing = "hours"', r"units\.nothing: the items have no column 'nothing'"),
        ('brand = "hours"', r"units\.brand: the column 'brand' holds no numbers"),
    ):
        recipe = load_recipe_of(tmp_path, f"[units]\n{units}\n")
        with pytest.raises(UsageError, match=rf"^recipe\.toml: {message}"):
            built(tmp_path, {"brand": "Acme"}, recipe=recipe)


def test_learning_again_keeps_roles_and_units(tmp_path):
    built(tmp_path, {"duration_s": 90, "price": 1})
    events = write_jsonl(tmp_path / "e.jsonl", [{"user_id": 1, "item_id": 0}])
    manifest = retrain(tmp_path / "shop", events, open_encoder=fake_opened).bundle.manifest
    assert manifest.roles == {"price": "price", "runtime": "duration_s"}
    assert manifest.units == {"duration_s": "seconds"}


def load_recipe_of(folder, text):
    (folder / "recipe.toml").write_text(text)
    return load_recipe(folder / "recipe.toml")
