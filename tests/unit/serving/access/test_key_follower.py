"""Keys that change while a service runs, and keys that cannot be read."""

import asyncio
import logging
from pathlib import Path

import pytest

from app.core.errors import NotReadyError, UnauthenticatedError
from app.serving.access.key_file import KeyFile, add_key
from app.serving.access.key_ring import KeyRing
from app.serving.access.key_store import KeyFollower
from app.serving.access.keys import NO_KEY, new_key
from app.serving.access.stored_keys import NAMESPACE_OF_KEYS, StoredKeys
from app.testing.control_store import MemoryControlStore
from tests.turns import Turns


def gets_in(ring: KeyRing, sent: str) -> bool:
    try:
        ring.check(f"Bearer {sent}".encode(), "read")
    except UnauthenticatedError:
        return False
    return True


async def test_a_file_that_changes_takes_effect_and_a_broken_one_changes_nothing(
    tmp_path: Path,
) -> None:
    path, turns = tmp_path / "keys.json", Turns()
    sent, key = new_key("read", "", 0.0)
    later, more = new_key("write", "", 0.0)
    add_key(path, key)
    ring = KeyRing([key])
    following = asyncio.create_task(KeyFollower(ring, KeyFile(path)).run(turns.sleep))
    await turns.first()
    assert not gets_in(ring, later)

    add_key(path, more)
    await turns.next()
    assert gets_in(ring, later)

    for spoil in (lambda: path.write_text("no keys"), path.unlink):
        spoil()
        await turns.next()
        assert gets_in(ring, sent)

    add_key(path, more)
    await turns.next()
    assert not gets_in(ring, sent)
    assert gets_in(ring, later)
    following.cancel()


async def test_a_change_before_the_first_look_is_not_missed(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    (sent, key), (_, other) = new_key("read", "", 0.0), new_key("read", "", 0.0)
    add_key(path, other)
    # Read while the service was loaded; since then the key was revoked.
    ring = KeyRing([key, other])
    await KeyFollower(ring, KeyFile(path)).look()
    assert not gets_in(ring, sent)


async def test_before_the_first_read_nobody_is_taken_for_a_stranger() -> None:
    store = MemoryControlStore(NAMESPACE_OF_KEYS)
    keys = StoredKeys(store)
    sent, key = new_key("write", "", 0.0, namespace="shopA")
    await keys.add(key)
    ring = KeyRing(None, "read")
    follower = KeyFollower(ring, keys)
    store.down = True
    await follower.look()
    assert ring.check(None, "read") == NO_KEY
    with pytest.raises(NotReadyError, match="cannot be read yet"):
        gets_in(ring, sent)

    store.down = False
    await follower.look()
    assert ring.check(f"Bearer {sent}".encode(), "write") == key


async def test_a_store_that_goes_down_keeps_the_keys_and_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store = MemoryControlStore(NAMESPACE_OF_KEYS)
    keys = StoredKeys(store)
    (sent, key), (later, more) = new_key("read", "", 0.0), new_key("read", "", 0.0)
    await keys.add(key)
    ring = KeyRing(None)
    follower = KeyFollower(ring, keys)
    await follower.look()
    await keys.revoke(key.id)
    await keys.add(more)
    store.down = True
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            await follower.look()
    assert sum("stay as they are" in record.message for record in caplog.records) == 1
    assert gets_in(ring, sent)
    store.down = False
    await follower.look()
    assert (gets_in(ring, sent), gets_in(ring, later)) == (False, True)


async def test_a_stored_key_that_cannot_be_read_is_left_out() -> None:
    store = MemoryControlStore(NAMESPACE_OF_KEYS)
    keys, key = StoredKeys(store), new_key("read", "", 0.0)[1]
    await store.put("key", [("0a0b0c0d", '{"id": "0a0b0c0d", "role": "king"}')], 1.0)
    await keys.add(key)
    assert await keys.keys() == (key,)
