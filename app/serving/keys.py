"""What makes two requests the same: one canonical byte string per answer.

Covers everything that decides an answer except who asks. Knows neither caches nor users; what a
user did has already become part of the request's history.
"""

from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any, Final

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
        parts += [_packed_name(field.name), _packed(value)]
    return b"".join(parts)


def _packed(value: object) -> bytes:
    """Type, length, content: no two values share an encoding, whatever they contain."""
    # By exact type: this runs a dozen times in every request, hits included.
    kind_of = _KINDS.get(type(value))
    if kind_of is None:
        raise TypeError(f"no canonical form for {type(value).__name__}")
    kind, content_of = kind_of
    content = content_of(value)
    return kind + len(content).to_bytes(8) + content


_KINDS: Final[dict[type, tuple[bytes, Callable[[Any], bytes]]]] = {
    type(None): (b"n", lambda _: b""),
    bool: (b"b", lambda value: b"1" if value else b"0"),
    int: (b"i", lambda value: str(value).encode()),
    str: (b"s", lambda value: value.encode("utf-8", "surrogatepass")),
    tuple: (b"l", lambda value: b"".join(map(_packed, value))),
    frozenset: (b"f", lambda value: b"".join(sorted(map(_packed, value)))),
}


@cache
def _packed_name(name: str) -> bytes:
    return _packed(name)
