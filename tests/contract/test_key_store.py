"""What every `KeyStore` promises: in a file, over the fake, over SQLite and over a real Redis."""

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from app.core.errors import UsageError
from app.serving.access.key_file import KeyFile
from app.serving.access.key_store import KeyStore
from app.serving.access.keys import ApiKey, new_key
from app.serving.access.limits import KeyLimits
from app.serving.access.stored_keys import NAMESPACE_OF_KEYS, StoredKeys
from tests.control_stores import in_memory, in_redis, in_sqlite

OpenKeys = Callable[[], KeyStore]


@pytest.fixture(params=["file", "memory", "sqlite", "redis"])
async def open_keys(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[OpenKeys]:
    """Open the keys of one place, any number of times."""
    if request.param == "file":
        opener: OpenKeys = lambda: KeyFile(tmp_path / "new" / "keys.json")  # noqa: E731
    else:
        if request.param == "memory":
            control = in_memory()
        elif request.param == "sqlite":
            control = in_sqlite(tmp_path)
        else:
            control = in_redis(request.getfixturevalue("redis_server"))
        opener = lambda: StoredKeys(control(NAMESPACE_OF_KEYS))  # noqa: E731
    opened: list[KeyStore] = []

    def another() -> KeyStore:
        opened.append(opener())
        return opened[-1]

    yield another
    for keys in opened:
        await keys.aclose()


def made(note: str = "", **bound: object) -> ApiKey:
    return new_key("write", note, 5.5, **bound)[1]


async def test_keys_come_back_as_they_were_added_in_every_process(open_keys: OpenKeys) -> None:
    bound = made("最新 \n", namespace="shopA", scenarios=["home", "cart"])
    limits = KeyLimits(rate=2.5, burst=4, language_rate=0.5)
    limited = ApiKey("0a0b0c0d", "admin", bytes(range(64)), 1.0, "", "", (), limits, "bulk")
    one, two = open_keys(), open_keys()
    await one.add(bound)
    await two.add(limited)
    assert await one.keys() == await two.keys() == (bound, limited)


async def test_a_revoked_key_is_gone_and_the_others_stay(open_keys: OpenKeys) -> None:
    one, two, keys = open_keys(), open_keys(), [made() for _ in range(3)]
    for key in keys:
        await one.add(key)
    await two.revoke(keys[1].id)
    assert await one.keys() == (keys[0], keys[2])
    with pytest.raises(UsageError, match=f"there is no key {keys[1].id}"):
        await one.revoke(keys[1].id)


async def test_the_state_differs_after_every_change(open_keys: OpenKeys) -> None:
    one, two, key = open_keys(), open_keys(), made()
    seen = [await two.state()]
    for change in (one.add(key), one.add(made()), one.revoke(key.id)):
        await change
        seen.append(await two.state())
        assert await two.state() == seen[-1]
    assert len(set(seen)) == 4


async def test_closing_twice_does_no_harm(open_keys: OpenKeys) -> None:
    keys = open_keys()
    await keys.aclose()
    await keys.aclose()
