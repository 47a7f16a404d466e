"""Newcomers: who is held out, what is right, and what who and where bring."""

import json

import numpy as np
import pytest

from app.core.errors import BadDataError, UsageError
from app.evaluation.dataset_readers import read_files
from app.evaluation.newcomers import HELD_OUT, plan_of_newcomers
from app.evaluation.run_command import run_evaluation
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe
from app.offline.input.users import Users, read_users
from tests.bundles import fake_encoder, write_jsonl
from tests.evaluation_rig import arguments, opener
from tests.who_where import SECTIONS, section_of_country, who_where

ROWS = who_where(n_users=60, n_items=40)
COUNTRY_OF = {user["id"]: user["country"] for user in ROWS.users}
WEIGHTS = Recipe().weights


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("newcomers")
    return [
        write_jsonl(folder / f"{name}.jsonl", getattr(ROWS, name))
        for name in ("items", "events", "users")
    ]


@pytest.fixture(scope="module")
def plan(files):
    catalogue, events = read_files(*files[:2], Recipe())
    users = read_users(files[2], Recipe())
    return plan_of_newcomers(catalogue, events, WEIGHTS, users=users, seed=0)


def test_users_are_held_out_with_all_that_they_did(plan):
    (fold,) = plan.folds
    kept = {fold.events.users[code] for code in np.unique(fold.events.user).tolist()}
    assert len(kept) + plan.n_cases == 60
    assert plan.n_cases == pytest.approx(60 * HELD_OUT, abs=8)


def test_right_is_what_was_taken_in_the_context_of_the_first_event(plan):
    first, right = {}, {}
    for event in sorted(ROWS.events, key=lambda event: event["timestamp"]):
        user = event["user_id"]
        moment = first.setdefault(user, event["context"])
        if event["context"] == moment:
            right.setdefault(user, set()).add(event["item_id"])
    (fold,) = plan.folds
    kept = {fold.events.users[code] for code in np.unique(fold.events.user).tolist()}
    asked = [user for user in first if f"u:{user}" not in kept]
    found = [
        (
            dict(case.request.attributes)["country"],
            dict(case.request.context),
            set(case.grades),
        )
        for case in fold.cases
    ]
    expected = [
        (
            COUNTRY_OF[user],
            {"device": first[user]["device"], "hour": str(first[user]["hour"])},
            right[user],
        )
        for user in asked
    ]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    assert all(case.request.history == () and not case.request.exclude for case in fold.cases)


def test_nobody_is_no_plan(plan):
    with pytest.raises(BadDataError):
        plan_of_newcomers(plan.catalogue, Events.none(), WEIGHTS, users=Users.none(), seed=0)


def by_country(request, ids, popularity):
    """Know the section of a country, and nothing of hours."""
    country = dict(request.attributes).get("country")
    section = SECTIONS.index(section_of_country(country)) if country else -1
    return np.array([float(int(name[1:]) % len(SECTIONS) == section) for name in ids])


def test_each_way_is_measured_against_nothing(files, capsys):
    items, events, users = files
    flags = ("--items", items, "--events", events, "--attributes", users, "--json", "-")
    arguments_ = arguments("--protocol", "newcomers", *flags)
    assert run_evaluation(arguments_, fake_encoder, opener(by_country)) == 0
    document = json.loads(capsys.readouterr().out)

    ways = {way: each["metrics"]["ndcg@10"]["value"] for way, each in document["ways"].items()}
    assert ways["who"] == ways["who and where"] > 1.5 * ways["nothing"]
    assert ways["where"] == ways["nothing"]
    assert 0 < ways["popularity"] < ways["who"]
    assert document["ways"]["where"]["difference"]["ndcg@10"] == {"value": 0, "low": 0, "high": 0}
    difference = document["ways"]["who"]["difference"]["ndcg@10"]["value"]
    assert difference == pytest.approx(ways["who"] - ways["nothing"], abs=1e-5)
    assert document["learned"] == []


def test_the_lines_name_every_way(files, capsys):
    items, events, _ = files
    flags = arguments("--protocol", "newcomers", "--items", items, "--events", events)
    assert run_evaluation(flags, fake_encoder, opener(by_country)) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("ndcg@10")[0].strip() for line in lines[1:-1]] == [
        "nothing",
        "who",
        "where",
        "who and where",
        "popularity",
    ]


@pytest.mark.parametrize("wrong", [("--ablation",), ("--baselines", "popularity")])
def test_flags_that_do_not_go_together(files, wrong):
    items, events, _ = files
    flags = arguments("--protocol", "newcomers", "--items", items, "--events", events, *wrong)
    with pytest.raises(UsageError, match="newcomers"):
        run_evaluation(flags, fake_encoder, opener(by_country))
