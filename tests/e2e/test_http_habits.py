"""What clients, browsers and proxies expect of HTTP, of a real server, on both ways to answer."""

import gzip
import json
import zlib
from typing import Any

import httpx
import pytest

from tests.e2e.test_fast_path import Running, running

pytestmark = pytest.mark.e2e

SHOP = "https://shop.example"
WAYS = {"fast": "/recommend", "fast, /v1": "/v1/recommend", "routed": "/recommend?way=routed"}
"""One route, on the fast path and around it."""

ASKED = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}


def client(server: Running) -> httpx.AsyncClient:
    server.engine.release()
    return httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.port}", timeout=20)


TIME = {"budget_ms": 10_000}
"""Nothing is timed here, and the machine may be busy."""


def said(answer: httpx.Response) -> tuple[int, str | None]:
    return answer.status_code, answer.json().get("error", {}).get("code")


@pytest.mark.parametrize("path", ["/livez", "/v1/readyz", "/info", "/items/i1", "/docs"])
async def test_head_answers_as_get_without_a_body(path: str) -> None:
    async with running() as server, client(server) as http:
        head, get = await http.head(path), await http.get(path)

    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(get.content))
    assert head.headers["x-request-id"]


async def test_head_of_what_is_not_there_or_cannot_be_read() -> None:
    async with running() as server, client(server) as http:
        answers = [await http.head(path) for path in ("/nowhere", "/items/none", "/recommend")]

    assert [answer.status_code for answer in answers] == [404, 404, 405]
    assert answers[2].headers["allow"] == "OPTIONS, POST"
    assert {answer.content for answer in answers} == {b""}


@pytest.mark.parametrize(
    ("path", "allow"),
    [
        ("/livez", "GET, HEAD, OPTIONS"),
        ("/v1/recommend", "OPTIONS, POST"),
        ("/items/i1", "DELETE, GET, HEAD, OPTIONS, PATCH"),
        ("/docs", "GET, HEAD, OPTIONS"),
    ],
)
async def test_options_names_the_methods(path: str, allow: str) -> None:
    async with running() as server, client(server) as http:
        answer = await http.options(path)
        nowhere = await http.options("/nowhere")

    assert (answer.status_code, answer.headers["allow"], answer.content) == (204, allow, b"")
    assert "access-control-allow-origin" not in answer.headers
    assert nowhere.status_code == 404


@pytest.mark.parametrize("path", ["/recommend", "/v1/recommend", "/events", "/items/i1"])
@pytest.mark.parametrize("origins", [f"https://other.example, {SHOP.upper()}", "*"])
async def test_a_preflight_is_answered(path: str, origins: str) -> None:
    async with running(cors_origins=origins) as server, client(server) as http:
        answer = await http.options(path, headers={"origin": SHOP, **ASKED})
        metrics = (await http.get("/metrics")).text

    assert (answer.status_code, answer.content) == (204, b"")
    assert 'recserve_requests_total{route="preflight",status="204"} 1.0' in metrics
    assert answer.headers["access-control-allow-origin"] == ("*" if origins == "*" else SHOP)
    assert answer.headers["access-control-allow-headers"] == "content-type"
    assert "POST" in answer.headers["access-control-allow-methods"]


async def test_a_preflight_of_a_stranger_allows_nothing() -> None:
    async with running(cors_origins=SHOP) as server, client(server) as http:
        headers = {"origin": "https://shop.example.evil.example", **ASKED}
        stranger = await http.options("/recommend", headers=headers)
        plain = await http.post("/recommend", json={"k": 1, **TIME}, headers={"origin": "null"})

    for answer in (stranger, plain):
        assert answer.is_success
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize(
    ("body", "status"), [({"k": 1}, 200), ({"k": 0}, 422), ({"padding": "x" * 2000}, 413)]
)
async def test_pages_may_read_answers_and_errors(
    path: str, body: dict[str, Any], status: int
) -> None:
    async with running(cors_origins=SHOP, max_body_bytes=1024) as server, client(server) as http:
        answer = await http.post(path, json=body, headers={"origin": SHOP})
        elsewhere = await http.get("/nowhere", headers={"origin": SHOP})

    assert answer.status_code == status
    for each in (answer, elsewhere):
        assert each.headers["access-control-allow-origin"] == SHOP
        assert each.headers["vary"] == "Origin"
        assert "X-Request-ID" in each.headers["access-control-expose-headers"]


