"""How `make` finds a Python and installs the packages."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from tests.test_architecture import ROOT

_install = runpy.run_path(str(ROOT / ".ci" / "install.py"))


def fake_python(folder: Path, name: str, version: tuple[int, int], *, works: bool = True) -> None:
    """Make a command that answers as a Python of that version would."""
    good = works and version >= (3, 11)
    program = folder / name
    program.write_text(f"#!/bin/sh\nexit {0 if good else 1}\n")
    program.chmod(0o755)


def found(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "find_python")],
        env={"PATH": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.process
@pytest.mark.parametrize(
    ("there", "taken"),
    [
        ({"python3.11": (3, 11), "python3.12": (3, 12)}, "python3.11"),
        ({"python3.13": (3, 13), "python3": (3, 10)}, "python3.13"),
        ({"python3.14": (3, 14)}, "python3.14"),
        ({"python3": (3, 12)}, "python3"),
        ({"python": (3, 11)}, "python"),
    ],
)
def test_the_first_python_that_is_new_enough_is_taken(
    there: dict[str, tuple[int, int]], taken: str, tmp_path: Path
) -> None:
    for name, version in there.items():
        fake_python(tmp_path, name, version)
    assert (found(tmp_path).stdout, found(tmp_path).returncode) == (f"{taken}\n", 0)


@pytest.mark.process
def test_a_name_without_a_python_behind_it_is_passed_over(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3.11", (3, 11), works=False)
    fake_python(tmp_path, "python3.12", (3, 12))
    assert found(tmp_path).stdout == "python3.12\n"


@pytest.mark.process
def test_without_any_one_line_says_so(tmp_path: Path) -> None:
    fake_python(tmp_path, "python3", (3, 10))
    done = found(tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("recserve needs Python 3.11 or newer")
    assert done.stderr.count("\n") == 1


@pytest.mark.process
def test_the_real_one_is_good_enough(tmp_path: Path) -> None:
    (tmp_path / "python3").symlink_to(sys.executable)
    done = subprocess.run(
        ["/bin/sh", str(ROOT / ".ci" / "find_python")],
        env=os.environ | {"PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "python3\n", done.stderr


def test_what_pip_does_is_read_from_its_lines() -> None:
    progress = _install["Progress"]()
    assert progress.doing == "preparing"
    for line, doing in (
        ("Collecting torch==2.13 (from -c constraints.txt)\n", "1 packages found, now torch"),
        ("  Using cached torch-2.13-cp311.whl (180.1 MB)\n", "1 packages found, now torch"),
        ("Collecting uvicorn[standard]>=0.54\n", "2 packages found, now uvicorn[standard]"),
        (
            "  Downloading https://x/simple/onnx-1.22.0-cp311-manylinux.whl (18.0 MB)\n",
            "2 packages found, downloading onnx (18.0 MB)",
        ),
        ("Installing collected packages: a, b-c, d\n", "installing 3 packages"),
        ("Successfully installed a-1 b-c-2 d-3\n", "installing 3 packages"),
    ):
        progress.read(line)
        assert progress.doing == doing
    assert progress.packages == 3
