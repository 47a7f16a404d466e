"""Who gets in: keys, roles, and callers without a key."""

import pytest

from app.core.errors import ForbiddenError, UnauthenticatedError
from app.serving.access.key_ring import KeyRing
from app.serving.access.keys import NO_KEY, ROLES, Role, new_key, reaches


@pytest.mark.parametrize("role", ROLES)
@pytest.mark.parametrize("needed", ROLES)
def test_a_key_gets_as_far_as_its_role(role: Role, needed: Role) -> None:
    sent, key = new_key(role, "", 0.0)
    ring = KeyRing([key])
    authorization = f"Bearer {sent}".encode()
    if reaches(role, needed):
        assert ring.check(authorization, needed) == key
    else:
        with pytest.raises(ForbiddenError, match=f"the role {needed}; the key has the role {role}"):
            ring.check(authorization, needed)


def test_the_scheme_is_read_in_any_case() -> None:
    sent, key = new_key("read", "", 0.0)
    assert KeyRing([key]).check(f"bEARER  {sent} ".encode(), "read") == key


@pytest.mark.parametrize("head", ["", "Basic ", "Bearer", "Token "])
def test_another_scheme_is_refused(head: str) -> None:
    sent, key = new_key("read", "", 0.0)
    with pytest.raises(UnauthenticatedError):
        KeyRing([key]).check(f"{head}{sent}".encode(), "read")


def test_a_key_of_the_right_id_with_another_secret_is_refused() -> None:
    (sent, key), (other, _) = new_key("admin", "", 0.0), new_key("admin", "", 0.0)
    forged = sent[: len("rsk_00000000_")] + other[len("rsk_00000000_") :]
    with pytest.raises(UnauthenticatedError, match="not valid"):
        KeyRing([key]).check(f"Bearer {forged}".encode(), "read")


def test_where_nobody_has_a_key_the_header_does_not_count() -> None:
    assert KeyRing([], "admin").check(b"Bearer rsk_nonsense", "admin") == NO_KEY
    with pytest.raises(UnauthenticatedError):
        KeyRing([], None).check(b"Bearer rsk_nonsense", "read")


def test_a_wrong_key_is_refused_where_others_have_one() -> None:
    _, key = new_key("read", "", 0.0)
    with pytest.raises(UnauthenticatedError):
        KeyRing([key], "read").check(b"Bearer rsk_nonsense", "read")


def test_without_a_key_the_role_of_strangers_counts() -> None:
    _, key = new_key("admin", "", 0.0)
    with pytest.raises(UnauthenticatedError):
        KeyRing([key]).check(None, "read")
    open_to_read = KeyRing([key], "read")
    assert open_to_read.check(None, "read") == NO_KEY
    with pytest.raises(UnauthenticatedError):
        open_to_read.check(None, "write")
    with pytest.raises(ForbiddenError, match="recserve keys add"):
        KeyRing([], "write").check(None, "admin")
