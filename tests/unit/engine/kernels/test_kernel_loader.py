"""Where compiled code may lie, and whose: never wherever a command was started, never others'."""

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from app.engine.kernels.loader import (
    FOLDER,
    Unavailable,
    cache_folder,
    compiled_library,
    library_name,
    load_library,
    why_not_ours,
)
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


def compiled(sources: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the file as a bare image does: no packages, and no home."""
    return run_python(sources, env, "loader.py")


def run_python(
    folder: Path, env: Mapping[str, str], *arguments: str
) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-I", "-S", *arguments]
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)


@pytest.mark.process
def test_it_is_compiled_where_nothing_is_installed(sources):
    done = compiled(sources, {})
    assert (done.returncode, done.stderr) == (0, "")
    (library,) = (sources / "c").glob("kernel-*.so")
    assert ctypes.CDLL(str(library)).instruction_set_available(0) == 1  # AVX2


@pytest.mark.process
def test_what_does_not_compile_is_an_error(sources):
    (sources / "c" / "matching.c").write_text("no C")
    done = compiled(sources, {})
    assert done.returncode != 0
    assert "does not compile" in done.stderr


# ---- Whose library is loaded ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiled_once(tmp_path_factory) -> Path:
    try:
        return compiled_library([tmp_path_factory.mktemp("once") / "ours"])
    except Unavailable as why:
        pytest.skip(str(why))


@pytest.fixture
def made(compiled_once, tmp_path) -> Path:
    """A library in a folder of ours."""
    shutil.copytree(compiled_once.parent, tmp_path / "ours")
    return tmp_path / "ours" / compiled_once.name


def test_a_library_is_compiled_once_and_found_again(compiled_once):
    before = compiled_once.stat().st_mtime_ns
    assert compiled_library([compiled_once.parent]) == compiled_once
    assert compiled_once.stat().st_mtime_ns == before
    assert compiled_once.stat().st_mode & 0o777 == 0o755
    assert compiled_once.parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in compiled_once.parent.iterdir()] == [library_name()]


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:40_000],
        lambda content: content[:-1],
        lambda content: b"",
        lambda content: content[:9000] + bytes([content[9000] ^ 1]) + content[9001:],
        lambda content: b"\x7fELF" + bytes(4096),
    ],
    ids=["half", "one byte less", "nothing", "a bit", "another file"],
)
def test_a_damaged_library_is_passed_over(made, compiled_once, damage):
    made.write_bytes(damage(made.read_bytes()))
    assert compiled_library([made.parent, compiled_once.parent]) == compiled_once


def test_the_library_of_another_source_is_passed_over(made, compiled_once):
    made.rename(other := made.with_name("kernel-0123456789abcdef.so"))
    shutil.copy2(other, made)
    made.write_bytes(made.read_bytes().replace(b"compiled by", b"compiled at"))
    assert compiled_library([made.parent, compiled_once.parent]) == compiled_once


def test_a_library_that_was_cut_off_is_compiled_again(made):
    whole = made.read_bytes()
    made.write_bytes(whole[:40_000])
    assert compiled_library([made.parent]) == made
    assert made.read_bytes() == whole
    ctypes.CDLL(str(made))


@pytest.mark.parametrize("mode", [0o777, 0o757, 0o773])
def test_a_folder_that_others_can_change_is_passed_over(made, tmp_path, mode):
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    shutil.copy2(made, open_to_all)
    open_to_all.chmod(mode)
    if os.getgid() == 0 and not mode & 0o002:
        os.chown(open_to_all, 0, 12_345)
    assert compiled_library([open_to_all, made.parent]) == made
    below = open_to_all / "below"
    with pytest.raises(Unavailable, match=f"{open_to_all} can be written by"):
        compiled_library([below])
    assert why_not_ours(made) is None


def test_a_library_that_others_can_write_is_passed_over(made, compiled_once):
    made.chmod(0o777)
    assert compiled_library([made.parent, compiled_once.parent]) == compiled_once


def test_below_a_folder_like_tmp_ours_is_safe(made, tmp_path):
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o1777)
    shutil.copytree(made.parent, shared / "mine")
    assert compiled_library([shared / "mine"]).parent == shared / "mine"
    with pytest.raises(Unavailable, match="can be written by everybody"):
        compiled_library([shared])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("given", ["library", "folder", "folder above"])
def test_what_belongs_to_somebody_else_is_not_loaded(made, tmp_path, given):
    theirs = tmp_path / "theirs"
    (theirs / "cache").mkdir(parents=True)
    copied = Path(shutil.copy2(made, theirs / "cache"))
    os.chown({"library": copied, "folder": copied.parent, "folder above": theirs}[given], 12345, 0)
    assert compiled_library([copied.parent, made.parent]) == made
    if given != "library":
        with pytest.raises(Unavailable, match="belongs to user 12345"):
            compiled_library([copied.parent])


@pytest.mark.process
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_whoever_could_replace_the_code_may_own_the_folder(sources):
    """As in the containers of some CI services, whose work folder belongs to another user."""
    os.chown(sources, 12345, 12345)
    done = compiled(sources, {})
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((sources / "c").glob("kernel-*.so"))) == 1


def test_a_link_to_a_folder_of_others_is_followed_before_it_is_judged(made, tmp_path):
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(made.parent, elsewhere)
    elsewhere.chmod(0o777)
    (tmp_path / "link").symlink_to(elsewhere)
    assert compiled_library([tmp_path / "link", made.parent]) == made


@pytest.mark.process
def test_no_program_of_the_callers_path_is_run(sources, tmp_path):
    called, programs = tmp_path / "called", tmp_path / "bin"
    programs.mkdir()
    for name in ("cc", "gcc", "clang", "as", "ld", "collect2", "cc1"):
        program = programs / name
        program.write_text(f"#!/bin/sh\ntouch {called}\nexit 1\n")
        program.chmod(0o755)
    env = {"PATH": str(programs), "CPATH": str(programs), "COMPILER_PATH": str(programs)}
    done = compiled(sources, env)
    assert (done.returncode, done.stderr) == (0, "")
    assert not called.exists()
    assert len(list((sources / "c").glob("kernel-*.so"))) == 1


@pytest.mark.process
def test_a_planted_library_in_the_callers_cache_is_not_loaded(sources, tmp_path):
    """The source's folder cannot be used, so the cache is looked at: it is open to all."""
    code = (
        "import sys; sys.path.insert(0, '.'); import loader;"
        "print(loader.load_library().instruction_set_available(0))"
    )
    cache = tmp_path / "cache"
    (cache / "recserve").mkdir(parents=True)
    (cache / "recserve" / library_name()).write_bytes(b"\x7fELF" + bytes(4096))
    (sources / "c").chmod(0o777)
    (cache / "recserve").chmod(0o777)
    env = {"XDG_CACHE_HOME": str(cache)}
    done = run_python(sources, env, "-c", code)
    assert "no folder for it can be used" in done.stderr
    (cache / "recserve").chmod(0o700)
    again = run_python(sources, env, "-c", code)
    assert (again.returncode, again.stdout) == (0, "1\n")
