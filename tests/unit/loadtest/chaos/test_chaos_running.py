"""What runs trials: red rows for broken promises, for crashes and for faults that nobody found."""

import json
from pathlib import Path

import pytest

from loadtest.chaos.__main__ import write
from loadtest.chaos.report import page
from loadtest.chaos.requirements import REQUIREMENTS
from loadtest.chaos.rig import Rig
from loadtest.chaos.running import Runs, chosen, line_of, run_all
from loadtest.chaos.trial import Measured, Trial


def keeps(_: Rig) -> Measured:
    return Measured(True, "7 of 7 | kept")


def breaks(_: Rig) -> Measured:
    return Measured(False, "3 of 7 kept")


def crashes(_: Rig) -> Measured:
    raise OSError("no such port")


def finds(rig: Rig) -> Measured:
    return Measured(rig.fault is None, f"fault: {rig.fault}")


def crashes_with_a_fault(rig: Rig) -> Measured:
    if rig.fault:
        raise RuntimeError("not ready")
    return Measured(True, "well")


def trial(run, name: str = "overload.one", *, faults: tuple[str, ...] = (), **fields) -> Trial:
    return Trial(name, (1,), "a promise", "a pass line", run, faults, **fields)


@pytest.fixture
def runs(tmp_path: Path) -> Runs:
    return Runs(tmp_path, short=True, seed=1)


def greens(trials: list[Trial], runs: Runs) -> list[bool]:
    return [row.green for row in run_all(trials, runs, lambda _: None)]


def test_a_kept_promise_is_green_and_a_broken_one_red(runs):
    assert greens([trial(keeps), trial(breaks)], runs) == [True, False]


def test_a_crash_is_a_red_row_and_the_next_trial_runs(runs):
    said: list[str] = []
    rows = run_all([trial(crashes), trial(keeps)], runs, said.append)

    assert [(row.green, row.crashed) for row in rows] == [(False, True), (True, False)]
    assert rows[0].figure == "could not be measured: OSError: no such port"
    assert "no such port" in next(runs.folder.rglob("trace.txt")).read_text()
    assert said == [line_of(row) for row in rows]
    assert said[0].startswith("RED overload.one: could not be measured")


def test_a_seeded_fault_must_be_found(runs):
    assert greens([trial(finds, faults=("a_leak",))], runs) == [True, True]
    assert greens([trial(keeps, faults=("a_leak",))], runs) == [True, False]


def test_a_trial_that_crashes_with_a_fault_has_not_found_it(runs):
    assert greens([trial(crashes_with_a_fault, faults=("a_leak",))], runs) == [True, False]


def test_each_run_has_an_empty_folder_and_the_same_random_numbers(runs):
    seen = []

    def notes(rig: Rig) -> Measured:
        seen.append((list(rig.folder.iterdir()), rig.rng.random()))
        (rig.folder / "file").touch()
        return Measured(True, "")

    run_all([trial(notes), trial(notes), trial(notes, "overload.two")], runs, lambda _: None)

    assert [files for files, _ in seen] == [[], [], []]
    assert seen[0][1] == seen[1][1] != seen[2][1]


def test_trials_are_chosen_by_name_group_fault_and_form():
    one, two = trial(keeps, faults=("a_leak",), short=True), trial(keeps, "redis.two")

    assert chosen([one, two], [], None, short=False) == [one, two]
    assert chosen([one, two], ["redis"], None, short=False) == [two]
    assert chosen([one, two], ["overload.one"], None, short=False) == [one]
    assert chosen([one, two], [], None, short=True) == [one]
    assert chosen([one, two], [], "a_leak", short=False) == [one]
    with pytest.raises(LookupError, match="'nobody'"):
        chosen([one, two], ["nobody"], None, short=False)
    with pytest.raises(LookupError, match="'rust'"):
        chosen([one, two], [], "rust", short=False)


def test_results_of_other_trials_stay_and_those_of_trials_that_are_gone_leave(runs):
    results, to = runs.folder / "chaos.json", runs.folder / "page.md"
    one, two = trial(keeps), trial(breaks, "redis.two")

    write(run_all([one, two], runs, lambda _: None), [one, two], 1, results, to)
    write(run_all([trial(breaks)], runs, lambda _: None), [one, two], 1, results, to)
    rows = json.loads(results.read_text())["rows"]
    assert [(row["trial"], row["green"]) for row in rows] == [
        ("overload.one", False),
        ("redis.two", False),
    ]

    write([], [two], 1, results, to)
    assert [row["trial"] for row in json.loads(results.read_text())["rows"]] == ["redis.two"]


def document(rows) -> dict:
    about = {"cpu": "a CPU", "cores": 2, "memory_gib": 8.0, "python": "3.12"}
    return {"machine": about, "seed": 1, "rows": [row.document() for row in rows]}


def test_the_page_shows_every_requirement_and_says_which_are_not_met(runs):
    well = trial(finds, faults=("unbounded_queue",))
    text = page(document(run_all([well], runs, lambda _: None)), [well])

    assert "**1 of 44 requirements are met**" in text
    assert "1 of 1 runs with a seeded fault found it" in text
    assert "| `overload.one`: a promise | a pass line | fault: None (20" in text
    assert "| `unbounded_queue` | The queue before the engine has no limit. |" in text
    for number, title in REQUIREMENTS.items():
        assert f"| {number} | {title} |" in text
        assert (f"- **{number}. {title}.**" in text) == (number != 1)


def test_a_trial_beyond_the_requirements_is_shown_apart_with_why_it_is_not_met(runs):
    more = Trial("overload.more", (), "more", "a line", breaks, not_met="The cores are few.")
    text = page(document(run_all([more], runs, lambda _: None)), [more])

    beyond, _, unmet = text.partition("## Seeded faults")
    assert "| `overload.more`: more | a line | 3 of 7 kept (20" in beyond
    assert "- **`overload.more`: more.** The cores are few." in unmet


def test_a_red_or_missing_row_and_a_fault_that_was_not_found_show_as_such(runs):
    red, blind = trial(breaks), trial(keeps, "overload.two", faults=("unbounded_queue",))
    later = trial(keeps, "overload.three")
    text = page(document(run_all([red, blind], runs, lambda _: None)), [red, blind, later])

    assert "**0 of 44 requirements are met**" in text
    assert "0 of 1 runs with a seeded fault found it" in text
    assert "3 of 7 kept" in text
    assert "7 of 7 \\| kept" in text
    assert "| not run |" in text
    assert "`overload.one` is red: 3 of 7 kept." in text
    assert "`overload.three` was not run." in text


def test_every_requirement_of_a_real_trial_exists():
    assert list(REQUIREMENTS) == list(range(1, 45))
