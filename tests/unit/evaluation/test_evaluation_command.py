"""Flags: what goes together, what is refused before any work, and where results go."""

import json
import subprocess
import sys

import pytest

from app.core.errors import BadDataError, BundleError, UsageError
from app.evaluation.run_command import plan_of, run_evaluation
from app.offline.build import build
from app.offline.input.recipe import Recipe, load_recipe
from app.offline.presets import DEMO
from tests.bundles import fake_encoder, write_jsonl
from tests.evaluation_rig import arguments, opener, popular, sequences_folder

SEQUENCES = {f"u{n}": [f"i{(n + step) % 9}" for step in range(5)] for n in range(20)}


@pytest.fixture
def folder(tmp_path):
    titles = {f"i{n}": f"thing {n}" for n in range(9)}
    return sequences_folder(tmp_path / "walks", SEQUENCES, titles)


@pytest.fixture
def files(tmp_path):
    items = write_jsonl(tmp_path / "items.jsonl", [{"id": f"i{n}", "title": "x"} for n in range(9)])
    rows = [
        {"user_id": user, "item_id": item, "timestamp": 100 * place + int(user[1:])}
        for user, sequence in SEQUENCES.items()
        for place, item in enumerate(sequence)
    ]
    return items, write_jsonl(tmp_path / "events.jsonl", rows)


def run(*flags):
    return run_evaluation(arguments(*flags), fake_encoder, opener(popular))


def result(capsys):
    return json.loads(capsys.readouterr().out)


def test_json_to_stdout_is_one_document(folder, capsys):
    assert run("--dataset", folder, "--json", "-") == 0
    document = result(capsys)
    assert (document["protocol"], document["dataset"]) == ("strict", "walks")
    assert (document["n_users"], document["n_items"], document["seed"]) == (20, 9, 0)


def test_json_and_report_to_files_leave_lines_on_stdout(folder, tmp_path, capsys):
    flags = ("--json", tmp_path / "r.json", "--report", tmp_path / "r.html")
    assert run("--dataset", folder, "--baselines", "popularity", *flags) == 0
    assert json.loads((tmp_path / "r.json").read_text())["baselines"]["popularity"]["metrics"]
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert "popularity" in capsys.readouterr().out


def test_a_sample_of_users(folder, capsys):
    assert run("--dataset", folder, "--users", "5", "--json", "-") == 0
    document = result(capsys)
    assert (document["n_users"], document["n_training_events"]) == (5, 60)


def test_files_with_times_are_split_by_time(files, capsys):
    items, events = files
    assert run("--items", items, "--events", events, "--json", "-") == 0
    document = result(capsys)
    assert document["protocol"] == "time-split"
    assert document["n_training_events"] == 80
    assert document["dataset"] == "events.jsonl"


def test_search_goes_with_folders_and_with_files(folder, files, tmp_path, capsys):
    # "thing" is in all titles of the folder.
    with pytest.raises(BadDataError, match="a word to search for"):
        run("--dataset", folder, "--protocol", "search")
    rows = [{"id": f"i{n}", "title": f"{['blue', 'red'][n % 2]} hat"} for n in range(25)]
    rows += [{"id": f"x{n}", "title": "stone"} for n in range(300)]
    items = write_jsonl(tmp_path / "words.jsonl", rows)
    flags = ("--items", items, "--events", files[1], "--protocol", "search", "--users", "7")
    assert run(*flags, "--json", "-") == 0
    document = result(capsys)
    assert (document["protocol"], document["n_users"]) == ("search", 7)
    assert document["n_training_events"] == 80
    assert {"words", "history", "both", "rules", "names"} <= set(document["search"])


def test_files_by_leaving_one_out(files, capsys):
    flags = ("--items", files[0], "--events", files[1], "--protocol", "all-but-last", "--json", "-")
    assert run(*flags) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["n_training_events"] == 80
    # How the files were read goes to standard error, beside the result.
    assert printed.err.count("  read as: JSON Lines, UTF-8\n") == 2


