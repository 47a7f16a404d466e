"""Whom to follow: what is held out stays hidden, and nobody is shown themselves."""

import json
from pathlib import Path

import numpy as np
import pytest

from app.core.ranking import RankRequest
from app.evaluation.answers import by_place, lists_of
from loadtest.scenarios.people import (
    SCENARIO,
    held_out,
    plan_of_people,
    read_friends,
    read_people,
    ways_of,
)

FRIENDS = {
    "1": {"2", "3", "4"},
    "2": {"1", "3"},
    "3": {"1", "2"},
    "4": {"1"},
}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Four users, one more friend who never listened, and three artists."""
    names = {user: f"9{user}" for user in FRIENDS}
    (tmp_path / "user_id_to_hetrec_userID.json").write_text(json.dumps(names))
    edges = [f"9{one}\t9{other}" for one, some in FRIENDS.items() for other in sorted(some)]
    (tmp_path / "user_friends.dat").write_text(
        "\n".join(["userID\tfriendID", *edges, "91\t77", "91\t91"]) + "\n"
    )
    artists = [
        "item_id\tartistID\tname\ttop_tags",
        "1\t5\tAda\trock, pop",
        "2\t6\tBo\trock",
        "3\t7\tCy\t",
    ]
    (tmp_path / "items.tsv").write_text("\n".join(artists) + "\n")
    (tmp_path / "sequences.txt").write_text("1 1 2\n2 3\n3 2\n4 1 3\n")
    return tmp_path


def test_friends_are_read_both_ways_and_only_those_who_are_items(data: Path) -> None:
    assert read_friends(data) == FRIENDS


def test_a_person_is_found_by_tags_and_artists(data: Path) -> None:
    people = read_people(data)
    assert people["1"] == {
        "title": None,
        "categories": ["rock", "pop"],
        "text": "rock, pop. Bo, Ada.",
    }
    assert people["2"] == {"title": None, "categories": [], "text": ". Cy."}


@pytest.mark.parametrize("seed", range(20))
def test_a_held_out_friend_is_gone_in_both_directions(seed: int) -> None:
    left, targets = held_out(FRIENDS, seed)
    assert targets
    for user, target in targets.items():
        assert target in FRIENDS[user]
        assert target not in left[user]
        assert user not in left[target]
    assert all(some and some <= FRIENDS[user] for user, some in left.items())
    assert all(user in left[other] for user, some in left.items() for other in some)
    assert held_out(FRIENDS, seed) == (left, targets)


def test_the_plan_hides_what_it_asks_for(data: Path) -> None:
    left, targets = held_out(read_friends(data), 0)
    plan = plan_of_people(read_people(data), left, targets, 0)
    (fold,) = plan.folds
    assert len(plan.catalogue) == 4
    assert len(fold.cases) == len(targets)
    assert len(fold.events) == sum(map(len, left.values()))
    assert fold.events.kinds == ["follow"]
    taken = {
        (fold.events.users[user], fold.events.items[item])
        for user, item in zip(fold.events.user.tolist(), fold.events.item.tolist(), strict=True)
    }
    for case in fold.cases:
        (target,) = case.grades
        assert (f"u:{case.user}", target) not in taken
        assert (f"u:{target}", case.user) not in taken
        assert case.request.exclude == {*case.request.history, case.user}
    follows, listens, who, both = ways_of(fold.cases).values()
    assert [(r.history, r.like) for r in follows] == [(c.request.history, ()) for c in fold.cases]
    assert [(r.history, r.like) for r in listens] == [((), (c.user,)) for c in fold.cases]
    assert {r.by for r in listens} == {"content"}
    assert [(r.history, r.like, r.by) for r in who] == [((), (c.user,), "both") for c in fold.cases]
    assert both[0].history == follows[0].history
    assert both[0].like == listens[0].like


def test_the_scenario_is_judged_by_the_places_of_its_lists() -> None:
    asked = RankRequest()._replace(**SCENARIO)
    assert asked.diversity > 0
    assert asked.popularity_bias < 0
    rows = [np.array([4, 7]), np.array([7, 4])]
    scores = [np.array([1.0, 2.0]), np.array([1.0, 2.0])]
    answers = lists_of(rows, scores, np.array([7, 5]))
    assert answers.ranks.tolist() == [0.0, np.inf]  # by its score it is the first
    assert by_place(answers).ranks.tolist() == [1.0, np.inf]
