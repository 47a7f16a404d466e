"""Pages in browsers: what ours may do there, and what those of other origins may not send to us.

A browser sends some requests for a page of any origin without asking us first: a POST whose body is
called text or a form, or is not called anything. Our answer is hidden from that page, but the
request would have had its effect. So such a request is refused, unless CORS allows its origin. A
body that is called JSON is sent only after a preflight, which `app.api.cors` answers. Programs send
no `Origin`, and whatever content type they like.
"""

import base64
import hashlib
import re
from typing import Final

from app.api.cors import Cors
from app.api.reply import Headers, header
from app.core.errors import ForbiddenError

NO_SNIFFING: Final = (b"x-content-type-options", b"nosniff")
"""What every answer says: no browser shall guess another content type."""

_HTML: Final = b"text/html"
_SENT_UNASKED: Final = frozenset(
    {b"", b"text/plain", b"application/x-www-form-urlencoded", b"multipart/form-data"}
)
_INLINE_SCRIPT: Final = re.compile(rb"<script>(.*?)</script>", re.DOTALL)
_OF_PAGES: Final[Headers] = [
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]
_POLICY: Final = (
    "default-src 'none'; script-src 'self' {scripts}; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)


def is_page(headers: Headers) -> bool:
    """Tell whether an answer with these headers is a page that a browser shows."""
    return (header(headers, b"content-type") or b"").startswith(_HTML)


def page_headers(page: bytes) -> Headers:
    """Return the headers of a page: it runs its own scripts only, and stands in no frame."""
    digests = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(each).decode()}'" for each in digests)
    return [*_OF_PAGES, (b"content-security-policy", _POLICY.format(scripts=scripts).encode())]


def check_origin(headers: Headers, cors: Cors | None) -> None:
    """Check that a POST was not sent, unasked, for a page of another origin.

    Raises:
        ForbiddenError: it was.
    """
    if is_foreign(headers, cors):
        raise ForbiddenError(
            "a page of another origin may send a body only as application/json, and with CORS"
        )


def is_foreign(headers: Headers, cors: Cors | None) -> bool:
    """Tell whether a POST was sent, unasked, for a page of another origin."""
    origin = header(headers, b"origin")
    if origin is None:
        return False
    kind = (header(headers, b"content-type") or b"").partition(b";")[0].strip().lower()
    if kind not in _SENT_UNASKED or (cors is not None and cors.allows(origin)):
        return False
    host = (header(headers, b"host") or b"").lower()
    return not host or origin.lower().partition(b"://")[2] != host
