"""Which event store the settings open, and what is said of one that may lose events."""

import logging
from pathlib import Path

import pytest

from app.bundle.reader import Bundle
from app.core.errors import StoreError, UsageError
from app.core.settings import Settings
from app.domain.event_rules import DEFAULT_EVENT_RULES
from app.loading import _rules
from app.offline.input.recipe import EventRule, Recipe
from app.serving.stores.opening import (
    check_event_store,
    is_shared,
    open_control_store,
    open_event_store,
    open_intent_store,
    store_namespace,
)
from app.serving.stores.redis_control import RedisControlStore
from app.serving.stores.redis_intents import RedisIntentStore
from app.serving.stores.redis_store import RedisEventStore
from app.serving.stores.sqlite_control import SqliteControlStore
from app.serving.stores.sqlite_intents import SqliteIntentStore
from app.serving.stores.sqlite_store import SqliteEventStore
from tests.bundles import build_small
from tests.event_stores import event
from tests.redis_server import RedisServer, free_port


async def test_a_file_in_the_data_folder_is_the_default(tmp_path: Path) -> None:
    store = await open_event_store(Settings(data_dir=tmp_path / "a" / "b"))
    assert isinstance(store, SqliteEventStore)
    await store.append([event("1")])
    await store.aclose()

    named = Settings(store_url=f"sqlite:///{tmp_path}/a/b/store.sqlite")
    again = await open_event_store(named)
    assert len((await again.read("u:ann")).events) == 1
    await again.aclose()


async def test_intents_lie_beside_the_events(tmp_path: Path, redis_server: RedisServer) -> None:
    settings = Settings(data_dir=tmp_path)
    store = open_intent_store(settings, "films")
    assert isinstance(store, SqliteIntentStore)
    await store.put("a", "{}", 0.0)
    await store.aclose()
    same = open_intent_store(Settings(store_url=f"sqlite:///{tmp_path}/store.sqlite"), "films")
    assert [each.words for each in await same.after(0, 10)] == ["a"]
    await same.aclose()

    shared = open_intent_store(Settings(store_url=redis_server.url), "films")
    assert isinstance(shared, RedisIntentStore)
    await shared.aclose()


async def test_rules_lie_beside_the_events(tmp_path: Path, redis_server: RedisServer) -> None:
    store = open_control_store(Settings(data_dir=tmp_path), "films")
    assert isinstance(store, SqliteControlStore)
    await store.put("rule", [("a", "{}")], 0.0)
    await store.aclose()
    same = open_control_store(Settings(store_url=f"sqlite:///{tmp_path}/store.sqlite"), "films")
    assert await same.number() == 1
    await same.aclose()

    shared = open_control_store(Settings(store_url=redis_server.url), "films")
    assert isinstance(shared, RedisControlStore)
    await shared.aclose()


async def test_a_redis_that_may_lose_events_is_warned_of(
    redis_server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        store = await open_event_store(Settings(store_url=redis_server.url))
    assert isinstance(store, RedisEventStore)
    await store.aclose()

    assert "appendonly is no, not yes" in caplog.text
    assert "appendfsync is everysec, not always" in caplog.text


async def test_a_redis_that_is_down_stops_no_start(caplog: pytest.LogCaptureFixture) -> None:
    port = free_port()
    settings = Settings(store_url=f"redis://:secret@127.0.0.1:{port}/0")
    with caplog.at_level(logging.WARNING):
        await (await open_event_store(settings)).aclose()
        await check_event_store(settings)

    said = {record.getMessage() for record in caplog.records}
    assert {line.partition(". Until")[0] for line in said} == {
        f"the store at 127.0.0.1:{port} cannot be used: connection refused"
    }


async def test_a_file_that_cannot_be_used_does(tmp_path: Path) -> None:
    (tmp_path / "store.sqlite").mkdir()
    with pytest.raises(StoreError):
        await check_event_store(Settings(data_dir=tmp_path))


@pytest.mark.parametrize("url", ["sqlite:///", "sqlite://x", "postgres://x", "x.sqlite", ""])
async def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(UsageError, match="store_url"):
        await open_event_store(Settings(store_url=url))


@pytest.mark.parametrize(
    ("url", "shared"),
    [(None, False), ("sqlite:////a/b", False), ("redis://h", True), ("unix:///a", True)],
)
def test_a_redis_is_shared_and_a_file_is_not(url: str | None, shared: bool) -> None:
    assert is_shared(Settings(store_url=url)) is shared


@pytest.mark.parametrize("named", [None, "ours"])
def test_the_namespace_is_the_name_of_the_bundle_or_that_of_the_settings(
    tmp_path: Path, named: str | None
) -> None:
    bundle = build_small(tmp_path, tmp_path / "models" / "shop").bundle
    moved = (tmp_path / "models" / "shop").rename(tmp_path / "models" / "moved")
    paths = {
        moved: "shop",  # the manifest keeps the name
        moved / bundle.path.name: "shop",
        tmp_path / "models" / "absent": "absent",
        tmp_path / "absent" / bundle.path.name: "absent",
    }
    for path, name in paths.items():
        assert store_namespace(Settings(bundle=path, store_namespace=named)) == (named or name)


def test_retention_follows_the_settings() -> None:
    assert Settings().retention().max_age_s is None
    kept = Settings(store_max_age_days=2, store_events_per_kind=7).retention()
    assert (kept.max_age_s, kept.per_kind) == (172_800.0, 7)


def test_what_a_kind_says_is_in_the_bundle(tmp_path: Path) -> None:
    plain = build_small(tmp_path, tmp_path / "models" / "plain").bundle
    assert _rules(plain) == DEFAULT_EVENT_RULES

    recipe = Recipe(weights={"click": EventRule(weight=0.0), "share": EventRule(weight=4.0)})
    own: Bundle = build_small(tmp_path, tmp_path / "models" / "own", recipe).bundle
    rules = _rules(own)
    assert (rules["click"].sign(None), rules["share"].sign(None)) == (0, 1)
    assert rules["purchase"] == DEFAULT_EVENT_RULES["purchase"]
