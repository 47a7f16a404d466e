"""Recipes: every key checked, messages that name key and file; and the text template."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.core.errors import UsageError
from app.domain.item_text import TextTemplate
from app.offline.input.recipe import DEFAULT_EVENT_RULES, EventRule, Recipe, load_recipe
from app.offline.presets import DEMO


def load(tmp_path, text):
    path = tmp_path / "shop.toml"
    path.write_text(text)
    return load_recipe(path)


def test_an_empty_recipe_is_the_default_one(tmp_path):
    assert load(tmp_path, "").model_dump() == Recipe().model_dump()
    assert Recipe().weights == DEFAULT_EVENT_RULES


def test_every_section_is_read(tmp_path):
    recipe = load(
        tmp_path,
        """
        encoder = "other"
        text = "{name}"
        [items]
        path = "data/items.csv"
        id = "sku"
        [events]
        user_id = "who"
        default_event = "buy"
        [weights]
        buy = { weight = 5, positive_from = 1 }
        click = { weight = 0 }
        [roles]
        price = "cost"
        brand = ""
        [units]
        length = "seconds"
        [defaults]
        max_per = { title = 1 }
        """,
    )
    assert (recipe.encoder, recipe.text, recipe.items.id) == ("other", "{name}", "sku")
    assert recipe.items.path == str(tmp_path / "data/items.csv")
    assert (recipe.events.user_id, recipe.events.default_event) == ("who", "buy")
    assert recipe.weights["buy"] == EventRule(weight=5.0, positive_from=1.0)
    assert recipe.weights["click"].weight == 0
    assert recipe.weights["rating"] == DEFAULT_EVENT_RULES["rating"]
    assert recipe.roles.attributes() == {"price": "cost"}
    assert recipe.roles.model_fields_set == {"price", "brand"}
    assert recipe.units == {"length": "seconds"}
    assert recipe.defaults.max_per == {"title": 1}
    # As the manifest of a bundle carries it.
    again = Recipe.model_validate(recipe.shown())
    assert (again.roles, again.units, again.defaults) == (
        recipe.roles,
        recipe.units,
        recipe.defaults,
    )
    assert again.roles.model_fields_set == {"price", "brand"}
    assert recipe.file == "shop.toml"


def test_an_encoder_may_be_a_folder_seen_from_the_recipe(tmp_path):
    (tmp_path / "my-model").mkdir()
    recipe = load(tmp_path, 'encoder = "my-model"')
    assert recipe.encoder == str(tmp_path / "my-model")
    assert recipe.shown()["encoder"] == "my-model"  # a manifest shows no folders
    assert load(tmp_path, 'encoder = "org/my-model"').encoder == "org/my-model"
    assert "encoder" not in load(tmp_path, "").shown()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("encodr = 'x'", "encodr"),
        ("encoder = 5", "encoder"),
        ("encoder = ''", "encoder"),
        ("[items]\ntitel = 'x'", r"items\.titel"),
        ("[items]\nid = 5", r"items\.id"),
        ("[events]\nitems = 'x'", r"events\.items"),
        ("[events]\ndefault_event = ''", r"events\.default_event"),
        ("[weights]\nbuy = 5", r"weights\.buy"),
        ("weights = 5", "weights"),
        ("[weights.buy]\nweight = inf", r"weights\.buy\.weight"),
        ("[weights.glance]\nhalf_life_days = 1", r"weights\.glance\.weight"),
        ("[weights.view]\nhalf_life_days = 0", r"weights\.view\.half_life_days"),
        ("[weights.view]\nhalf_life_days = -7", r"weights\.view\.half_life_days"),
        ("[weights.view]\nhalf_life_days = inf", r"weights\.view\.half_life_days"),
        ("[weights.view]\nhalf_life_days = nan", r"weights\.view\.half_life_days"),
        ("[weights.view]\nhalf_life_days = '7d'", r"weights\.view\.half_life_days"),
        ("[weights.buy]\nwieght = 1", r"weights\.buy\.we?ie?ght"),
        ("[roles]\ncolour = 'x'", r"roles\.colour"),
        ("[units]\nlength = 'weeks'", r"units\.length"),
        ("[defaults]\nk = 5", r"defaults\.k"),
        ("[defaults]\nmax_per = { title = 0 }", r"defaults\.max_per\.title"),
        ("[defaults]\nmax_per = { title = 101 }", r"defaults\.max_per\.title"),
        ("[defaults]\nmax_per = { a = 1, b = 1, c = 1, d = 1, e = 1 }", r"defaults\.max_per"),
        ("[defaults]\nmax_per = { title = 1.5 }", r"defaults\.max_per\.title"),
        ("text = 'no field'", "text"),
        ("text = '{a'", "text"),
        ("text = '{}'", "text"),
        ("text = '{a!r}'", "text"),
        ("text = '{a:>5}'", "text"),
    ],
)
def test_a_wrong_key_is_named_with_its_file(tmp_path, text, key):
    with pytest.raises(UsageError, match=rf"^shop\.toml: {key}: "):
        load(tmp_path, text)


def test_a_kind_that_only_fades_keeps_its_default_weight(tmp_path):
    recipe = load(
        tmp_path,
        """
        [weights]
        view = { half_life_days = 7 }
        rating = { half_life_days = 30.5 }
        click = { weight = 2 }
        """,
    )
    assert recipe.weights["view"] == EventRule(weight=0.5, half_life_days=7.0)
    assert recipe.weights["rating"] == EventRule(weight=1.0, positive_from=3.5, half_life_days=30.5)
    assert recipe.weights["click"] == EventRule(weight=2.0)
    # As the manifest of a bundle carries it, and as it was before there were half-lives.
    assert Recipe.model_validate(recipe.shown()).weights == recipe.weights
    assert "half_life_days" not in Recipe().shown()["weights"]["view"]


def test_what_is_not_toml_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"shop\.toml is not TOML"):
        load(tmp_path, "[items")
    (tmp_path / "shop.toml").write_bytes(b"\xff")
    with pytest.raises(UsageError, match=r"shop\.toml is not TOML"):
        load_recipe(tmp_path / "shop.toml")


def test_a_recipe_that_is_not_there_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"none\.toml cannot be read"):
        load_recipe(tmp_path / "none.toml")


def test_the_recipe_of_the_demo_is_sound():
    assert load_recipe(DEMO).events.default_event == "rating"


# --- the text of an item


@pytest.mark.parametrize(
    ("template", "values", "text"),
    [
        ("{a}. {b}", {"a": "A", "b": "B"}, "A. B"),
        ("{a}. {b}", {"a": "A"}, "A"),
        ("{a}. {b}", {"b": "B"}, "B"),
        ("{a}. {b}", {}, ""),
        ("{a}. {b}. {c}", {"a": "A", "c": "C"}, "A. C"),
        ("{a}. {b}.", {"a": "A", "b": "B"}, "A. B."),
        ("{a}. {b}.", {"a": "A"}, "A"),
        ("{a} ({b}). {c}", {"a": "A", "b": 1995, "c": "C"}, "A (1995). C"),
        ("{a} ({b}). {c}", {"a": "A", "c": "C"}, "A. C"),
        ("{a} ({b})", {"a": "A"}, "A"),
        ("{a} ({b})", {"b": "B"}, "(B)"),
        ("{a}, by {b}: {c}", {"a": "A", "c": "C"}, "A, C"),
        ("Title: {a}", {"a": "A"}, "Title: A"),
        ("Title: {a}. {b}", {"b": "B"}, "B"),
        ("{a}. {b}", {"a": "Who?", "b": "B"}, "Who? B"),
        ("{a}. {b}", {"a": "A", "b": ["x", "y"]}, "A. x, y"),
        ("{a}{b}", {"a": "A", "b": "B"}, "AB"),
        ("{{{a}}}", {"a": "A"}, "{A}"),
        ("{a}. {b}", {"a": " ", "b": []}, ""),
    ],
)
def test_missing_parts_drop_out_with_their_punctuation(template, values, text):
    assert TextTemplate(template).render(values.get) == text


VALUE = st.none() | st.text() | st.integers() | st.lists(st.text(), max_size=3)


@settings(deadline=None)
@given(st.fixed_dictionaries({"a": VALUE, "b": VALUE, "c": VALUE}))
def test_every_value_that_is_there_is_in_the_text(values):
    text = TextTemplate("{a} ({b}). By {c}").render(values.get)
    for value in values.values():
        for part in value if isinstance(value, list) else [value]:
            assert part is None or str(part).strip() in text
    assert text == text.strip()
