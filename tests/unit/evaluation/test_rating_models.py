"""Predicting ratings: biases, and a value head that knows more than biases."""

import numpy as np
import pytest

from app.evaluation.rating_models import Biases, Ratings, ValueHead, predictions

N_USERS, N_ITEMS = 80, 40


def planted(seed=0, taste=0.0, noise=0.1):
    """Ratings of half of all pairs, and those of the other half.

    Items and users have biases. Half of the users like even items more, and half the odd ones.
    """
    rng = np.random.default_rng(seed)
    users, items = np.divmod(rng.permutation(N_USERS * N_ITEMS), N_ITEMS)
    bias_u, bias_i = rng.normal(0, 0.5, N_USERS), rng.normal(0, 0.5, N_ITEMS)
    likes = np.where(users % 2 == items % 2, taste, -taste)
    values = 3.0 + bias_u[users] + bias_i[items] + likes + rng.normal(0, noise, len(users))
    half = len(users) // 2
    known, asked = slice(None, half), slice(half, None)
    return Ratings(users[known], items[known], values[known]), Ratings(
        users[asked], items[asked], values[asked]
    )


def errors(known, asked):
    expected = predictions(known, asked.users, asked.items, N_USERS, N_ITEMS)
    return {name: float(np.sqrt(np.mean((asked.values - e) ** 2))) for name, e in expected.items()}


def test_each_model_knows_more_than_the_one_before():
    found = errors(*planted(taste=0.5))
    assert list(found) == ["mean", "item", "item + user", "value head"]
    assert found["mean"] > found["item"] > found["item + user"] > found["value head"] + 0.2
    assert found["value head"] < 0.25


def test_where_nothing_is_beyond_biases_the_value_head_does_little_harm():
    found = errors(*planted(taste=0.0))
    assert found["item + user"] < 0.2
    assert found["value head"] < found["item + user"] + 0.03


def test_biases_are_shrunk_means():
    known = Ratings(np.array([0, 1, 2]), np.array([0, 0, 1]), np.array([5.0, 3.0, 1.0]))
    biases = Biases.of(known, n_users=4, n_items=3)
    assert biases.mean == pytest.approx(3.0)
    assert 0.0 < biases.items[0] < 1.0
    assert biases.items[2] == biases.users[3] == 0.0
    assert biases.predict(np.array([3]), np.array([2])) == pytest.approx(3.0)


def test_a_user_or_an_item_without_ratings_gets_the_biases():
    known = Ratings(np.array([0, 1]), np.array([0, 1]), np.array([5.0, 3.0]))
    biases = Biases.of(known, n_users=3, n_items=3)
    asked = np.array([2, 0]), np.array([0, 2])
    np.testing.assert_allclose(ValueHead(known, biases).predict(*asked), biases.predict(*asked))


def test_an_item_is_no_neighbour_of_itself():
    """The rating that is asked for may be among those that are known."""
    known = Ratings(np.array([0, 1, 1]), np.array([0, 0, 1]), np.array([5.0, 3.0, 1.0]))
    biases = Biases.of(known, n_users=2, n_items=2)
    asked = np.array([0]), np.array([0])
    np.testing.assert_array_equal(ValueHead(known, biases).predict(*asked), biases.predict(*asked))
