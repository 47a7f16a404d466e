"""Paths as they are sent, and as the router reads them."""

from typing import Any

import pytest

from app.api.paths import bare, routed, spellings


@pytest.mark.parametrize(
    ("path", "root", "route"),
    [
        ("/livez", "", "/livez"),
        ("/", "", "/"),
        ("/v1", "", "/"),
        ("/v1/", "", "/"),
        ("/v1/items/a/", "", "/items/a"),
        ("/items/v1/", "", "/items/v1"),
        ("/items/a//", "", "/items/a/"),
        ("/v12/livez", "", "/v12/livez"),
        ("/shop", "/shop", "/"),
        ("/shop/v1/livez", "/shop", "/livez"),
        ("/shopping/livez", "/shop", "/shopping/livez"),
        ("/v1/livez", "/v1", "/livez"),
    ],
)
def test_the_route_of_a_path(path: str, root: str, route: str) -> None:
    assert bare(path, root) == route


def test_all_spellings_lead_to_their_route() -> None:
    found = spellings("/recommend", "/a/b")

    assert len(found) == 4
    assert {bare(url.decode(), "/a/b") for url in found} == {"/recommend"}
    assert spellings("/recommend", "") == {b"/recommend", b"/v1/recommend"}


def scope(path: str, raw_path: bytes, method: str = "GET") -> dict[str, Any]:
    return {"type": "http", "method": method, "path": path, "raw_path": raw_path, "headers": []}


def test_a_slash_that_belongs_to_an_id_stays() -> None:
    kept = routed(scope("/v1/items/a/", b"/v1/items/a%2F"), "")
    taken = routed(scope("/v1/items/a/", b"/v1/items/a/"), "")

    assert (kept["path"], kept["raw_path"]) == ("/items/a/", b"/items/a%2F")
    assert (taken["path"], taken["raw_path"]) == ("/items/a", b"/items/a")


def test_the_router_gets_the_prefix_whether_or_not_it_was_sent() -> None:
    for path in ("/livez", "/shop/livez", "/v1/livez"):
        found = routed(scope(path, path.encode()), "/shop")

        assert (found["path"], found["root_path"]) == ("/shop/livez", "/shop")


def test_the_scope_of_the_server_is_left_alone() -> None:
    sent = scope("/v1/livez", b"/v1/livez", "HEAD")
    plain = scope("/livez", b"/livez")

    assert routed(sent, "")["method"] == "GET"
    assert (sent["method"], sent["path"]) == ("HEAD", "/v1/livez")
    assert routed(plain, "") is plain
