"""How a process manages its memory; `loadtest.scenarios.reloads` measures the effect."""

import gc
import os
import subprocess
import sys

import pytest

from app.core.memory import put_off_collections, settle, settled


def test_the_collector_is_as_it_was_afterwards() -> None:
    before = gc.get_threshold()
    with settled():
        assert gc.get_threshold()[0] > before[0]
        frozen = gc.get_freeze_count()
        assert frozen > 0
        kept = [[n] for n in range(1000)]
        settle()
        assert gc.get_freeze_count() >= frozen + len(kept)

    assert gc.get_threshold() == before
    assert gc.get_freeze_count() == 0


@pytest.mark.process
def test_one_heap_is_shared_unless_the_environment_says_otherwise() -> None:
    code = "import os; from app.core.memory import *; share_one_arena(); "
    code += "print(os.environ['MALLOC_ARENA_MAX'])"
    for given, wanted in (({}, "1"), ({"MALLOC_ARENA_MAX": "4"}, "4")):
        rest = {k: v for k, v in os.environ.items() if k != "MALLOC_ARENA_MAX"}
        shown = subprocess.run(
            [sys.executable, "-c", code],
            env=rest | given,
            capture_output=True,
            text=True,
            check=True,
        )
        assert shown.stdout.strip() == wanted


def test_collections_that_were_put_off_begin_when_the_service_is_settled() -> None:
    put_off_collections()
    try:
        assert not gc.isenabled()
        with settled():
            assert gc.isenabled()
        assert gc.isenabled()
    finally:
        gc.enable()
