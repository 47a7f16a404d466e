"""The file of keys: what is written is read again, and what is not sound is refused."""

import stat
import threading
from pathlib import Path

import pytest

from app.core.errors import UsageError
from app.serving.access.key_file import add_key, read_keys, revoke_key
from app.serving.access.keys import new_key


def test_keys_come_back_as_they_were_added(tmp_path: Path) -> None:
    path = tmp_path / "new" / "keys.json"
    one, two = new_key("read", "shop", 1.5)[1], new_key("admin", "", 2.0)[1]
    add_key(path, one)
    add_key(path, two)
    assert read_keys(path) == (one, two)


def test_only_its_owner_can_read_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key("read", "", 0.0)[1])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_revoked_key_is_gone_and_the_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    one, two = new_key("read", "", 0.0)[1], new_key("read", "", 0.0)[1]
    add_key(path, one)
    add_key(path, two)
    revoke_key(path, one.id)
    assert read_keys(path) == (two,)
    with pytest.raises(UsageError, match=f"there is no key {one.id}"):
        revoke_key(path, one.id)


def test_commands_at_the_same_time_lose_no_key(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    keys = [new_key("read", "", 0.0)[1] for _ in range(16)]
    threads = [threading.Thread(target=add_key, args=(path, key)) for key in keys]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {key.id for key in read_keys(path)} == {key.id for key in keys}


def test_no_secret_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    sent, key = new_key("read", "", 0.0)
    add_key(path, key)
    assert sent.split("_", 2)[2] not in path.read_text()


@pytest.mark.parametrize(
    "text",
    ["", "{}", "[]", '{"keys": [{"id": "x"}]}', '{"keys": [], "more": 1}', "\x00", '{"keys": 1}'],
)
def test_what_is_no_file_of_keys_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(UsageError, match="no file of keys"):
        read_keys(path)


def test_a_file_that_others_may_write_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key("read", "", 0.0)[1])
    path.chmod(0o620)
    with pytest.raises(UsageError, match="others may write"):
        read_keys(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere\.json: .*No such file"):
        read_keys(tmp_path / "nowhere.json")
    with pytest.raises(UsageError, match="nowhere"):
        revoke_key(tmp_path / "nowhere.json", "00000000")


def test_what_a_key_is_bound_to_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    bound = new_key("write", "", 0.0, namespace="shopA", scenarios=["home", "cart"])[1]
    free = new_key("write", "", 0.0)[1]
    add_key(path, bound)
    add_key(path, free)
    assert read_keys(path) == (bound, free)
    assert (bound.namespace, bound.scenarios) == ("shopA", ("home", "cart"))
    assert path.read_text().count("namespace") == 1


@pytest.mark.parametrize("namespace", ["shop\x1fA", "shop A", "-a", "a" * 65])
def test_a_namespace_with_another_name_is_refused(tmp_path: Path, namespace: str) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key("write", "", 0.0, namespace=namespace)[1])
    with pytest.raises(UsageError, match="no file of keys"):
        read_keys(path)


def test_a_bound_administrator_in_the_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys.json"
    add_key(path, new_key("write", "", 0.0, namespace="shopA")[1])
    path.write_text(path.read_text().replace('"write"', '"admin"'))
    with pytest.raises(UsageError, match="no file of keys"):
        read_keys(path)
