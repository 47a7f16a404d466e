"""Whom to follow: users as items, judged on the friends of lastfm (HetRec 2011).

    python -m loadtest.scenarios.people

Each of the 1,090 users of `$RECSERVE_SHARED/data/lastfm` is an item: the text is what they listen
to, their most frequent tags and their newest artists, and the events are who follows whom. One
friend of each user who has two or more is held out, in both directions: the other direction would
give it away. Friends have no times, so their order is drawn. A bundle is built as `recserve build`
does with the recipe `people`. Its engine is asked by whom a user follows, by what they listen to
(`like` their own item, `by` content), by who they are (also by who follows them), and by all of it;
and as the scenario `follow` asks, by whom a user follows. Nobody is shown themselves or whom they
follow. Nothing was chosen on these figures.
"""

import argparse
import json
import os
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from app.core.ranking import RankRequest
from app.core.types import Rows
from app.evaluation.answer_metrics import next_item_table
from app.evaluation.answers import (
    Answers,
    Numbering,
    ask_engine,
    by_place,
    from_scores,
    mask_excluded,
)
from app.evaluation.baselines.base import BaselineQuery, TrainingData
from app.evaluation.baselines.registry import BASELINES
from app.evaluation.eval_catalogue import Anonymiser, EvalCatalogue, events_of
from app.evaluation.evaluate import open_served
from app.evaluation.model_runs import build_fold, histories_of
from app.evaluation.protocols import LIST_SIZE, Case, EvalPlan, Fold
from app.offline.build import packed_encoder
from app.offline.input.recipe import Recipe, load_recipe
from app.offline.metrics.intervals import mean_intervals
from app.offline.metrics.ranking import ndcg_at, recall_at
from app.offline.presets import PRESETS, SCENARIOS

Document = dict[str, Any]

_TOP: Final = 10
_TAGS, _CATEGORIES, _ARTISTS = 15, 5, 30
_BASELINES: Final = ("popularity", "item-knn")

SCENARIO: Final[dict[str, Any]] = {
    name: value
    for name, value in json.loads(SCENARIOS["people"].read_text("utf-8"))["scenarios"][
        "follow"
    ].items()
    if name != "k"
}
"""The request fields of the scenario `follow`, but for how many people it shows."""


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print the document."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.people", description=__doc__)
    shared = Path(os.environ.get("RECSERVE_SHARED", "../shared"))
    parser.add_argument("--data", type=Path, default=shared / "data" / "lastfm", metavar="DIR")
    parser.add_argument("--seed", type=int, default=0, help="of what is held out, and of intervals")
    options = parser.parse_args(argv)
    if not (options.data / "user_friends.dat").is_file():
        parser.error(f"--data: {options.data} holds no user_friends.dat")
    print(json.dumps(measured(options.data, options.seed), indent=2))


def measured(data: Path, seed: int) -> Document:
    """Build a bundle of people, ask it, and return how well it and the baselines find friends."""
    start, recipe = time.perf_counter(), load_recipe(PRESETS["people"])
    friends = read_friends(data)
    left, targets = held_out(friends, seed)
    plan = plan_of_people(read_people(data), left, targets, seed)
    (fold,) = plan.folds
    numbering = Numbering.of(plan.catalogue.ids)
    rows = numbering.targets(fold.cases)
    with tempfile.TemporaryDirectory(prefix="recserve-people-") as work:
        path, seconds = build_fold(
            plan=plan,
            fold=fold,
            recipe=recipe,
            folder=Path(work) / "fold",
            make_encoder=packed_encoder,
        )
        built = time.perf_counter() - start
        with closing(open_served(path)) as engine:
            found = {
                way: ask_engine(
                    engine=engine, requests=requests, targets=rows, numbering=numbering, label=way
                )
                for way, requests in ways_of(fold.cases).items()
            }
            arranged = ask_engine(
                engine=engine,
                requests=[case.request._replace(**SCENARIO) for case in fold.cases],
                targets=rows,
                numbering=numbering,
                label="scenario",
            )
    found["as the scenario follow asks"] = by_place(arranged)
    found |= _baselines(plan, rows, recipe, seed)
    return {
        "n_people": len(plan.catalogue),
        "n_asked": len(fold.cases),
        "n_events": len(fold.events),
        "seed": seed,
        "random": _random(fold.cases, len(plan.catalogue)),
        **{name: _documents(answers, seed) for name, answers in found.items()},
        "build_s": round(built, 1),
        "learn_s": round(seconds.get("learn", 0.0), 1),
        "seconds": round(time.perf_counter() - start, 1),
    }


def read_friends(data: Path) -> dict[str, set[str]]:
    """Return user -> friends, of those users that have listened to something."""
    names = json.loads((data / "user_id_to_hetrec_userID.json").read_text("utf-8"))
    ours = {theirs: user for user, theirs in names.items()}
    friends: dict[str, set[str]] = {}
    for line in (data / "user_friends.dat").read_text("utf-8").splitlines()[1:]:
        one, other = (ours.get(name) for name in line.split("\t"))
        if one is not None and other is not None and one != other:
            friends.setdefault(one, set()).add(other)
            friends.setdefault(other, set()).add(one)
    return friends


