"""What makes two requests the same: one canonical byte string per answer.

Covers everything that decides an answer. Where a user takes part, the fingerprint holds what was
said and by whom; what that user did is a state beside it, so that one answer is kept per question.
"""

import hashlib
from dataclasses import fields
from typing import Final

from app.request import normalised_query
from app.types import RankRequest

_VERSION: Final = b"recserve fingerprint 2"


def fingerprint(
    request: RankRequest, *, bundle: str, catalogue: int, who: tuple[str, ...] = ()
) -> bytes:
    """Return bytes that are equal exactly for requests that must get the same answer.

    The query counts up to Unicode normalisation (NFC) and white space, `exclude` as a set; the
    order of everything else counts. All fields of the request take part by themselves, one added
    later too.

    Args:
        request: what is asked; with `who`, what was said, before user state was resolved.
        who: the user, and what else decides how their state is used.
        bundle: generation of the bundle that answers.
        catalogue: generation of the catalogue that answers.

    >>> one, two = RankRequest("a  heist", k=5), RankRequest("a heist ", k=5)
    >>> where = {"bundle": "demo/1", "catalogue": 1}
    >>> fingerprint(one, **where) == fingerprint(two, **where)
    True
    """
    parts = [_VERSION, _packed(bundle), _packed(catalogue), _packed(who)]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name == "query":
            value = normalised_query(value)
        parts += [_packed(field.name), _packed(value)]
    return b"".join(parts)


def state_of(version: bytes, request: RankRequest) -> bytes:
    """Return 16 bytes that differ after every change of a user, and of what it means for a request.

    Args:
        version: of the user, as the store has it.
        request: what is asked, after user state has been resolved.
    """
    resolved = fingerprint(request, bundle="", catalogue=0)
    return hashlib.blake2b(_packed(version.hex()) + resolved, digest_size=16).digest()


def hashed_user(user: str) -> str:
    """Return the name under which a store remembers a user: what is deleted leaves no id behind.

    >>> len(hashed_user("u:7"))
    32
    """
    return hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()


def _packed(value: object) -> bytes:
    """Type, length, content: no two values share an encoding, whatever they contain."""
    match value:
        case None:
            kind, content = b"n", b""
        case bool():
            kind, content = b"b", b"1" if value else b"0"
        case int():
            kind, content = b"i", str(value).encode()
        case str():
            kind, content = b"s", value.encode("utf-8", "surrogatepass")
        case tuple():
            kind, content = b"l", b"".join(map(_packed, value))
        case frozenset():
            kind, content = b"f", b"".join(sorted(map(_packed, value)))
        case _:
            raise TypeError(f"no canonical form for {type(value).__name__}")
    return kind + len(content).to_bytes(8) + content
