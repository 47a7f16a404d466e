"""What makes two requests the same: one canonical byte string per answer.

Covers everything that decides an answer but what changes while the service runs: where the
catalogue is, and what a user did. These are a state beside the fingerprint, which holds what was
said and by whom, so that one answer is kept per question.
"""

import hashlib
import json
from dataclasses import fields
from types import NoneType
from typing import Final

import orjson

from app.core.types import RankRequest
from app.domain.request import normalised_query

_VERSION: Final = "recserve fingerprint 5"
_PLAIN: Final = frozenset((NoneType, bool, int, str, tuple))
"""Types whose JSON says their type and where they end, so that no two values share it."""

_NAMES: Final[dict[type[RankRequest], tuple[str, ...]]] = {}
"""Names of the fields of a request: asking for them costs as much as all the rest."""


def fingerprint(request: RankRequest, bundle: str, *, who: tuple[str, ...] = ()) -> bytes:
    """Return bytes that are equal exactly for requests that must get the same answer.

    The query counts up to Unicode normalisation (NFC) and white space, `exclude` as a set; the
    order of everything else counts. All fields of the request take part by themselves, one added
    later too.

    Args:
        request: what is asked; with `who`, what was said, before user state was resolved.
        who: the user, and what else decides how their state is used.
        bundle: the generation that answers.

    >>> one, two = RankRequest("a  heist", k=5), RankRequest("a heist ", k=5)
    >>> fingerprint(one, "demo/1") == fingerprint(two, "demo/1")
    True
    """
    parts: list[object] = [_VERSION, bundle, who]
    for name in _names_of(request):
        value = getattr(request, name)
        if name == "query":
            value = normalised_query(value)
        elif type(value) is frozenset:
            value = sorted(value)
        elif type(value) not in _PLAIN:
            raise TypeError(f"no canonical form for {type(value).__name__}")
        parts += (name, value)
    try:
        return orjson.dumps(parts)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(parts).encode()


def state_of(version: bytes) -> bytes:
    """Return 16 bytes that differ after every change of a user, of the version that a store has."""
    return hashlib.blake2b(version, digest_size=16).digest()


def _names_of(request: RankRequest) -> tuple[str, ...]:
    kind = type(request)
    if kind not in _NAMES:
        _NAMES[kind] = tuple(field.name for field in fields(kind))
    return _NAMES[kind]
