"""Where compiled code and what builds keep may lie: never wherever a command was started."""

import ctypes
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.engine.kernels.loader import FOLDER, Unavailable, cache_folder, load_library
from app.offline.encoder.kernel_file import LEAST_BYTES, disk_cached


@pytest.fixture(autouse=True)
def started_in(tmp_path, monkeypatch):
    """An empty folder, and a user whose home is known."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/somewhere")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    return tmp_path


def test_it_is_in_the_users_cache(monkeypatch):
    assert cache_folder() == Path("/somewhere/.cache/recserve")
    monkeypatch.setenv("XDG_CACHE_HOME", "/elsewhere")
    assert cache_folder() == Path("/elsewhere/recserve")


@pytest.mark.parametrize("relative", ["", "here", "~", "~/here"])
def test_a_cache_that_is_not_absolute_is_no_cache(relative, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", relative)
    assert cache_folder() == Path("/somewhere/.cache/recserve")


@pytest.mark.parametrize("home", ["here", "~"])  # a user without one has "~"
def test_without_a_home_nothing_is_kept(home, started_in, monkeypatch):
    monkeypatch.setenv("HOME", home)
    assert cache_folder().is_absolute()
    content = bytes(LEAST_BYTES)
    assert disk_cached("a" * 64, lambda: content) == content
    assert not cache_folder().exists()
    assert list(started_in.iterdir()) == []


@pytest.fixture
def sources(tmp_path) -> Path:
    """A copy of what an image compiles, as the Dockerfile copies it."""
    try:
        load_library()
    except Unavailable as why:
        pytest.skip(str(why))
    shutil.copy(FOLDER.parent / "loader.py", tmp_path)
    shutil.copytree(FOLDER, tmp_path / "c", ignore=shutil.ignore_patterns("*.so"))
    return tmp_path


def compiled(sources: Path) -> subprocess.CompletedProcess[str]:
    """Run the file as a bare image does: no packages, and no home."""
    command = [sys.executable, "-I", "-S", "loader.py"]
    bare = {"PATH": os.environ["PATH"]}
    return subprocess.run(
        command, cwd=sources, env=bare, capture_output=True, text=True, check=False
    )


@pytest.mark.process
def test_it_is_compiled_where_nothing_is_installed(sources):
    done = compiled(sources)
    assert (done.returncode, done.stderr) == (0, "")
    (library,) = (sources / "c").glob("kernel-*.so")
    assert ctypes.CDLL(str(library)).instruction_set_available(0) == 1  # AVX2


@pytest.mark.process
def test_what_does_not_compile_is_an_error(sources):
    (sources / "c" / "matching.c").write_text("no C")
    done = compiled(sources)
    assert done.returncode != 0
    assert "does not compile" in done.stderr
