"""Which route a path means: without the prefix of a proxy, the version and a slash at the end.

Every route answers under its bare path and under `/v1`. A proxy may serve the service below a
prefix (`RECSERVE_ROOT_PATH`); it may take the prefix away before it passes a request on, or not.
"""

from typing import Final
from urllib.parse import quote, unquote

from starlette.types import Scope

VERSION_PREFIX: Final = "/v1"


def spellings(route: str, root_path: str) -> frozenset[bytes]:
    """Return all that a request may send for a route without parameters, but slashes at the end.

    >>> sorted(spellings("/livez", "/shop"))
    [b'/livez', b'/shop/livez', b'/shop/v1/livez', b'/v1/livez']
    """
    heads = {"", VERSION_PREFIX, root_path, root_path + VERSION_PREFIX}
    return frozenset(f"{head}{route}".encode() for head in heads)


def bare(path: str, root_path: str) -> str:
    """Return the path of the route.

    >>> bare("/v1/livez/", ""), bare("/shop/v1/livez", "/shop"), bare("/v1", ""), bare("/v12", "")
    ('/livez', '/livez', '/', '/v12')
    """
    path = _without(_without(path, root_path), VERSION_PREFIX)
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _without(path: str, prefix: str) -> str:
    if not prefix or not path.startswith(prefix) or path[len(prefix) :][:1] not in {"", "/"}:
        return path
    return path[len(prefix) :] or "/"


def routed(scope: Scope, root_path: str) -> Scope:
    """Return the scope of an HTTP request, as the router reads it: HEAD is asked as GET.

    The scope itself is not altered: the server still has to know that no body is wanted.
    """
    # Only the raw path tells a slash at the end from one that belongs to an id, sent as %2F.
    raw = (scope.get("raw_path") or quote(scope["path"]).encode()).decode("latin-1")
    raw_bare = bare(raw, root_path)
    method = "GET" if scope["method"] == "HEAD" else scope["method"]
    if raw_bare == raw and not root_path and method == scope["method"]:
        return scope
    return {
        **scope,
        "method": method,
        "root_path": root_path,
        "path": root_path + unquote(raw_bare),
        "raw_path": (root_path + raw_bare).encode("latin-1"),
    }
