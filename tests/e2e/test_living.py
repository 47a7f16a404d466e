"""A living service: real processes on one real Redis; kills under ingestion. `make chaos-living`
is the long form.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from loadtest.scenarios.chaos_living import trial
from tests.e2e.conftest import Running, recserve, serving
from tests.redis_server import RedisServer, free_port

pytestmark = pytest.mark.e2e

KILLS = 10


def ids(service: Running, **said: object) -> list[str]:
    answer = service.recommend(k=8, **said)
    assert answer.status_code == 200, answer.text
    assert answer.json()["degraded"] == []
    return [item["id"] for item in answer.json()["items"]]


def click(service: Running, item: str, **event: str) -> None:
    answer = service.client.post("/events", json=[{"item_id": item, **event}])
    assert answer.json()["accepted"] == 1, answer.text


@pytest.fixture
def pair(
    bundle: Path, tmp_path: Path, durable_redis: RedisServer
) -> Iterator[tuple[Running, Running]]:
    """Two processes that share cache and event store."""
    flags = ("--cache-url", durable_redis.url, "--store-url", durable_redis.url)
    flags += ("--cache-timeout-ms", "1000")
    with serving(bundle, tmp_path, *flags) as one, serving(bundle, tmp_path, *flags) as other:
        yield one, other


def test_what_one_process_learns_the_other_answers_by(pair: tuple[Running, Running]) -> None:
    one, other = pair
    before = ids(other, user_id="new")
    assert ids(one, user_id="new") == before

    click(one, "6", user_id="new")
    after = ids(other, user_id="new")
    assert "6" in before
    assert "6" not in after
    assert after[0] == "7"  # the other romance; it follows "6" in the events too
    assert ids(one, user_id="new") == after

    # Of the bundle's own users too, and a session that becomes one.
    click(other, "4", session_id="s")
    assert "4" not in ids(one, session_id="s")
    merged = one.client.post("/users/bob/merge", json={"session_id": "s"})
    assert merged.json()["moved"] == 1
    assert not {"4", "6", "7"} & set(ids(other, user_id="bob"))

    gone = other.client.delete("/users/bob").json()
    assert gone["deleted"] == {"store": 1, "bundle": 2}
    assert ids(one, user_id="bob") == ids(one, user_id="a stranger")
    assert one.client.get("/users/bob").status_code == 404


def test_the_walk_through_of_the_readme(bundle: Path, tmp_path: Path) -> None:
    """A new user, three clicks, different films; all of it there after a restart, and exported."""
    with serving(bundle, tmp_path) as service:
        before = ids(service, user_id="ann the second")
        for film in ("4", "5", "1"):
            click(service, film, user_id="ann the second")
        after = ids(service, user_id="ann the second")
        assert before != after
        assert not {"4", "5", "1"} & set(after)
        service.process.kill()
        service.process.wait()
    with serving(bundle, tmp_path) as service:
        assert ids(service, user_id="ann the second") == after
        # Beside a service that runs:
        exported = recserve("export", "events", "--data-dir", str(tmp_path / "data"))
        compacted = recserve(
            "compact", "--bundle", str(bundle), "--data-dir", str(tmp_path / "data")
        )
        assert ids(service, user_id="ann the second") == after

    assert exported.stdout.count('"user_id":"ann the second"') == 3
    assert compacted.returncode == 0, compacted.stderr


def test_two_workers_on_one_file_see_each_other(bundle: Path, tmp_path: Path) -> None:
    with serving(bundle, tmp_path, "--workers", "2") as service:
        for n in range(8):
            assert f"{n + 1}" not in _after_click(service, f"{n + 1}")


def _after_click(service: Running, film: str) -> set[str]:
    """Click, then ask over several fresh connections, so that both workers are asked."""
    click(service, film, user_id="worker")
    found: set[str] = set()
    for _ in range(6):
        service.client.close()
        service.client = type(service.client)(base_url=service.url, timeout=20)
        found |= set(ids(service, user_id="worker"))
    return found


def test_a_store_that_cannot_be_opened_stops_the_start_with_one_plain_line(
    bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "store.sqlite").write_text("something else, and long enough" * 100)
    place = ("--data-dir", str(tmp_path), "--port", str(free_port()))
    done = recserve("serve", "--bundle", str(bundle), *place)

    assert done.returncode == 1
    assert "event store store.sqlite cannot be opened" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("store", ["sqlite", "redis"])
def test_kills_under_ingestion_lose_and_double_nothing(store: str, tmp_path: Path) -> None:
    outcome = trial(store, KILLS, 7, tmp_path)

    assert outcome.passed, outcome
    assert outcome.acknowledged > KILLS
    assert outcome.again > 0


def test_the_kill_trial_can_fail(tmp_path: Path) -> None:
    """Over a Redis that keeps nothing."""
    outcome = trial("forgetful", 2, 7, tmp_path)

    assert outcome.lost > 0
