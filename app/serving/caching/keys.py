"""Cache keys: one canonical byte string (fingerprint) per request.

The fingerprint covers what the request says, who sends it, and the bundle. It does not cover what
changes while the service runs: the catalogue and the events of the user. They form a state that is
stored beside the value, so that only the newest answer of each request is cached. Nor does it cover
the time, or what a query was taken to mean: a hit does not parse the query.
"""

import hashlib
import json
from types import NoneType
from typing import Final

import orjson

from app.core.rank_rules import RankRules
from app.core.ranking import RankRequest
from app.domain.query_text import normalised_query

_VERSION: Final = "recserve fingerprint 7"
_PLAIN: Final = frozenset((NoneType, bool, int, float, str, tuple))
"""Types whose JSON is unambiguous: no two different values have the same JSON."""


_DEFAULTS: Final[dict[type[RankRequest], tuple[object, ...]]] = {}
"""Of the fields of a request; a memo."""


def fingerprint(request: RankRequest, bundle: str, *, who: tuple[str, ...] = ()) -> bytes:
    """Return bytes that are equal exactly for requests that must get the same answer.

    Two queries are equal if they differ only in Unicode normalisation (NFC) or white space. The
    order of `exclude` does not count; the order of everything else does. `now` takes no part. All
    other fields of the request do, including those that are added later. A field that has its
    default is left out: most have.

    Args:
        request: what the engine is asked; with `who`, before the user's state was resolved.
        bundle: the generation that answers.
        who: the user, and what else decides how their state is used.

    >>> one, two = RankRequest("a  heist", k=5), RankRequest("a heist ", k=5)
    >>> fingerprint(one, "demo/1") == fingerprint(two, "demo/1")
    True
    """
    parts: list[object] = [_VERSION, bundle, who]
    names, defaults = request._fields, _DEFAULTS.get(type(request)) or _defaults_of(request)
    for name, value, default in zip(names, request, defaults, strict=True):
        # Most values are the default itself, and every request asks for all of them.
        if value is default or value == default or name == "now":
            continue
        if type(value) is str:
            if name != "query":
                parts += (name, value)
            elif said := normalised_query(value):
                parts += (name, said)
        else:
            parts += (name, _canonical(value))
    try:
        return orjson.dumps(parts)
    except TypeError:  # a lone surrogate, or an integer beyond 64 bits
        return json.dumps(parts).encode()


def state_of(version: bytes) -> bytes:
    """Return a digest of a user's version: 16 bytes that differ after every change of the user."""
    return hashlib.blake2b(version, digest_size=16).digest()


def _canonical(value: object) -> object:
    """Return a value of a field so that equal ones have the same JSON, and others another."""
    if type(value) is frozenset:
        return sorted(value)
    if type(value) is RankRules:
        return value.key
    if type(value) not in _PLAIN:
        raise TypeError(f"no canonical form for {type(value).__name__}")
    return value


def _defaults_of(request: RankRequest) -> tuple[object, ...]:
    defaults = tuple([request._field_defaults[name] for name in request._fields])
    _DEFAULTS[type(request)] = defaults
    return defaults
