"""Which role a path needs: one table for the fast path, the edge and the OpenAPI document.

public   whether the process lives and is ready
read     ask for items, and read the catalogue
write    events, items and users, and what is stored of a person
admin    everything else: what the table does not name is closed to all but administrators
"""

from collections.abc import Mapping
from typing import Final, Literal, TypeAlias

from app.serving.access.keys import Role

Needed: TypeAlias = Role | Literal["public"]

RECOMMEND: Final[Role] = "read"

_PUBLIC: Final = frozenset({"livez", "readyz"})
_PAGES: Final = frozenset({"", "docs", "openapi.json", "static-offline-docs", "info"})
"""The documentation, and what is served: callers need the names of the fields."""

_BY_FIRST: Final[Mapping[str, Role]] = {
    "recommend": "read",
    "interpret": "read",
    "similar": "read",
    "shelves": "read",
    "popular": "read",
    "trending": "read",
    "newest": "read",
    "facets": "read",
    "why-not": "write",
    "recommendations": "write",
    "events": "write",
    "users": "write",
    "sessions": "write",
}
_READ_ONLY: Final = frozenset({"items", "catalogue"})
"""Reading needs *read*, changing *write*."""


def role_of(method: str, path: str) -> Needed:
    """Return what a request needs.

    Args:
        method: of HTTP.
        path: without prefix and version, see `app.api.paths.bare`.

    >>> role_of("GET", "/items/7"), role_of("PUT", "/items"), role_of("POST", "/admin/reload")
    ('read', 'write', 'admin')
    """
    first = path.strip("/").partition("/")[0]
    if first in _PUBLIC:
        return "public"
    if first in _PAGES:
        return "read"
    if first in _READ_ONLY:
        return "read" if method in {"GET", "HEAD", "OPTIONS"} else "write"
    return _BY_FIRST.get(first, "admin")


def changes_items(method: str, path: str) -> bool:
    """Tell whether a request changes the catalogue, which all namespaces share."""
    first = path.strip("/").partition("/")[0]
    return first in _READ_ONLY and role_of(method, path) == "write"
