"""What is learned of who and where, on a catalogue where the effect is planted."""

import numpy as np
import pytest

from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from app.offline.input.users import read_users
from app.offline.learning.examples import TrainingQuery
from app.offline.learning.fit_sides import codes_of, concentrations_of, names_of, with_values
from app.offline.learning.sequences import sequences_of
from app.offline.learning.side_examples import COPIED, with_copies, with_sides
from app.offline.learning.sides import step_sides_of
from app.offline.learning.signals import log_of
from tests.bundles import write_jsonl
from tests.planted import random_behaviour, with_random_sides
from tests.who_where import (
    COUNTRIES,
    SECTIONS,
    section_of_country,
    section_of_hour,
    who_where,
)

N_ITEMS = 80
NOW = 1_800_000_000.0
ROWS = who_where(n_users=2000, n_items=N_ITEMS)


class Learned:
    """All steps of learning on the planted catalogue."""

    def __init__(self, folder):
        log = read_events(write_jsonl(folder / "events.jsonl", ROWS.events), Recipe(), NOW)
        users = read_users(write_jsonl(folder / "users.jsonl", ROWS.users), Recipe())
        self.log = log_of(log, [item["id"] for item in ROWS.items], Recipe().weights)
        self.sequences = sequences_of(log, self.log.item_rows, self.log.weights, N_ITEMS)
        self.steps = step_sides_of(self.log, users, self.sequences, N_ITEMS)
        self.all = np.ones(len(self.sequences.items), bool)
        self.kappas = concentrations_of(self.steps, self.sequences, self.all, N_ITEMS)
        self.behaviour = with_values(
            random_behaviour(0, N_ITEMS), self.steps, self.sequences, self.all, self.kappas
        )
        self.sides = self.behaviour.sides


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    return Learned(tmp_path_factory.mktemp("who"))


def test_only_names_that_say_something_are_kept(learned):
    """Age and device decide nothing in this catalogue."""
    assert names_of(learned.kappas) == ["country", "context hour"]
    assert {name for name, _ in learned.sides.attributes.entries} == {"country"}
    assert {name for name, _ in learned.sides.context.entries} == {"hour"}
    assert len(learned.sides) == len(COUNTRIES) + 24


def mean_lift(sides, codes, section):
    """Return the mean lift of the items of a section."""
    sums = np.zeros(N_ITEMS, np.float32)
    sides.add_lifts(codes, sums)
    return float(sums[SECTIONS.index(section) :: len(SECTIONS)].mean())


def test_the_items_of_a_country_and_of_an_hour_are_lifted(learned):
    """By how much follows from the shares of the drawing: log(.675 / .25), log(.475 / .25)."""
    for country in COUNTRIES:
        codes = learned.sides.codes((("country", country),), ())
        own = section_of_country(country)
        assert mean_lift(learned.sides, codes, own) == pytest.approx(np.log(2.3), abs=0.1)
        others = [mean_lift(learned.sides, codes, each) for each in SECTIONS if each != own]
        assert max(others) < -0.2
    for hour in (2.0, 9.0, 15.0, 20.0):
        codes = learned.sides.codes((), (("hour", hour),))
        lifts = {each: mean_lift(learned.sides, codes, each) for each in SECTIONS}
        assert max(lifts, key=lifts.get) == section_of_hour(int(hour))
        assert 0.1 < max(lifts.values()) < 1.0


def test_what_came_later_takes_no_part(learned):
    """Without the steps of a country's people, the country is not learned of."""
    of_country = {f"u:{user['id']}" for user in ROWS.users if user["country"] == "nz"}
    keys = [learned.log.events.users[code] for code in learned.sequences.users.tolist()]
    user, _ = learned.sequences.positions()
    keep = ~np.isin(user, [n for n, key in enumerate(keys) if key in of_country])
    behaviour = with_values(
        random_behaviour(0, N_ITEMS), learned.steps, learned.sequences, keep, learned.kappas
    )
    codes = behaviour.sides.codes((("country", "nz"),), ())
    assert codes.size == 1
    first, last = behaviour.sides.offsets[codes[0] : codes[0] + 2]
    assert first == last
    assert not behaviour.sides.vectors[codes[0]].any()


