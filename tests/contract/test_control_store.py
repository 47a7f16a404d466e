"""What every `ControlStore` promises: over the fake, over SQLite and over a real Redis."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from app.core.control_port import KEPT_VERSIONS, ControlEntry, ControlState, ControlStore
from app.core.errors import StoreError
from app.testing.control_store import MemoryControlStore
from tests.control_stores import OpenControl, in_memory, in_redis, in_sqlite

NOW = 1_800_000_000.25


@pytest.fixture(params=["memory", "sqlite", "redis"])
async def open_control(
    request: pytest.FixtureRequest, tmp_path: Path
) -> AsyncIterator[OpenControl]:
    """Open the rules and scenarios of a namespace ("films") on the one store of the test."""
    if request.param == "memory":
        opener = in_memory()
    elif request.param == "sqlite":
        opener = in_sqlite(tmp_path)
    else:
        opener = in_redis(request.getfixturevalue("redis_server"))
    opened: list[ControlStore] = []

    def another(*namespace: str) -> ControlStore:
        opened.append(opener(*namespace))
        return opened[-1]

    yield another
    for store in opened:
        await store.aclose()


@pytest.fixture
async def store(open_control: OpenControl) -> ControlStore:
    return open_control()


async def test_nothing_is_there_at_first(store: ControlStore) -> None:
    assert await store.number() == 0
    assert await store.read() == ControlState(0, ())
    assert await store.delete("rule", "a") == await store.delete("scenario", None) == 0
    assert await store.versions("scenario", "home") == ()
    assert await store.put("rule", [], NOW) == ()
    assert await store.number() == 0


async def test_what_was_put_comes_back_exactly(store: ControlStore) -> None:
    odd = ["太空 规则", "a:b|\"'\\/", " ", "é\u2028"]
    texts = [(name, f'{{"id":"{n}","text":"line\\n{name[:1]}"}}\n') for n, name in enumerate(odd)]
    put = await store.put("rule", texts, NOW)
    expected = tuple(
        ControlEntry("rule", name, n, n, NOW, text) for n, (name, text) in enumerate(texts, 1)
    )
    assert put == expected
    assert await store.read() == ControlState(4, expected)
    assert await store.number() == 4
    assert await store.versions("rule", odd[1]) == expected[1:2]


async def test_a_replaced_rule_keeps_its_age(store: ControlStore) -> None:
    await store.put("rule", [("a", "1"), ("b", "2")], NOW)
    (again,) = await store.put("rule", [("a", "3")], NOW + 1)
    assert again == ControlEntry("rule", "a", 1, 3, NOW + 1, "3")
    state = await store.read()
    assert [(entry.name, entry.text) for entry in state.entries] == [("a", "3"), ("b", "2")]
    # Of a rule only the newest version is kept.
    assert await store.versions("rule", "a") == (again,)
    await store.delete("rule", "a")
    (new,) = await store.put("rule", [("a", "4")], NOW)
    assert (new.since, new.version) == (5, 5)


async def test_versions_of_a_scenario_are_kept(store: ControlStore) -> None:
    most = KEPT_VERSIONS["scenario"]
    for n in range(most + 2):
        await store.put("scenario", [("home", f"{n}")], NOW + n)
    await store.put("scenario", [("search", "x")], NOW)
    versions = await store.versions("scenario", "home")
    assert [entry.text for entry in versions] == [f"{n}" for n in range(most + 1, 1, -1)]
    assert [entry.version for entry in versions] == list(range(most + 2, 2, -1))
    assert {entry.since for entry in versions} == {1}
    assert (await store.read()).entries[0] == versions[0]
    assert await store.delete("scenario", "home") == 1
    assert await store.versions("scenario", "home") == ()
    assert [entry.name for entry in (await store.read()).entries] == ["search"]


async def test_a_kind_shares_no_names_with_another(store: ControlStore) -> None:
    await store.put("rule", [("home", "r"), ("other", "r")], NOW)
    await store.put("scenario", [("home", "s")], NOW)
    assert await store.delete("rule", None) == 2
    assert [entry.text for entry in (await store.read()).entries] == ["s"]


async def test_changes_are_seen_by_all_and_raise_the_number(open_control: OpenControl) -> None:
    one, other = open_control(), open_control()
    await one.put("rule", [("a", "1"), ("b", "2")], NOW)
    assert await other.number() == 2
    assert await other.delete("rule", "a") == 1
    assert await other.delete("rule", "a") == 0
    assert await one.number() == 3
    assert [entry.name for entry in (await one.read()).entries] == ["b"]


async def test_namespaces_do_not_mix(open_control: OpenControl) -> None:
    names = ["films", "films:number", "films:newest", "FILMS", '["电影", "m"]', ""]
    stores = [open_control(name) for name in names]
    for n, store in enumerate(stores):
        await store.put("rule", [("a", f"{n}")], NOW)
    await stores[0].delete("rule", None)
    for n, store in enumerate(stores[1:], 1):
        assert await store.read() == ControlState(
            1, (ControlEntry("rule", "a", 1, 1, NOW, f"{n}"),)
        )


async def test_it_is_there_after_reopening(open_control: OpenControl) -> None:
    first = open_control()
    put = await first.put("scenario", [("home", "{}")], NOW)
    await first.aclose()
    await first.aclose()
    again = open_control()
    assert await again.read() == ControlState(1, put)
    assert (await again.put("rule", [("a", "")], NOW))[0].version == 2


async def test_a_store_that_is_down_says_so() -> None:
    down = MemoryControlStore()
    down.down = True
    for call in (
        down.number(),
        down.read(),
        down.put("rule", [("a", "1")], NOW),
        down.delete("rule", "a"),
        down.versions("rule", "a"),
    ):
        with pytest.raises(StoreError):
            await call
