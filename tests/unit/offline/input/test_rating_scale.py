"""From which value ratings are positive, by the scale of a log."""

import pytest

from app.offline.input.events import read_events
from app.offline.input.rating_scale import with_rating_scale
from app.offline.input.recipe import Recipe


def bound(tmp_path, values, weights=None):
    path = tmp_path / "events.csv"
    rows = "".join(f"u{n},i,{value}\n" for n, value in enumerate(values))
    path.write_text(f"user_id,item_id,rating\n{rows}")
    recipe = Recipe.model_validate({"weights": weights} if weights else {})
    log = read_events(path, recipe)
    fitted = with_rating_scale(recipe, log)
    assert fitted.weights["purchase"] == recipe.weights["purchase"]
    return fitted.weights["rating"].positive_from, log.report.notes


@pytest.mark.parametrize(
    ("values", "least"),
    [
        ([0.5, 5], 3.5),
        ([1, 1], 3.5),
        ([3, 4], 3.5),
        ([0, 8, 10], 7.0),
        ([6], 7.0),
        ([40, 95], 70.0),
        ([0, 1], 0.7),
        ([0.2, 0.9], 0.7),
        ([150, 200], 140.0),
        ([""], 3.5),
    ],
)
def test_the_highest_value_tells_the_scale(tmp_path, values, least):
    assert bound(tmp_path, values)[0] == least


def test_the_bound_is_said(tmp_path):
    assert bound(tmp_path, [4, 9])[1] == [
        "column 'rating' was read as the value of 2 ratings",
        "ratings: a value from 7 is positive, by the highest value (a guess: [weights.rating] "
        "positive_from in the recipe says it)",
    ]
    assert bound(tmp_path, [4, 5])[1] == [
        "column 'rating' was read as the value of 2 ratings; a value from 3.5 is positive"
    ]


def test_a_rule_of_the_recipe_stays(tmp_path):
    rule = {"rating": {"weight": 1.0, "positive_from": 3.5}}
    least, notes = bound(tmp_path, [4, 9], rule)
    assert least == 3.5
    assert len(notes) == 1
