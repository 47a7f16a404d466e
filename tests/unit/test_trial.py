"""The process that opens a new bundle first: what refuses it, and what limits the process."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.core.errors import BundleError
from app.core.settings import Settings
from app.loading import Loader
from app.trial import TrialLimits, open_in_child
from tests.bundles import build_small

pytestmark = pytest.mark.process


@pytest.fixture
def bundle(tmp_path):
    """A sound bundle whose encoder no process can open: it is a fake."""
    return build_small(tmp_path, tmp_path / "shop").bundle


def refusal(bundle, command, **limits):
    with pytest.raises(BundleError) as caught:
        open_in_child(bundle, TrialLimits(**limits), command)
    return caught.value.message


def shell(script):
    return ["/bin/sh", "-c", script]


def test_a_process_that_ends_well_lets_the_bundle_pass(bundle):
    open_in_child(bundle, command=shell("exit 0"))


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("kill -SEGV $$", "the process that tried the bundle was ended by SIGSEGV"),
        ("kill -FPE $$", "the process that tried the bundle was ended by SIGFPE"),
        ("kill -KILL $$", "the process that tried the bundle was ended by SIGKILL"),
        ("echo noise; echo no such row; exit 3", "no such row"),
        ("exit 3", "the process that tried the bundle failed (exit code 3)"),
        ("exit 7", "the process that tried the bundle failed (exit code 7)"),
    ],
)
def test_any_other_end_refuses_the_bundle_and_says_why(bundle, script, said):
    assert refusal(bundle, shell(script)) == said


def test_a_process_that_takes_too_long_is_killed(bundle):
    said = refusal(bundle, shell("exec sleep 600"), seconds=0.2)
    assert said == "the process that tried the bundle took too long"


def test_a_process_that_cannot_be_started_refuses_the_bundle(bundle):
    said = refusal(bundle, ["/nonexistent"])
    assert said == "the bundle cannot be tried: No such file or directory"


def test_the_process_gets_the_folder_and_its_limits(bundle):
    size = sum(facts.bytes for facts in bundle.manifest.files.values())
    said = refusal(
        bundle, [*shell('echo "$0 $1 $2"; exit 3')], seconds=7.5, base_bytes=100, per_byte=2
    )
    assert said == f"{bundle.path} {100 + 2 * size} 8"


def test_the_real_process_says_what_is_wrong_with_a_bundle(bundle):
    with pytest.raises(BundleError, match=r"^the encoder cannot be loaded$"):
        open_in_child(bundle)


def test_a_bundle_that_the_process_refuses_is_not_opened_here(tmp_path, bundle):
    tried = []

    def refuse(verified):
        tried.append(verified)
        raise BundleError("not this one")

    source = Loader(Settings(bundle=tmp_path / "shop")).source(refuse)
    with pytest.raises(BundleError, match="not this one"):  # not: the encoder cannot be loaded
        source.load()
    assert tried == [bundle]


def run_python(code, **more):
    command = [sys.executable, "-c", f"from app import trial; {code}"]
    root = Path(__file__).parents[2]
    return subprocess.run(
        command, cwd=root, capture_output=True, text=True, timeout=60, check=False, **more
    )


def test_the_process_may_not_use_more_memory_than_its_limit():
    taking = "bytearray({} << 20); print('taken')"
    for megabytes, taken in ((100, True), (600, False)):
        done = run_python(f"trial._limit(400 << 20, 60); {taking.format(megabytes)}")
        assert (done.stdout == "taken\n") is taken
        assert ("MemoryError" in done.stderr) is not taken


def test_the_process_may_not_use_more_time_than_its_limit():
    done = run_python("trial._limit(1 << 30, 1)\nwhile True: pass")
    assert done.returncode == -24  # SIGXCPU


def test_the_process_ends_with_the_one_that_started_it():
    done = run_python("trial._end_with_parent(); print('goes on')", stdin=subprocess.DEVNULL)
    assert (done.returncode, done.stdout) == (1, "")
