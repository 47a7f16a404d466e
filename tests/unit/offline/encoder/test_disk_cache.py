"""Files kept for the next build: taken where they are whole, made again where anything is amiss."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from app.offline.encoder.kernel_file import KEEP, LEAST_BYTES, disk_cached

KEY = "a" * 64
CONTENT = bytes(range(256)) * (LEAST_BYTES // 256)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "recserve"


class Maker:
    """Makes the same content each time, and counts."""

    def __init__(self, content: bytes = CONTENT) -> None:
        self.content, self.made = content, 0

    def __call__(self) -> bytes:
        self.made += 1
        return self.content


def never() -> bytes:
    raise AssertionError("made again")


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if path.name.startswith("rounded-"))


def test_it_is_made_once():
    assert disk_cached(KEY, Maker()) == CONTENT
    assert disk_cached(KEY, never) == CONTENT


def test_another_key_is_made_for_itself():
    disk_cached(KEY, Maker())
    assert disk_cached("b" * 64, Maker(CONTENT[::-1])) == CONTENT[::-1]
    assert disk_cached(KEY, never) == CONTENT


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "cut short": lambda content: content[:-1],
    "longer": lambda content: content + b"\0",
    "one bit": lambda content: bytes([content[0] ^ 1]) + content[1:],
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_replaced(folder, how):
    disk_cached(KEY, Maker())
    (path,) = files(folder)
    path.write_bytes(DAMAGE[how](CONTENT))
    again = Maker()
    assert (disk_cached(KEY, again), again.made) == (CONTENT, 1)
    assert files(folder) == [path]
    assert disk_cached(KEY, never) == CONTENT


def test_a_damaged_file_goes_also_where_it_comes_out_otherwise(folder):
    disk_cached(KEY, Maker())
    files(folder)[0].write_bytes(b"")
    disk_cached(KEY, Maker(CONTENT[::-1]))
    (path,) = files(folder)
    assert path.read_bytes() == CONTENT[::-1]


def test_what_cannot_be_read_is_made_again(folder):
    disk_cached(KEY, Maker())
    (path,) = files(folder)
    path.unlink()
    path.mkdir()
    again = Maker()
    assert (disk_cached(KEY, again), again.made) == (CONTENT, 1)


def test_without_a_folder_to_write_to_it_is_made_each_time(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    maker = Maker()
    assert [disk_cached(KEY, maker) for _ in range(2)] == [CONTENT] * 2
    assert maker.made == 2
    assert "not kept for the next build" in caplog.text


def test_what_cannot_be_renamed_leaves_nothing_behind(folder, caplog):
    # A name that no file system takes: the renaming fails, after the writing.
    assert disk_cached("a" * 300, Maker()) == CONTENT
    assert list(folder.iterdir()) == []
    assert "not kept for the next build" in caplog.text


def test_an_error_in_the_making_is_the_callers(folder):
    with pytest.raises(AssertionError, match="made again"):
        disk_cached(KEY, never)
    assert not folder.exists()


def test_what_is_made_in_a_moment_is_not_kept(folder):
    disk_cached(KEY, Maker(CONTENT[:-1]))
    assert not folder.exists()


def test_two_builds_at_once_leave_one_file(folder):
    def slower() -> bytes:
        disk_cached(KEY, Maker())  # the other one comes and goes meanwhile
        return CONTENT

    assert disk_cached(KEY, slower) == CONTENT
    assert len(list(folder.iterdir())) == 1
    assert disk_cached(KEY, never) == CONTENT


def used(path: Path, when: int) -> None:
    os.utime(path, (when, when))


def test_those_used_last_stay_and_what_is_not_ours(folder):
    folder.mkdir()
    others = [folder / "kernel-0123456789abcdef.so", folder / "notes.safetensors"]
    for other in others:
        other.touch()
        used(other, 0)
    keys = [digit * 64 for digit in "0123456789"[: KEEP + 1]]
    for when, key in enumerate(keys[:KEEP], start=1):
        disk_cached(key, Maker())
        used(next(folder.glob(f"rounded-{key}-*")), when)
    assert disk_cached(keys[0], never) == CONTENT  # so the second is the one unused for longest
    disk_cached(keys[KEEP], Maker())
    assert len(files(folder)) == KEEP
    assert all(other.exists() for other in others)
    again = Maker()
    for key in keys:
        if key != keys[1]:
            disk_cached(key, never)
    disk_cached(keys[1], again)
    assert again.made == 1


def test_what_killed_builds_left_goes_first(folder):
    folder.mkdir()
    for number in range(KEEP + 1):
        left = folder / f"rounded-{number}.part"
        left.write_bytes(CONTENT[:100])
        used(left, number)
    disk_cached(KEY, Maker())
    assert len(files(folder)) == KEEP
    assert disk_cached(KEY, never) == CONTENT
