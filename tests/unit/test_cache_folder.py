"""Where compiled code and what builds keep may lie: never wherever a command was started."""

from pathlib import Path

import pytest

from app.engine.native import cache_folder
from app.offline.kept import LEAST_BYTES, kept


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
    assert kept("a" * 64, lambda: content) == content
    assert not cache_folder().exists()
    assert list(started_in.iterdir()) == []
