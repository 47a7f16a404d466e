"""What makes two requests the same: one canonical byte string per answer.

Covers everything that decides an answer except who asks. Knows neither caches nor users; what a
user did has already become part of the request's history.
"""

import hashlib
from dataclasses import fields
from typing import Final

from app.request import normalised_query
from app.types import RankRequest

_VERSION: Final = b"recserve fingerprint 1"


def fingerprint(request: RankRequest, *, bundle: str, catalogue: int) -> bytes:
    """Return bytes that are equal exactly for requests that must get the same answer.

    The query counts up to Unicode normalisation (NFC) and white space, `exclude` as a set; the
    order of everything else counts. All fields of the request take part by themselves, one added
    later too.

    Args:
        request: what is asked, after user state has been resolved.
        bundle: generation of the bundle that answers.
        catalogue: generation of the catalogue that answers.

    >>> one, two = RankRequest("a  heist", k=5), RankRequest("a heist ", k=5)
    >>> where = {"bundle": "demo/1", "catalogue": 1}
    >>> fingerprint(one, **where) == fingerprint(two, **where)
    True
    """
    parts = [_VERSION, _packed(bundle), _packed(catalogue)]
    for field in fields(request):
        value = getattr(request, field.name)
        if field.name == "query":
            value = normalised_query(value)
        parts += [_packed(field.name), _packed(value)]
    return b"".join(parts)


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
