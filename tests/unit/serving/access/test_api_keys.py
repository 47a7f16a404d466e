"""API keys: their form, their digest, and the roles."""

import itertools
from hashlib import blake2b

import pytest

from app.core.errors import UsageError
from app.serving.access.keys import ROLES, id_in, is_key, new_key, reaches


def test_a_new_key_is_recognised_and_only_its_digest_is_kept() -> None:
    sent, key = new_key("write", "shop", now=5.0)
    assert (key.role, key.note, key.created_at) == ("write", "shop", 5.0)
    assert id_in(sent.encode()) == key.id.encode()
    assert key.digest == blake2b(sent.encode()).digest()
    assert is_key(sent.encode(), key)
    assert sent.split("_", 2)[2] not in repr(key)


def test_the_secret_has_256_random_bits() -> None:
    asked: list[int] = []

    def random_bytes(n: int) -> bytes:
        asked.append(n)
        return bytes(range(n))

    sent, _ = new_key("read", "", 0.0, random_bytes)
    assert asked == [4, 32]
    assert sent == "rsk_00010203_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"


def test_two_keys_differ() -> None:
    assert new_key("read", "", 0.0)[0] != new_key("read", "", 0.0)[0]


def test_anything_else_is_not_the_key() -> None:
    sent, key = new_key("read", "", 0.0)
    other = new_key("read", "", 0.0)[0]
    wrong = ["", "rsk_", sent[:-1], sent + "x", sent.upper(), f" {sent}", sent[:13] + other[13:]]
    assert not any(is_key(each.encode(), key) for each in wrong)


def test_each_role_reaches_those_before_it() -> None:
    for (i, one), (j, other) in itertools.product(enumerate(ROLES), repeat=2):
        assert reaches(one, other) == (i >= j)


def test_an_administrator_is_bound_to_nothing() -> None:
    with pytest.raises(UsageError, match="reaches everything"):
        new_key("admin", "", 0.0, namespace="shopA")
    with pytest.raises(UsageError, match="reaches everything"):
        new_key("admin", "", 0.0, scenarios=["home"])
