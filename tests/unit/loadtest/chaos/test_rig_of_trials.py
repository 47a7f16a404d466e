"""What a trial works with: tests run in a process of their own, with the seeded fault in it."""

import random
from pathlib import Path

import pytest

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured

pytestmark = pytest.mark.process

TESTS = """
from app.serving.batching.batcher import Batcher

def test_one():
    assert Batcher.admitted.__qualname__ == "Batcher.admitted"

def test_two():
    pass
"""


def run(folder: Path, text: str, *, fault: str | None = None) -> Measured:
    (folder / "test_small.py").write_text(text)
    with Rig(folder, random.Random(1), fault=fault) as rig:
        return rig.pytest("--rootdir", str(folder), "--noconftest", str(folder / "test_small.py"))


def test_tests_that_pass_keep_the_promise(tmp_path):
    assert run(tmp_path, TESTS) == Measured(True, "2 of 2 tests pass")


def test_a_seeded_fault_is_in_the_process_of_the_tests(tmp_path):
    assert run(tmp_path, TESTS, fault="unbounded_queue") == Measured(False, "1 of 2 tests pass")


def test_tests_that_are_all_skipped_keep_nothing(tmp_path):
    skipped = "import pytest\n\n@pytest.mark.skip\ndef test_one():\n    pass\n"
    assert run(tmp_path, skipped) == Measured(False, "0 of 1 tests pass, 1 skipped")


def test_no_tests_are_no_result(tmp_path):
    with pytest.raises(RuntimeError, match="no test ran"):
        run(tmp_path, "")
