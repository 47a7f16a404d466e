"""Our C under the address and the undefined behaviour sanitizer, with all inputs of its own tests.

Those tests are random and at the edges, and numpy says what is right. Here the same tests run
against a build in which each read and write of memory is checked, and each operation that C does
not define ends the process.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from app.engine.kernels import loader
from tests.failure.sanitized_kernels import LIBRARY

pytestmark = pytest.mark.process

ROOT = Path(__file__).parents[2]
TESTS = Path("tests/unit/engine/kernels")
KERNELS = ("topk", "matching", "cosines", "cosines_packing", "features", "lexical_features")
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
CHECKED = ("-O1", "-g1", "-fno-omit-frame-pointer", *SANITIZERS)
FOUND = 99


@pytest.fixture(scope="module")
def compiler() -> str:
    found = shutil.which("gcc")
    if found is None:
        pytest.skip("there is no gcc, which brings the sanitizers")
    return found


@pytest.fixture(scope="module")
def runtime(compiler) -> str:
    """The library of the address sanitizer: it has to be in a process from its start."""
    asked = [compiler, "-print-file-name=libasan.so"]
    path = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    if not Path(path).is_absolute():
        pytest.skip("gcc has no address sanitizer here")
    return path


def compiled(compiler: str, to: Path, sources: Sequence[Path]) -> Path:
    plain = [flag for flag in loader.FLAGS if not flag.startswith("-O")]
    command = [compiler, *plain, *CHECKED, "-o", str(to), *map(str, sources), "-lm"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "cannot find" in done.stderr:
        pytest.skip("gcc has no sanitizers here")
    assert done.returncode == 0, done.stderr
    return to


def run_checked(runtime: str, library: Path, *tests: str) -> subprocess.CompletedProcess[str]:
    """Run tests of kernels in a process with a library and the sanitizers."""
    command = [sys.executable, "-m", "pytest", "-p", "tests.failure.sanitized_kernels", "-q", "-x"]
    environment = os.environ | {
        LIBRARY: str(library),
        "LD_PRELOAD": runtime,
        "PYTHONMALLOC": "malloc",  # so that each object lies alone, with a fence around it
        # The interpreter itself keeps memory until its end.
        "ASAN_OPTIONS": f"detect_leaks=0:exitcode={FOUND}",
        "UBSAN_OPTIONS": f"print_stacktrace=1:exitcode={FOUND}",
    }
    return subprocess.run(
        [*command, "-s", "-p", "no:cacheprovider", *tests],  # -s: what a sanitizer says is seen
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_kernel_reads_or_writes_outside_or_does_what_c_leaves_open(tmp_path, compiler, runtime):
    library = compiled(compiler, tmp_path / "checked.so", sorted(loader.FOLDER.glob("*.c")))
    files = [str(TESTS / f"test_{name}.py") for name in (*KERNELS, "encoder_kernel")]
    done = run_checked(runtime, library, *files)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert done.stdout.count(".") > 100  # a point for each test that passed


MISTAKES = {
    "a row too many": (
        "topk",
        ("request.n_rows - at < 8 ? 1 : 8", "request.n_rows - at < 7 ? 1 : 8"),
        "ERROR: AddressSanitizer",
    ),
    "a shift too far": (
        "topk",
        ("bits ^= bits >> 31 ?", "bits ^= bits >> 32 ?"),
        "shift exponent 32 is too large",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_small_mistake_is_found(tmp_path, compiler, runtime, mistake):
    """The trial of the trial: a sanitizer that finds nothing proves nothing."""
    kernel, (right, wrong), said = MISTAKES[mistake]
    text = (loader.FOLDER / f"{kernel}.c").read_text()
    assert right in text
    (tmp_path / f"{kernel}.c").write_text(text.replace(right, wrong))
    for header in loader.FOLDER.glob("*.h"):
        shutil.copy(header, tmp_path)
    library = compiled(compiler, tmp_path / "wrong.so", [tmp_path / f"{kernel}.c"])
    done = run_checked(runtime, library, str(TESTS / f"test_{kernel}.py"))
    assert done.returncode == FOUND, done.stdout[-2000:] + done.stderr[-2000:]
    assert said in done.stdout + done.stderr
