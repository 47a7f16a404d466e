"""What every `UserStore` promises, over the fake and over the histories of a real bundle."""

import json
from pathlib import Path

import pytest

from app.core.errors import StoreError
from app.core.store_ports import UserStore
from app.offline.build import build
from app.offline.input.recipe import Recipe
from app.serving.stores.bundle_users import BundleUserStore
from app.testing.fakes import DownUserStore, MemoryUserStore
from tests.bundles import fake_encoder, write_jsonl

WHO = {
    "u:ann": (("age", 31.0), ("country", "NZ"), ("likes", ("tea",)), ("new", False)),
    "u:new": (("country", "最新"),),
}
LONG = [f"i{n}" for n in range(250)]


@pytest.fixture(params=["memory", "bundle"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> UserStore:
    histories = {"u:ann": ["b", "a", "gone"], "s:ann": ["c"], "u:long": LONG}
    if request.param == "memory":
        return MemoryUserStore(histories, WHO)
    items = write_jsonl(tmp_path / "items.jsonl", [{"id": i} for i in ["a", "b", "c", *LONG]])
    events = tmp_path / "events.jsonl"
    with events.open("w") as file:
        for user, history in histories.items():
            who = {"u": "user_id", "s": "session_id"}[user[0]]
            for time, item in enumerate(history):
                line = {who: user[2:], "item_id": item, "timestamp": time}
                file.write(json.dumps(line) + "\n")
    people = [
        {"id": "ann", "age": 31, "country": "NZ", "likes": ["tea"], "new": False},
        {"id": "new", "country": "最新"},
        {"id": "empty"},
    ]
    users = write_jsonl(tmp_path / "users.jsonl", people)
    report = build(items, events, Recipe(), tmp_path / "models" / "x", fake_encoder, users=users)
    return BundleUserStore.open(report.bundle)


async def test_history_is_oldest_first_and_keeps_items_the_catalogue_lacks(
    store: UserStore,
) -> None:
    assert await store.history("u:ann") == ("b", "a", "gone")


async def test_a_user_and_a_session_of_one_name_are_two(store: UserStore) -> None:
    assert await store.history("s:ann") == ("c",)


async def test_only_the_newest_two_hundred_come_back(store: UserStore) -> None:
    assert await store.history("u:long") == tuple(LONG[50:])


@pytest.mark.parametrize("user", ["u:bob", "u:", "u:ann\x00", "u:最新", "u:\ud800"])
async def test_an_unknown_user_has_no_history(store: UserStore, user: str) -> None:
    assert await store.history(user) == ()


async def test_closing_twice_is_fine(store: UserStore) -> None:
    await store.aclose()
    await store.aclose()


async def test_a_store_that_is_down_says_so() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        await DownUserStore().history("u:ann")


async def test_all_that_was_ever_taken_is_seen(store: UserStore) -> None:
    assert await store.seen("u:long") == frozenset(LONG)
    assert await store.seen("u:ann") == {"b", "a", "gone"}
    assert await store.seen("u:bob") == frozenset()


async def test_attributes_are_those_of_the_user_with_and_without_events(store: UserStore) -> None:
    assert await store.attributes("u:ann") == WHO["u:ann"]
    assert await store.attributes("u:new") == WHO["u:new"]
    assert await store.history("u:new") == ()
    for user in ("u:empty", "s:ann", "u:long", "u:bob", "u:\ud800"):
        assert await store.attributes(user) == ()


async def test_attributes_of_a_store_that_is_down() -> None:
    with pytest.raises(StoreError, match="cannot be read"):
        await DownUserStore().attributes("u:ann")