def read_people(data: Path) -> dict[str, dict[str, Any]]:
    """Return user -> the fields of the item that the user is; nobody has a title."""
    artists: dict[str, tuple[str, list[str]]] = {}
    for line in (data / "items.tsv").read_text("utf-8").splitlines()[1:]:
        item, _, name, tags = line.split("\t")
        artists[item] = name, [tag.strip() for tag in tags.split(",") if tag.strip()]
    people = {}
    for line in (data / "sequences.txt").read_text("utf-8").splitlines():
        user, *items = line.split()
        taken = [artists[item] for item in items if item in artists]
        common = [
            tag for tag, _ in Counter(t for _, tags in taken for t in tags).most_common(_TAGS)
        ]
        newest = [name for name, _ in reversed(taken)][:_ARTISTS]
        people[user] = {
            "title": None,
            "categories": common[:_CATEGORIES],
            "text": f"{', '.join(common)}. {', '.join(newest)}.",
        }
    return people


def held_out(
    friends: Mapping[str, set[str]], seed: int
) -> tuple[dict[str, set[str]], dict[str, str]]:
    """Hold out a friend of each user, in both directions, so that everybody keeps one.

    Returns:
        user -> friends that are left, and user -> the friend held out.
    """
    left = {user: set(some) for user, some in friends.items()}
    rng = np.random.default_rng(seed)
    targets = {}
    for user in rng.permutation(sorted(left)).tolist():
        # Sorted: the order of a set differs from run to run.
        some = sorted(other for other in left[user] if len(left[other]) > 1)
        if len(left[user]) > 1 and some:
            target = some[int(rng.integers(len(some)))]
            left[user].discard(target)
            left[target].discard(user)
            targets[user] = target
    return left, targets


def plan_of_people(
    people: dict[str, dict[str, Any]],
    left: Mapping[str, set[str]],
    targets: Mapping[str, str],
    seed: int,
) -> EvalPlan:
    """Return the plan: fitted on the friends that are left, asked for the one held out.

    `exclude` holds the user, too: nobody follows themselves.
    """
    anonymiser, rng = Anonymiser(seed), np.random.default_rng(seed)
    ordered = {user: rng.permutation(sorted(left[user])).tolist() for user in sorted(left)}
    followed = {user: [anonymiser(other) for other in some] for user, some in ordered.items()}
    cases = []
    for user in sorted(targets):
        itself, history = anonymiser(user), followed[user]
        request = RankRequest(
            history=tuple(history), exclude=frozenset([*history, itself]), k=LIST_SIZE
        )
        cases.append(Case(request, {anonymiser(targets[user]): 1.0}, len(history), itself))
    events = replace(
        events_of((f"u:{anonymiser(user)}", some) for user, some in followed.items()),
        kinds=["follow"],
    )
    catalogue: EvalCatalogue = anonymiser.catalogue(people)
    return EvalPlan("all-but-last", catalogue, (Fold(events, tuple(cases)),))


def ways_of(cases: Sequence[Case]) -> dict[str, list[RankRequest]]:
    """Return the requests of each way to ask."""
    both = [case.request._replace(like=(case.user,)) for case in cases]
    return {
        "by whom they follow": [case.request for case in cases],
        "by what they listen to": [each._replace(history=(), by="content") for each in both],
        "by who they are": [each._replace(history=()) for each in both],
        "by whom they follow and who they are": both,
    }


def _baselines(plan: EvalPlan, targets: Rows, recipe: Recipe, seed: int) -> dict[str, Answers]:
    (fold,) = plan.folds
    numbering = Numbering.of(plan.catalogue.ids)
    requests = [case.request for case in fold.cases]
    data = TrainingData(
        sequences=histories_of(fold.events, recipe, plan.catalogue.ids),
        titles=plan.catalogue.titles,
        vectors=np.zeros((len(plan.catalogue), 1), np.float32),
        seed=seed,
    )
    found = {}
    for name in _BASELINES:
        baseline = BASELINES[name].make()
        baseline.fit(data)
        asked = [BaselineQuery(history=numbering.rows(each.history)) for each in requests]
        scores = mask_excluded(baseline.scores(asked), requests, numbering)
        found[name] = from_scores(scores, targets)
    return found


def _random(cases: Sequence[Case], n_items: int) -> dict[str, float]:
    """Return what a random order would find in the mean: each place is as likely as another."""
    places = np.arange(_TOP, dtype=np.float64)
    chances = np.array([1.0 / (n_items - len(case.request.exclude)) for case in cases])
    return {
        f"recall@{_TOP}": round(float(chances.mean() * recall_at(places, _TOP).sum()), 6),
        f"ndcg@{_TOP}": round(float(chances.mean() * ndcg_at(places, _TOP).sum()), 6),
    }


def _documents(answers: Answers, seed: int) -> Document:
    table = next_item_table(answers)
    names = [f"recall@{_TOP}", f"ndcg@{_TOP}"]
    estimates = mean_intervals(np.stack([table[name] for name in names], axis=1), seed)
    return {name: each.document() for name, each in zip(names, estimates, strict=True)}


if __name__ == "__main__":
    main()
