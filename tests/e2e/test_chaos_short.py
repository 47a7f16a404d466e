"""The short form of `make chaos`: each trial is green, and a fault drawn by seed is found.

Counts, order and values are judged here, no times.
"""

import os
import random
from pathlib import Path

import pytest

from loadtest.chaos.running import Runs, line_of
from loadtest.chaos.trial import Trial
from loadtest.chaos.trials import all_trials

pytestmark = pytest.mark.e2e

TRIALS = [trial for trial in all_trials() if trial.short]
SEED = int(os.environ.get("CHAOS_SEED", str(random.SystemRandom().randrange(1000))))
"""Another one in each run; a failure names it, and `CHAOS_SEED` repeats it."""


@pytest.mark.parametrize("trial", TRIALS, ids=lambda trial: trial.name)
def test_the_promise_is_kept(trial: Trial, tmp_path: Path) -> None:
    row = Runs(tmp_path, short=True, seed=SEED).run(trial)

    assert row.green, f"{line_of(row)}, CHAOS_SEED={SEED}"


def test_a_seeded_fault_is_found(tmp_path: Path) -> None:
    claims = [(trial, fault) for trial in TRIALS for fault in trial.faults]
    trial, fault = random.Random(SEED).choice(claims)

    row = Runs(tmp_path, short=True, seed=SEED).run(trial, fault)

    assert row.green, f"{line_of(row)}, CHAOS_SEED={SEED}"
