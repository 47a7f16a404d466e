"""Publishing: one step for readers, queueing builders, nothing left behind."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from app.bundle.manifest import GENERATION
from app.bundle.reader import CURRENT, open_bundle
from app.bundle.writer import KEEP_GENERATIONS, write_bundle
from tests.bundles import fill_small as fill


@pytest.fixture
def bundle(tmp_path):
    return write_bundle(tmp_path / "shop", fill)


def test_the_newest_generations_are_kept(tmp_path):
    written = [write_bundle(tmp_path / "shop", fill).path for _ in range(KEEP_GENERATIONS + 2)]
    left = sorted(path.name for path in (tmp_path / "shop").iterdir())
    assert left == [".lock", *(path.name for path in written[-KEEP_GENERATIONS:]), CURRENT]
    assert open_bundle(tmp_path / "shop").path == written[-1]


def test_current_is_kept_even_if_the_clock_ran_backwards(tmp_path):
    shop = tmp_path / "shop"
    for day in range(1, 5):
        shutil.copytree(
            write_bundle(tmp_path / "x", fill).path, shop / f"909901{day:02}T000000000000Z-00000000"
        )
    written = write_bundle(shop, fill)
    assert open_bundle(shop) == written


def test_a_builder_that_fails_changes_nothing(bundle, tmp_path):
    before = sorted((tmp_path / "shop").iterdir())

    def failing(folder):
        (folder / "half").write_text("x")
        raise RuntimeError("no")

    with pytest.raises(RuntimeError):
        write_bundle(tmp_path / "shop", failing)
    assert sorted((tmp_path / "shop").iterdir()) == before
    assert open_bundle(tmp_path / "shop") == bundle


def test_leftovers_of_dead_builders_are_removed(tmp_path):
    (tmp_path / "shop/.tmp-old/deep").mkdir(parents=True)
    (tmp_path / "shop/.tmp-current").symlink_to("nowhere")
    write_bundle(tmp_path / "shop", fill)
    assert not list((tmp_path / "shop").glob(".tmp-*"))


@pytest.mark.process
def test_builders_of_one_name_queue(tmp_path):
    code = (
        "import sys; from pathlib import Path; from app.bundle.writer import write_bundle\n"
        "from tests.bundles import fill_small as fill\n"
        "write_bundle(Path(sys.argv[1]), fill)"
    )
    second = []

    def slow(folder):
        # While this builder holds the lock, the other one may say that it waits, and do nothing.
        command = [sys.executable, "-c", code, str(tmp_path / "shop")]
        second.append(subprocess.Popen(command, stderr=subprocess.PIPE, text=True))
        assert "waiting for it to end" in second[0].stderr.readline()
        assert [p.name for p in (tmp_path / "shop").iterdir() if p.name != ".lock"] == [folder.name]
        return fill(folder)

    first = write_bundle(tmp_path / "shop", slow)
    with second[0] as process:
        assert process.wait(30) == 0
    assert open_bundle(first.path) == first
    assert open_bundle(tmp_path / "shop").path > first.path


def steps_of(root):
    """Publish once; return its ("fsync", path), ("rename", "") and ("replace", "") in order.

    Seen by a profile hook of the interpreter, so that nothing of the code is replaced.
    """
    steps = []

    def watch(_frame, event, function):
        if event != "c_call" or function.__module__ != "posix":
            return
        name = function.__name__
        if name in {"fsync", "rename", "replace"}:
            opened = [os.path.realpath(fd) for fd in Path("/proc/self/fd").iterdir()]
            below = [path for path in opened if path.startswith(str(root))]
            synced = [path for path in below if name == "fsync" and not path.endswith(".lock")]
            steps.append((name, *(os.path.relpath(path, root) for path in synced)))

    sys.setprofile(watch)
    try:
        generation = write_bundle(root, fill).path.name
    finally:
        sys.setprofile(None)
    return [
        (name, *(path.replace(f".tmp-{generation}", "G") for path in rest)) for name, *rest in steps
    ]


def test_everything_is_on_the_disk_before_the_step_that_needs_it(tmp_path):
    steps = steps_of(tmp_path / "shop")
    order = {step: place for place, step in enumerate(steps)}
    manifest, rename = order["fsync", "G/manifest.json"], order["rename",]
    for name in ("G/vectors.npy", "G/items.safetensors", "G/encoder/model.bin", "G/encoder/empty"):
        assert order["fsync", name] < manifest
    assert manifest < order["fsync", "G"] < rename
    assert manifest < order["fsync", "G/encoder"] < rename
    # The folder is synced after the generation is there, and again after `current` points to it.
    assert [step for step in steps if step[0] != "fsync" or step[1] == "."] == [
        ("rename",),
        ("fsync", "."),
        ("replace",),
        ("fsync", "."),
    ]


def test_what_is_to_be_accepted_can_be_opened_but_not_found(bundle, tmp_path):
    shop, seen = tmp_path / "shop", []

    def accept(offered):
        seen.append(offered)
        assert open_bundle(offered.path) == offered  # every file is there, and sealed
        assert open_bundle(shop) == bundle
        generations = [path.name for path in shop.iterdir() if GENERATION.fullmatch(path.name)]
        assert generations == [bundle.path.name]

    written = write_bundle(shop, fill, accept)
    assert [offered.manifest for offered in seen] == [written.manifest]
    assert open_bundle(shop) == written
    assert not list(shop.glob(".tmp-*"))


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_what_is_not_accepted_leaves_nothing(bundle, tmp_path, error):
    before = sorted((tmp_path / "shop").iterdir())

    def accept(offered):
        raise error

    with pytest.raises(error):
        write_bundle(tmp_path / "shop", fill, accept)
    assert sorted((tmp_path / "shop").iterdir()) == before
    assert open_bundle(tmp_path / "shop") == bundle


@pytest.mark.process
def test_a_builder_that_dies_while_its_bundle_is_judged_publishes_nothing(bundle, tmp_path):
    code = (
        "import os, sys; from pathlib import Path; from app.bundle.writer import write_bundle\n"
        "from tests.bundles import fill_small as fill\n"
        "write_bundle(Path(sys.argv[1]), fill, lambda offered: os.kill(os.getpid(), 9))"
    )
    before = sorted((tmp_path / "shop").iterdir())
    with subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "shop")]) as process:
        assert process.wait(30) == -9
    assert open_bundle(tmp_path / "shop") == bundle
    (left,) = set((tmp_path / "shop").iterdir()) - set(before)
    assert left.name.startswith(".tmp-")
    write_bundle(tmp_path / "shop", fill)
    assert not list((tmp_path / "shop").glob(".tmp-*"))
