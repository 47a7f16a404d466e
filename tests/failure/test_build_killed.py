"""`kill -9` of the builder at every step: readers see the old or the new generation, complete."""

import shutil
import subprocess
import sys

import pytest

from app.bundle.manifest import GENERATION
from app.bundle.reader import load_arrays, load_vectors, open_bundle
from app.bundle.writer import KEEP_GENERATIONS
from app.serving.stores.bundle_users import BundleUserStore
from tests.bundles import EVENTS, ITEMS, build_small, write_jsonl

pytestmark = pytest.mark.process


@pytest.fixture
def driver(tmp_path):
    items = write_jsonl(tmp_path / "new-items.jsonl", [*ITEMS, {"id": "new", "title": "New"}])
    events = write_jsonl(tmp_path / "new-events.jsonl", EVENTS)
    command = [sys.executable, "-m", "tests.failure.killed_builder", str(items), str(events)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        yield process
        process.stdin.close()
        assert process.wait(30) == 0


def run(driver, step, root):
    driver.stdin.write(f"{step} {root}\n")
    driver.stdin.flush()
    return driver.stdout.readline().strip()


def n_items_read(root):
    """Open everything that a bundle holds; return how many items there are."""
    bundle = open_bundle(root)
    ids = load_arrays(bundle, "items.safetensors")["id/present"]
    BundleUserStore.open(bundle)
    assert len(load_vectors(bundle)) == len(ids) == bundle.manifest.n_items
    return len(ids)


def generations(root):
    return [path.name for path in root.iterdir() if GENERATION.fullmatch(path.name)]


def test_a_builder_killed_at_any_step_harms_no_reader_and_the_next_one_cleans_up(tmp_path, driver):
    old = tmp_path / "old"
    for _ in range(KEEP_GENERATIONS):  # so that the build that is killed also has one to remove
        build_small(tmp_path, old)
    before, seen = set(generations(old)), []
    step, outcome = 0, "killed"
    while outcome == "killed":
        step += 1
        root = tmp_path / f"shop{step}"
        shutil.copytree(old, root, symlinks=True)
        outcome = run(driver, step, root)
        seen.append(n_items_read(root))
        current = open_bundle(root).path.name
        assert (current in before) == (seen[-1] == len(ITEMS))

        built = build_small(tmp_path, root).bundle
        assert not list(root.glob(".tmp-*"))
        assert len(generations(root)) == KEEP_GENERATIONS
        assert open_bundle(root) == built
        assert n_items_read(root) == len(ITEMS)
        shutil.rmtree(root)
    assert outcome == "done"
    assert step > 20
    # Old up to one step, new from there on: there is no going back and no third state.
    assert seen == sorted(seen)
    assert set(seen) == {len(ITEMS), len(ITEMS) + 1}


def test_a_first_build_that_is_killed_leaves_no_bundle_or_a_whole_one(tmp_path, driver):
    for step in (1, 2, 3, 5, 8, 13, 21):
        root = tmp_path / f"shop{step}"
        assert run(driver, step, root) == "killed"
        assert not (root / "current").exists()
        assert build_small(tmp_path, root).bundle == open_bundle(root)
        assert not list(root.glob(".tmp-*"))