def test_the_demo_is_asked_about_the_last_item_of_each_user(tmp_path):
    plan, name = plan_of(arguments("--demo"), load_recipe(DEMO), tmp_path)
    assert (name, plan.protocol, plan.n_cases, len(plan.catalogue)) == (
        "demo",
        "all-but-last",
        671,
        9066,
    )
    assert all(case.request.history for case in plan.folds[0].cases)


def test_a_bundle_is_asked_about_what_came_after_it(files, tmp_path, capsys):
    items, events = files
    lines = events.read_text().splitlines()
    early = tmp_path / "early.jsonl"
    early.write_text("\n".join(x for x in lines if json.loads(x)["timestamp"] < 300) + "\n")
    built = build(items, early, Recipe(), tmp_path / "models" / "shop", fake_encoder).bundle
    flags = ("--bundle", tmp_path / "models" / "shop", "--events", events, "--json", "-")
    assert run(*flags) == 0
    document = result(capsys)
    assert document["bundle"]["built_here"] is False
    assert document["bundle"]["generation"] == built.manifest.generation
    assert document["n_training_events"] == 60
    assert document["by_history"][0]["history"] == "3–4"


def test_a_bundle_that_has_seen_everything_cannot_be_asked(files, tmp_path):
    items, events = files
    build(items, events, Recipe(), tmp_path / "shop", fake_encoder)
    with pytest.raises(BadDataError, match="hold one out"):
        run("--bundle", tmp_path / "shop", "--events", events)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ((), "needs one of --dataset"),
        (("--items", "i.csv", "--bundle", "b"), "needs one of"),
        (("--items", "i.csv"), "--items needs --events"),
        (("--bundle", "b"), "--bundle needs --events"),
        (("--dataset", "d", "--events", "e.csv"), "brings its own events"),
        (("--demo", "--events", "e.csv"), "--demo brings its own events"),
        (("--demo", "--recipe", "r.toml"), "--demo brings its own recipe"),
        (("--demo", "--items", "i.csv"), "needs one of"),
        (("--dataset", "absent"), "'absent' is not a folder"),
        (("--dataset", "d", "--baselines", "magic"), "'magic' is none of"),
        (("--bundle", "b", "--events", "e.csv", "--protocol", "strict"), "time-split only"),
        (("--dataset", "d", "--json", "no/such/folder.json"), "--json: 'folder.json'"),
        (("--dataset", "d", "--report", "/"), "--report"),
        (("--dataset", "d", "--recipe", "absent.toml"), "absent.toml"),
        (("--bundle", "b", "--events", "e.csv", "--ablation"), "--ablation goes without"),
        (("--dataset", "d", "--baselines", "ease", "--ablation"), "--ablation goes without"),
        (("--demo", "--attributes", "u.csv", "--ablation"), "leave --attributes out"),
    ],
)
def test_flags_that_do_not_go_together(flags, message):
    with pytest.raises(UsageError, match=message):
        run(*flags)


def test_a_protocol_that_the_folder_does_not_hold(folder):
    with pytest.raises(
        UsageError, match="holds sequences: use strict, all-but-last, search or newcomers"
    ):
        run("--dataset", folder, "--protocol", "graded")


def test_an_ablation_needs_events_enough_to_learn_from(folder):
    with pytest.raises(BadDataError, match="fewer than 500 events"):
        run("--dataset", folder, "--ablation")


def test_files_that_are_not_there(tmp_path, files):
    with pytest.raises(BadDataError, match=r"absent\.csv"):
        run("--items", tmp_path / "absent.csv", "--events", tmp_path / "absent.csv")
    with pytest.raises(BundleError, match="no bundle"):
        run("--bundle", tmp_path / "absent", "--events", files[1])


@pytest.mark.parametrize("flags", [("--users", "0"), ("--users", "x"), ("--protocol", "magic")])
def test_argparse_refuses_the_rest(flags, capsys):
    with pytest.raises(SystemExit) as stopped:
        arguments(*flags)
    assert stopped.value.code == 2
    assert flags[0] in capsys.readouterr().err


@pytest.mark.process
def test_the_flags_load_no_model_library():
    code = (
        "import argparse, sys; from app.evaluation.command import add_arguments; "
        "add_arguments(argparse.ArgumentParser()); "
        "print([m for m in ('numpy', 'scipy', 'faiss', 'torch', 'pyarrow') if m in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"
