"""The training lock: held by one process, seen by all, freed however its holder ends."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.bundle.training_lock import is_training, try_training_lock, wait_for_training_lock


def test_one_holder_at_a_time_and_everybody_can_look(tmp_path: Path) -> None:
    assert not is_training(tmp_path)
    lock = try_training_lock(tmp_path)
    assert lock is not None
    assert is_training(tmp_path)
    assert try_training_lock(tmp_path, sleep=lambda _: None) is None

    lock.close()
    assert not is_training(tmp_path)
    with wait_for_training_lock(tmp_path):
        assert is_training(tmp_path)


def test_a_folder_that_is_not_there_is_not_trained(tmp_path: Path) -> None:
    assert not is_training(tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.process
def test_a_child_that_inherits_the_lock_holds_it_until_it_is_killed(tmp_path: Path) -> None:
    lock = try_training_lock(tmp_path)
    assert lock is not None
    child = subprocess.Popen(
        [sys.executable, "-c", "input()"], stdin=subprocess.PIPE, pass_fds=(lock.fileno(),)
    )
    lock.close()
    assert is_training(tmp_path)

    child.kill()
    child.communicate()
    assert not is_training(tmp_path)