async def test_cors_is_off_by_default() -> None:
    async with running() as server, client(server) as http:
        answer = await http.post("/recommend", json={"k": 1, **TIME}, headers={"origin": SHOP})
        preflight = await http.options("/recommend", headers={"origin": SHOP, **ASKED})

    for each in (answer, preflight):
        assert not [name for name in each.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", [*WAYS.values(), "/v1/recommend/"])
async def test_a_gzip_body_is_read(path: str) -> None:
    async with running() as server, client(server) as http:
        plain = await http.post(path, json={"query": "a", "k": 3, **TIME})
        headers = {"content-encoding": "gzip"}
        packed = gzip.compress(json.dumps({"query": "a", "k": 3, **TIME}).encode())
        zipped = await http.post(path, content=packed, headers=headers)

    assert zipped.status_code == 200
    assert zipped.json()["items"] == plain.json()["items"]
    assert len(zipped.json()["items"]) == 3


PACKED = gzip.compress(b'{"k":1}')


@pytest.mark.parametrize("path", [*WAYS.values(), "/events", "/v1/recommend/batch"])
@pytest.mark.parametrize(
    ("body", "coding", "error"),
    [
        (gzip.compress(b" " * 1_000_000), "gzip", (413, "body_too_large")),
        (gzip.compress(b" " * 1025), "x-gzip", (413, "body_too_large")),
        (PACKED[:-3], "gzip", (422, "invalid_request")),
        (PACKED + PACKED, "gzip", (422, "invalid_request")),
        (b'{"k":1}', "gzip", (422, "invalid_request")),
        (zlib.compress(b'{"k":1}'), "deflate", (415, "unsupported_encoding")),
        (b"\x0b\x02\x80{}\x03", "br", (415, "unsupported_encoding")),
        (PACKED, "gzip, gzip", (415, "unsupported_encoding")),
    ],
    ids=["bomb", "one too many", "cut off", "two", "plain", "deflate", "br", "twice"],
)
async def test_a_body_that_cannot_be_unpacked_is_refused(
    path: str, body: bytes, coding: str, error: tuple[int, str]
) -> None:
    async with running(max_body_bytes=1024) as server, client(server) as http:
        answer = await http.post(path, content=body, headers={"content-encoding": coding})

    assert said(answer) == error
    assert answer.headers.get("accept-encoding") == ("gzip" if error[0] == 415 else None)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/livez/", 200),
        ("GET", "/v1/info/", 200),
        ("GET", "/items/i1/", 200),
        ("GET", "/items/i1%2F", 404),
        ("POST", "/recommend/", 200),
        ("PUT", "/users/7/", 200),
        ("POST", "/users/7/merge/", 200),
        ("GET", "/livez//", 404),
        ("GET", "/v2/livez", 404),
        ("GET", "/v1livez", 404),
        ("GET", "/v1/v1/livez", 404),
    ],
)
async def test_a_slash_at_the_end_and_the_version_do_not_matter(
    method: str, path: str, status: int
) -> None:
    body = {"attributes": {}} if method == "PUT" else {"session_id": "s"} if "merge" in path else {}
    async with running() as server, client(server) as http:
        answer = await http.request(method, path, json=body if method != "GET" else None)

    assert answer.status_code == status


@pytest.mark.parametrize("sent", ["", "/shop", "/shop/v1"], ids=["taken away", "kept", "/v1"])
async def test_behind_a_prefix_everything_is_found(sent: str) -> None:
    async with running(root_path="/shop") as server, client(server) as http:
        front = await http.get(f"{sent}/")
        page = (await http.get(f"{sent}/docs")).text
        document = (await http.get(f"{sent}/openapi.json")).json()
        script = page.split('<script src="')[1].split('"')[0]
        loaded = await http.get(script.removeprefix("/shop") if not sent else script)
        answers = [await http.post(f"{sent}{path}", json={"k": 2}) for path in WAYS.values()]
        counted = server.counted(200)

    assert (front.status_code, front.headers["location"]) == (307, "/shop/docs")
    assert "url: '/shop/openapi.json'" in page
    assert (loaded.status_code, script.startswith("/shop/")) == (200, True)
    assert document["servers"] == [{"url": "/shop"}]
    if sent != "/shop/v1":
        assert [len(answer.json()["items"]) for answer in answers] == [2, 2, 2]
        assert counted == 3


async def test_the_front_page_leads_to_the_documentation() -> None:
    async with running() as server, client(server) as http:
        answers = [await http.get(path) for path in ("/", "/v1", "/v1/")]
        page = await http.get("/", follow_redirects=True)

    assert {(each.status_code, each.headers["location"]) for each in answers} == {(307, "/docs")}
    assert "swagger" in page.text


@pytest.mark.parametrize("path", WAYS.values(), ids=WAYS)
async def test_a_page_of_another_origin_sends_no_body_unasked(path: str) -> None:
    body = json.dumps({"k": 1, **TIME}).encode()
    plain = {"content-type": "text/plain"}
    async with running() as server, client(server) as http:
        own = f"http://127.0.0.1:{server.port}"
        foreign = [
            await http.post(path, content=body, headers={"origin": SHOP, **kind})
            for kind in ({}, plain, {"content-type": "application/x-www-form-urlencoded"})
        ]
        welcome = [
            await http.post(path, content=body, headers=headers)
            for headers in (
                {"origin": SHOP, "content-type": "application/json"},
                {"origin": own, **plain},
                plain,
                {},
            )
        ]
        # No effect, either.
        event = json.dumps([{"user_id": "9", "item_id": "i1"}])
        written = await http.post("/events", content=event, headers={"origin": SHOP, **plain})
        user = await http.get("/users/9")

    assert [said(answer) for answer in foreign] == [(403, "forbidden")] * 3
    assert [answer.status_code for answer in welcome] == [200] * 4
    assert (said(written), user.status_code) == ((403, "forbidden"), 404)
    for answer in (*foreign, *welcome):
        assert answer.headers["x-content-type-options"] == "nosniff"


async def test_a_page_of_an_allowed_origin_sends_what_it_likes() -> None:
    headers = {"origin": SHOP, "content-type": "text/plain"}
    async with running(cors_origins=SHOP) as server, client(server) as http:
        for path in WAYS.values():
            answer = await http.post(path, content=json.dumps({"k": 1, **TIME}), headers=headers)
            assert answer.status_code == 200


async def test_pages_say_what_they_may_do() -> None:
    async with running() as server, client(server) as http:
        page = await http.get("/docs")
        head = await http.head("/docs")
        script = await http.get("/static-offline-docs/swagger-ui-bundle.js")
        plain = await http.get("/livez")

    for answer in (page, head):
        policy = answer.headers["content-security-policy"]
        assert policy.count("'sha256-") == page.text.count("<script>") == 1
        assert "'unsafe-inline'" not in policy.partition("style-src")[0]
        assert answer.headers["x-frame-options"] == "DENY"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert (script.status_code, script.headers["x-content-type-options"]) == (200, "nosniff")
    assert "content-security-policy" not in plain.headers
