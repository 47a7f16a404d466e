"""Which generation serves: `recserve publish` and `recserve rollback`, and who is refused."""

import shutil
from pathlib import Path

import pytest

from app.bundle.generations import generation_at, is_generation, publish, roll_back
from app.bundle.reader import CURRENT, open_bundle
from app.bundle.writer import builder_lock, write_bundle
from app.cli import main
from app.core.errors import BundleError
from tests.bundles import fill_small


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle of three generations; the newest is `current`."""
    for _ in range(3):
        write_bundle(tmp_path / "shop", fill_small)
    return tmp_path / "shop"


def generations(root: Path) -> list[str]:
    return sorted(path.name for path in root.iterdir() if path.is_dir() and not path.is_symlink())


def damage(folder: Path) -> None:
    path = folder / "vectors.npy"
    path.write_bytes(path.read_bytes()[:-1] + b"?")


def test_a_path_means_what_current_points_to_or_itself(root: Path, tmp_path: Path) -> None:
    oldest, _, newest = generations(root)

    assert (generation_at(root), is_generation(root)) == (newest, False)
    assert (generation_at(root / oldest), is_generation(root / oldest)) == (oldest, True)
    assert generation_at(tmp_path / "none") is None
    (root / CURRENT).unlink()
    assert generation_at(root) is None


def test_publishing_points_current_to_what_was_named(root: Path) -> None:
    oldest, _, newest = generations(root)

    assert str(publish(root, oldest)) == f"current of shop: {oldest} (before: {newest})"
    assert open_bundle(root).manifest.generation == oldest
    assert str(publish(root, newest)) == f"current of shop: {newest} (before: {oldest})"


def test_what_is_damaged_or_not_there_is_not_published(root: Path, tmp_path: Path) -> None:
    oldest, _, newest = generations(root)
    damage(root / oldest)
    for folder, name, said in (
        (root, oldest, "checksum"),
        (root, "20260101T000000000000Z-00000000", f"there are: {oldest}, "),
        (root, f"../shop/{newest}", "no such generation"),
        (root, CURRENT, "no such generation"),
        (tmp_path / "none", newest, "no bundle folder 'none'"),
        (root / newest, newest, "name models/NAME"),
    ):
        with pytest.raises(BundleError, match=said):
            publish(folder, name)
    assert generation_at(root) == newest
    assert not (tmp_path / "none").exists()


def test_rolling_back_goes_to_the_newest_older_one_step_by_step(root: Path) -> None:
    oldest, middle, newest = generations(root)

    assert (roll_back(root).now, generation_at(root)) == (middle, middle)
    assert roll_back(root).now == oldest
    with pytest.raises(BundleError, match="nothing older"):
        roll_back(root)
    assert generation_at(root) == oldest
    assert generations(root) == [oldest, middle, newest]


def test_rolling_back_passes_over_what_is_damaged(root: Path) -> None:
    oldest, middle, _ = generations(root)
    damage(root / middle)

    assert roll_back(root).now == oldest


@pytest.mark.parametrize("lost", ["damaged", "removed"])
def test_rolling_back_from_what_is_broken(root: Path, lost: str) -> None:
    _, middle, newest = generations(root)
    damage(root / newest) if lost == "damaged" else shutil.rmtree(root / newest)

    assert (roll_back(root).now, open_bundle(root).manifest.generation) == (middle, middle)


def test_without_current_there_is_nothing_to_go_back_from(root: Path) -> None:
    (root / CURRENT).unlink()

    with pytest.raises(BundleError, match="points to nothing"):
        roll_back(root)


def test_what_a_builder_that_died_left_is_no_hindrance(root: Path) -> None:
    oldest, *_ = generations(root)
    (root / ".tmp-current").symlink_to("somewhere")

    assert publish(root, oldest).now == oldest
    assert not list(root.glob(".tmp-*"))


def test_the_lock_is_free_again_after_a_refusal(root: Path) -> None:
    with pytest.raises(BundleError):
        publish(root, "none")
    with builder_lock(root):
        pass


def test_the_commands_say_what_they_did_and_end_with_1_if_nothing(root: Path, capsys) -> None:
    oldest, middle, newest = generations(root)

    assert main(["rollback", "--bundle", str(root)]) == 0
    assert capsys.readouterr().out == f"current of shop: {middle} (before: {newest})\n"
    assert main(["publish", "--bundle", str(root), oldest]) == 0
    assert capsys.readouterr().out == f"current of shop: {oldest} (before: {middle})\n"
    assert main(["rollback", "--bundle", str(root)]) == 1
    assert f"nothing older than {oldest}" in capsys.readouterr().err
    assert main(["publish", "--bundle", str(root), "none"]) == 1
    assert "there is no such generation" in capsys.readouterr().err
