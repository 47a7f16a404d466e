"""Bundles that take over in a real process, while requests go on."""

import argparse
import gc
import json
import shutil
import threading
import time
import weakref
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from app.bundle.generations import generation_at, publish
from app.bundle.writer import point_current_to
from app.core.ranking import RankRequest
from app.core.settings import Settings
from app.loading import Loader
from loadtest.scenarios import living
from tests.e2e.conftest import FILMS, Running, recserve, serving, write_data

pytestmark = pytest.mark.e2e

OLD = {title for _, title, *_ in FILMS}
NEW = {f"{title} (new cut)" for title in OLD}
RELOADS = 8
ASKING = 3


@pytest.fixture(scope="module")
def root(bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the bundle with a second generation, in which every title is another."""
    folder = tmp_path_factory.mktemp("reload")
    copy = folder / "models" / bundle.name
    shutil.copytree(bundle, copy, symlinks=True)
    items, events = write_data(folder)
    rows = [json.loads(line) for line in items.read_text().splitlines()]
    for row in rows:
        row["title"] += " (new cut)"
    items.write_text("".join(json.dumps(row) + "\n" for row in rows))
    done = recserve("build", "--items", str(items), "--events", str(events), "--out", str(copy))
    assert done.returncode == 0, done.stderr
    return copy


@pytest.fixture
def titles(root: Path) -> dict[str, set[str]]:
    """Titles by generation; `current` points to the old one."""
    old, new = sorted(path.name for path in root.glob("2*"))
    publish(root, old)
    return {old: OLD, new: NEW}


def reload(service: Running) -> httpx.Response:
    return service.client.post("/admin/reload")


@contextmanager
def asked_all_along(service: Running, answers: list[httpx.Response]) -> Iterator[threading.Event]:
    """Ask from several threads, over and over; the event is set by each answer."""
    stop, answered = threading.Event(), threading.Event()
    said = [{"query": "film"}, {"user_id": "ann"}, {"k": 3}, {"query": "crime", "user_id": "bob"}]

    def ask(first: int) -> None:
        with httpx.Client(base_url=service.url, timeout=20) as client:
            n = first
            while not stop.is_set():
                # Half of them are asked once only, the others may be cached.
                more = {"exclude": [f"nothing {n}"]} if n % 2 else {}
                # Times are not judged here: the machine may be busy.
                asked = {"budget_ms": 10_000, **said[n % 4], **more}
                answers.append(client.post("/recommend", json=asked))
                answered.set()
                n += ASKING

    threads = [threading.Thread(target=ask, args=(first,)) for first in range(ASKING)]
    for thread in threads:
        thread.start()
    try:
        yield answered
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_bundles_alternate_under_load_and_no_request_fails(
    root: Path, titles: dict[str, set[str]], tmp_path: Path
) -> None:
    answers: list[httpx.Response] = []
    old, new = titles
    with (
        serving(root, tmp_path, "--watch-bundle-ms", "0") as service,
        asked_all_along(service, answers) as answered,
    ):
        for n in range(RELOADS):
            wanted, before = (new, old) if n % 2 == 0 else (old, new)
            publish(root, wanted)
            done = reload(service).json()
            assert (done["generation"]["bundle"], done["previous"]) == (wanted, before)
            assert done["reloaded"]
            assert service.recommend(query="film").json()["generation"]["bundle"] == wanted
            assert service.client.get("/items/1").json()["title"] in titles[wanted]
            for _ in range(10):
                answered.clear()
                assert answered.wait(20)

    assert Counter(answer.status_code for answer in answers).keys() == {200}
    generations = Counter()
    for answer in map(httpx.Response.json, answers):
        generation = answer["generation"]["bundle"]
        generations[generation] += 1
        assert answer["items"]
        assert {item["title"] for item in answer["items"]} <= titles[generation]
        assert answer["degraded"] == []
    assert generations.keys() == {old, new}


def test_a_broken_bundle_is_refused_and_the_old_one_serves_on(
    root: Path, titles: dict[str, set[str]], tmp_path: Path
) -> None:
    old, new = titles
    vectors = root / new / "vectors.npy"
    whole = vectors.read_bytes()
    try:
        with serving(root, tmp_path, "--watch-bundle-ms", "50") as service:
            vectors.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
            assert recserve("publish", "--bundle", str(root), new).returncode == 1
            assert generation_at(root) == old
            point_current_to(root, new)  # as somebody might by hand
            refused = reload(service)
            assert (refused.status_code, refused.json()["error"]["code"]) == (409, "bundle_invalid")
            assert service.recommend(query="film").json()["generation"]["bundle"] == old
            assert service.client.get("/readyz").status_code == 200

            vectors.write_bytes(whole)
            assert reload(service).json()["generation"]["bundle"] == new
    finally:
        vectors.write_bytes(whole)


def test_every_worker_follows_current(
    root: Path, titles: dict[str, set[str]], tmp_path: Path
) -> None:
    old, new = titles
    with serving(root, tmp_path, "--watch-bundle-ms", "20", "--workers", "2") as service:
        wait_served_by_all(service, old)
        assert recserve("publish", "--bundle", str(root), new).returncode == 0
        wait_served_by_all(service, new)
        assert recserve("rollback", "--bundle", str(root)).returncode == 0
        wait_served_by_all(service, old)


def wait_served_by_all(service: Running, generation: str) -> None:
    """Ask over fresh connections until ten in a row show the generation."""
    deadline, in_a_row = time.monotonic() + 60, 0
    while in_a_row < 10:
        assert time.monotonic() < deadline
        shown = httpx.get(f"{service.url}/info", timeout=20).json()["bundle"]["generation"]
        in_a_row = in_a_row + 1 if shown == generation else 0


def test_a_named_generation_stays(root: Path, titles: dict[str, set[str]], tmp_path: Path) -> None:
    old, new = titles
    with serving(root / old, tmp_path, "--watch-bundle-ms", "20") as service:
        publish(root, new)
        answer = reload(service).json()

        assert (answer["reloaded"], answer["generation"]["bundle"]) == (False, old)


def test_a_loaded_bundle_is_freed_without_the_collector(bundle: Path) -> None:
    """What is frozen is never collected, so a cycle would keep every old bundle in memory."""
    gc.disable()
    try:
        loaded = Loader(Settings(bundle=bundle)).load()
        loaded.engine.rank([RankRequest(query="space"), RankRequest(history=("1",))])
        parts = loaded.engine._parts
        gone = [weakref.ref(part) for part in (loaded.engine, loaded.users, parts.encoder)]
        gone += [weakref.ref(part) for part in (parts.encoder._runtime, parts.catalogue)]
        gone += [weakref.ref(part) for part in (parts.texts.index, parts.blend)]
        del loaded, parts
        assert [part() for part in gone] == [None] * len(gone)
    finally:
        gc.enable()


def test_an_encoder_whose_files_stay_is_loaded_once(
    root: Path, titles: dict[str, set[str]]
) -> None:
    old, new = titles
    loader = Loader(Settings(bundle=root))
    publish(root, old)
    first = loader.load().engine
    publish(root, new)
    second = loader.load().engine
    assert (first.info.bundle, second.info.bundle) == (old, new)
    assert second._parts.encoder is first._parts.encoder
    loader._files = {**loader._files, "encoder/tokenizer.json": "another"}
    assert loader.load().engine._parts.encoder is not first._parts.encoder


def test_answers_stay_whole_while_everything_changes(tmp_path: Path) -> None:
    """Searches, puts, patches, deletions and swaps at once: the short form of a trial."""
    titles = [f"{title} {n}" for n in range(12) for _, title, _, _ in FILMS]
    options = argparse.Namespace(seconds=8.0, quiet=1.0, rate=40.0, every=0.5, swap=1.0)
    seen = living.trial(tmp_path, titles, options)

    assert seen["wrong"] == {}
    assert seen["answers_with_live_items"] > 20
    assert seen["ms"]["reload"]["n"] >= 4