def test_values_have_vectors_of_what_is_taken_with_them(learned):
    targets = learned.behaviour.taste.targets
    counts = np.zeros((len(COUNTRIES), N_ITEMS))
    country_of = {f"u:{user['id']}": user["country"] for user in ROWS.users}
    for code, user in enumerate(learned.sequences.users.tolist()):
        country = COUNTRIES.index(country_of[learned.log.events.users[user]])
        counts[country, np.unique(learned.sequences.of(code))] += 1
    overall = counts.sum(axis=0) @ targets / counts.sum()
    for country, of_country in zip(COUNTRIES, counts, strict=True):
        beyond = of_country @ targets / of_country.sum() - overall
        (code,) = learned.sides.codes((("country", country),), ())
        vector = learned.sides.vectors[code]
        cosine = vector @ beyond / np.linalg.norm(vector) / np.linalg.norm(beyond)
        assert cosine == pytest.approx(1.0, abs=1e-3)
        assert 0.5 < np.linalg.norm(vector) / np.linalg.norm(beyond) < 1.0


def test_a_step_has_the_codes_of_its_user_and_its_moment(learned):
    country_of = {f"u:{user['id']}": user["country"] for user in ROWS.users}
    for user in (0, 17):
        step = int(learned.sequences.offsets[user]) + 1
        event = ROWS.events[int(learned.steps.positions[step])]
        country = country_of[f"u:{event['user_id']}"]
        codes = codes_of(learned.steps, learned.sides, user, step)
        expected = learned.sides.codes(
            (("country", country),), (("hour", float(event["context"]["hour"])),)
        )
        assert codes.tolist() == expected.tolist()
        query = TrainingQuery(np.array([1]), 2, 1.0, np.array([], np.int64))
        (sided,) = with_sides([(step, query)], learned.sequences, learned.steps, learned.sides)
        assert sided.sides.tolist() == expected.tolist()


def test_who_and_where_that_say_nothing_change_nothing(learned):
    plain = random_behaviour(0, N_ITEMS)
    assert with_values(plain, learned.steps, learned.sequences, learned.all, {}) is plain
    query = TrainingQuery(np.array([1]), 2, 1.0, np.array([], np.int64))
    assert with_sides([(3, query)], learned.sequences, learned.steps, None) == [query]
    assert with_copies([query], None, 0) == [query]


def test_copies_know_less_of_a_user():
    sides = with_random_sides(random_behaviour(0, N_ITEMS)).sides
    recent, nothing = np.array([1, 2]), np.array([], np.int64)
    known = TrainingQuery(recent, 3, 1.0, nothing, sides=np.array([0, 2, 4], np.int32))
    unknown = TrainingQuery(recent, 3, 1.0, nothing)
    made = with_copies([known, unknown] * 1000, sides, seed=1)

    assert made[:2000] == [known, unknown] * 1000
    copies = made[2000:]
    new = [copy for copy in copies if not copy.recent.size]
    fewer = [copy for copy in copies if copy.recent.size]
    for some in (new, fewer):
        assert len(some) == pytest.approx(1000 * COPIED, rel=0.25)
    assert {tuple(copy.sides.tolist()) for copy in new} == {(0, 2, 4), (0, 2), (4,)}
    assert {tuple(copy.sides.tolist()) for copy in fewer} == {(), (0, 2), (4,)}
    # The items that the user took are no negatives, also where the history is not known.
    assert all(copy.hidden.tolist() == [1, 2] for copy in copies)


def test_a_copy_knows_something():
    """Who has no history has no copy without who and where."""
    sides = with_random_sides(random_behaviour(0, N_ITEMS)).sides
    nothing = np.array([], np.int64)
    query = TrainingQuery(nothing, 3, 1.0, nothing, sides=np.array([0, 4], np.int32))
    assert all(copy.sides.size for copy in with_copies([query] * 500, sides, seed=1))
