"""The trials themselves: names, requirements and seeded faults exist, and none is forgotten."""

import pkgutil
import subprocess
import sys

import pytest

from loadtest.chaos import faults, troubles
from loadtest.chaos.faulty_service import about, module_of
from loadtest.chaos.requirements import REQUIREMENTS
from loadtest.chaos.trials import all_trials
from loadtest.runners.services import ROOT

SEEDED = [
    each.name for folder in (faults, troubles) for each in pkgutil.iter_modules(folder.__path__)
]


def test_names_requirements_and_faults_of_trials_exist():
    trials = all_trials()
    known = {each.name for each in pkgutil.iter_modules(faults.__path__)}
    for trial in trials:
        assert set(trial.requirements) <= set(REQUIREMENTS), trial.name
        assert set(trial.faults) <= known, trial.name
    assert {fault for trial in trials for fault in trial.faults} == known


def test_every_group_has_a_seeded_fault():
    groups = {trial.group for trial in all_trials()}
    assert {trial.group for trial in all_trials() if trial.faults} == groups


@pytest.mark.parametrize("name", SEEDED)
def test_a_module_says_what_it_breaks(name: str):
    assert about(name).endswith(".")
    assert callable(module_of(name).seed)


@pytest.mark.parametrize("name", ["rust", "../running", "os.path", ""])
def test_an_unknown_name_is_refused(name: str):
    with pytest.raises(LookupError):
        module_of(name)


@pytest.mark.process
def test_the_launcher_runs_a_module_with_the_fault_in_it():
    program = "import sys; from app.serving.batching.batcher import Batcher; print(sys.argv)"
    program += "; print(Batcher.admitted(None, 0, 0))"
    seeded = ["-m", "loadtest.chaos.faulty_service", "unbounded_queue", "timeit", "-n1", "-r1"]
    done = subprocess.run(
        [sys.executable, *seeded, program], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert done.stdout.splitlines()[1] == "0.0"
