"""The seeded simulation: all rules hold, each broken part is found, and a seed repeats itself."""

import os
import subprocess
import sys

import pytest

from loadtest.simulation.faults import FAULTS
from loadtest.simulation.schedule import part_of, schedule_of
from loadtest.simulation.search import failures_of, first_failure, smallest
from loadtest.simulation.world import run

SCHEDULES = 200
"""Of 10,000 that `make simulate` runs."""
MOST_TO_FIND = 300
"""Within so many schedules each seeded fault is found."""
BEGINS = {"forgotten_fields": 1000}
"""Seeds from which on faults are looked for that show in one schedule of some thousand."""


def test_all_rules_hold_in_the_first_schedules() -> None:
    assert failures_of(0, SCHEDULES) == []


@pytest.mark.parametrize("name", FAULTS)
def test_a_seeded_fault_is_found(name: str) -> None:
    assert first_failure(BEGINS.get(name, 0), MOST_TO_FIND, name) is not None


def test_a_failing_schedule_is_made_small_and_still_fails() -> None:
    found = first_failure(0, MOST_TO_FIND, "forgotten_bundle")
    assert found is not None
    schedule = schedule_of(found.seed)

    small = smallest(schedule, "forgotten_bundle")

    assert len(small.steps) < len(schedule.steps) / 2
    assert "reload" in {step.kind for step in small.steps}
    assert run(part_of(schedule, [step.number for step in small.steps])).wrong == ()


@pytest.mark.process
def test_a_seed_does_the_same_again_in_another_process() -> None:
    command = [sys.executable, "-m", "loadtest.simulation", "--seed", "7", "--trace"]
    traces = {
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }

    (trace,) = traces
    assert trace.endswith("seed 7: all rules hold\n")
    assert trace.count("step") > 10
