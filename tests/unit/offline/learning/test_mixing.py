"""How much real queries count beside written ones."""

from dataclasses import replace

import numpy as np
import pytest

from app.offline.learning.examples import KINDS
from app.offline.learning.mixing import TIMES, USUAL_TIMES, mixed
from tests.planted import planted_lists

pytestmark = pytest.mark.learning

SYNTHETIC, LOGGED = KINDS.index("synthetic"), KINDS.index("logged")


def of_kinds(examples, n_real):
    kinds = np.full(len(examples), SYNTHETIC, np.int8)
    kinds[:n_real] = LOGGED
    return replace(examples, kinds=kinds)


@pytest.mark.parametrize("n_real", [0, 60])
def test_examples_of_one_sort_stay_as_they_are(n_real):
    examples = of_kinds(planted_lists(60), n_real)
    assert mixed(examples, 0) is examples


def test_a_few_real_queries_count_a_constant():
    weights = mixed(of_kinds(planted_lists(60), 20), 0).sample_weight
    assert weights.tolist() == [USUAL_TIMES] * 20 + [1.0] * 40


def test_real_queries_that_say_something_else_count_more_than_written_ones():
    """Written queries reward the second feature against the first, real ones both."""
    examples = of_kinds(planted_lists(900), 150)
    start = examples.offsets[150]
    features = examples.features.copy()
    features[start:, 0] *= -3
    found = mixed(replace(examples, features=features), 0).sample_weight
    assert set(found[150:].tolist()) == {1.0}
    (times,) = set(found[:150].tolist())
    assert times in TIMES[1:]
