"""What was learned of who and where: its codes, its sums, and how it lies in a bundle."""

import numpy as np
import pytest

from app.core.errors import BundleError
from app.domain.named_values import attributes_of, context_of
from app.engine.catalogue.behaviour import behaviour_arrays, behaviour_of
from app.engine.catalogue.side_values import side_arrays, side_values_of
from tests.planted import DECAYS, random_behaviour, with_random_sides

N = 40
BEHAVIOUR = with_random_sides(random_behaviour(1, N))
SIDES = BEHAVIOUR.sides


def test_codes_are_of_attributes_and_then_of_contexts():
    who = attributes_of({"country": "NZ", "likes": ["jam", "tea"], "age": 99})
    where = context_of({"hour": 14, "country": "NZ"})
    assert SIDES.codes(who, where).tolist() == [1, 2, 3]
    assert SIDES.codes((), where).tolist() == [3]
    assert SIDES.codes((), ()).dtype == np.int32
    who_codes, where_codes = SIDES.split(SIDES.codes(who, where))
    assert (who_codes.tolist(), where_codes.tolist()) == ([1, 2], [3])


def test_of_a_context_only_what_has_a_code_is_known_and_in_one_form():
    assert SIDES.known(context_of({"hour": 14, "os": "a", "country": "NZ"})) == (("hour", "14"),)
    assert SIDES.known(context_of({"hour": "14"})) == (("hour", "14"),)
    assert SIDES.known(context_of({"hour": 15})) == ()


def test_lifts_add_up_and_are_taken_away_again():
    codes = np.array([0, 2, 3], np.int32)
    expected = np.zeros(N, np.float32)
    for code in codes.tolist():
        for at in range(*SIDES.offsets[code : code + 2].tolist()):
            expected[SIDES.rows[at]] += SIDES.lifts[at]
    sums = np.zeros(N, np.float32)
    SIDES.add_lifts(codes, sums)
    np.testing.assert_array_equal(sums, expected)
    assert np.count_nonzero(sums) > 5
    SIDES.clear(codes, sums)
    assert not sums.any()


def test_a_bundle_keeps_all_of_it():
    again = behaviour_of(behaviour_arrays(BEHAVIOUR), DECAYS, N).sides
    assert again.attributes.entries == SIDES.attributes.entries
    assert again.context.entries == SIDES.context.entries
    for part in ("offsets", "rows", "lifts", "vectors"):
        np.testing.assert_array_equal(getattr(again, part), getattr(SIDES, part))


def test_a_bundle_without_it_has_no_such_arrays():
    plain = random_behaviour(1, N)
    arrays = behaviour_arrays(plain)
    assert not [name for name in arrays if name.startswith("sides")]
    assert behaviour_of(arrays, DECAYS, N).sides is None


@pytest.mark.parametrize(
    "damage",
    [
        {"rows": SIDES.rows + N},
        {"lifts": SIDES.lifts[1:]},
        {"offsets": SIDES.offsets[:-1]},
        {"offsets": SIDES.offsets + 1},
        {"vectors": SIDES.vectors[:, 1:]},
    ],
    ids=lambda damage: next(iter(damage)),
)
def test_damaged_arrays_are_refused(damage):
    with pytest.raises(BundleError):
        side_values_of(side_arrays(SIDES) | damage, N, SIDES.vectors.shape[1])


def test_a_missing_array_is_refused():
    arrays = side_arrays(SIDES)
    del arrays["lifts"]
    with pytest.raises(BundleError, match="lacks"):
        side_values_of(arrays, N, SIDES.vectors.shape[1])


def test_new_items_have_no_lift():
    roomy = BEHAVIOUR.with_room(N, 8)
    assert roomy.sides is SIDES
    assert roomy.items.shape == (4, N + 8)
