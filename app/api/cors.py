"""CORS: which pages of other origins may read our answers, by the setting `cors_origins`.

Browsers ask with a *preflight*, an OPTIONS request, before they send JSON to another origin. No
credentials are allowed: callers prove who they are with a header of their own, never with cookies.
"""

import re
from typing import Final

from app.api.reply import Headers, Reply, header

_ANY: Final = "*"
_METHODS: Final = b"DELETE, GET, HEAD, PATCH, POST, PUT"
_USUAL_HEADERS: Final = b"authorization, content-encoding, content-type, x-request-id"
_SHOWN_HEADERS: Final = (
    b"RateLimit, RateLimit-Policy, Retry-After, X-Cache, X-Degraded, X-Request-ID"
)
_NAMES: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z, -]{1,1024}")
_REMEMBERED_S: Final = b"600"
_VARY: Final = (b"vary", b"Origin")


class Cors:
    """Makes the headers that allow the pages of some origins to read answers."""

    def __init__(self, origins: str) -> None:
        """Allow these origins: a list with commas, or `*` for all, as in `Settings`."""
        names = origins.split(",")
        self._by_origin = {name.encode(): _allowing(name) for name in names}
        self._otherwise: Headers = [_VARY] if _ANY not in names else _allowing(_ANY)

    def headers(self, request: Headers) -> Headers:
        """Return what the answer to a request says; `request`: the headers that it has."""
        origin = header(request, b"origin")
        if origin is None:
            return self._otherwise
        return self._by_origin.get(origin, self._otherwise)

    def allows(self, origin: bytes) -> bool:
        """Tell whether the pages of an origin may read answers."""
        return origin in self._by_origin or self._otherwise != [_VARY]

    def preflight(self, method: str, request: Headers) -> Reply | None:
        """Return the reply to a request, if it is a preflight from an allowed origin."""
        if method != "OPTIONS" or header(request, b"access-control-request-method") is None:
            return None
        if self.headers(request) == [_VARY]:
            return None
        asked = header(request, b"access-control-request-headers") or b""
        names = asked if _NAMES.fullmatch(asked) else _USUAL_HEADERS
        more = [
            (b"access-control-allow-methods", _METHODS),
            (b"access-control-allow-headers", names),
            (b"access-control-max-age", _REMEMBERED_S),
        ]
        return Reply(204, more, b"")


def _allowing(origin: str) -> Headers:
    said = [
        (b"access-control-allow-origin", origin.encode()),
        (b"access-control-expose-headers", _SHOWN_HEADERS),
    ]
    return said if origin == _ANY else [*said, _VARY]
