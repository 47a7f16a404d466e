"""What pages may do: their own headers, and bodies that a page of another origin sends unasked."""

import base64
import hashlib

import pytest

from app.api.cors import Cors
from app.api.pages import check_origin, is_foreign, is_page, page_headers
from app.core.errors import ForbiddenError

HOST = (b"host", b"shop.example:8000")
EVIL = b"https://evil.example"
UNASKED = [
    None,
    b"",
    b"text/plain",
    b"Text/Plain; charset=utf-8",
    b"application/x-www-form-urlencoded",
    b"multipart/form-data; boundary=x",
]


def sent(origin: bytes | None, kind: bytes | None) -> list[tuple[bytes, bytes]]:
    headers = [HOST]
    if origin is not None:
        headers.append((b"origin", origin))
    return headers if kind is None else [*headers, (b"content-type", kind)]


@pytest.mark.parametrize("kind", UNASKED)
@pytest.mark.parametrize(
    "origin",
    [
        EVIL,
        b"null",
        b"",
        b"http://[",
        b"http://shop.example",
        b"http://shop.example:8000.evil.example",
    ],
)
def test_what_is_sent_unasked_for_another_origin_is_refused(
    origin: bytes, kind: bytes | None
) -> None:
    with pytest.raises(ForbiddenError, match="another origin"):
        check_origin(sent(origin, kind), None)


@pytest.mark.parametrize("kind", UNASKED)
@pytest.mark.parametrize(
    "origin", [None, b"http://shop.example:8000", b"HTTPS://SHOP.example:8000"]
)
def test_programs_and_our_own_pages_send_what_they_like(
    origin: bytes | None, kind: bytes | None
) -> None:
    assert not is_foreign(sent(origin, kind), None)


def test_json_is_sent_after_a_preflight_only() -> None:
    assert not is_foreign(sent(EVIL, b"application/json; charset=utf-8"), None)


def test_cors_allows_its_origins_all_of_it() -> None:
    for cors in (Cors("https://evil.example"), Cors("*")):
        assert not is_foreign(sent(EVIL, b"text/plain"), cors)
    assert is_foreign(sent(b"null", b"text/plain"), Cors("https://evil.example"))


def test_a_request_without_a_host_is_of_no_origin() -> None:
    assert is_foreign([(b"origin", b"http://")], None)


def test_a_page_runs_its_own_scripts_only_and_stands_in_no_frame() -> None:
    script = b"\n  one();\n"
    page = b'<html><script src="/a.js"></script><script>' + script + b"</script></html>"
    headers = dict(page_headers(page))
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    policy = headers[b"content-security-policy"].decode()
    assert f"script-src 'self' 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert headers[b"x-frame-options"] == b"DENY"
    assert headers[b"referrer-policy"] == b"no-referrer"


def test_only_html_is_a_page() -> None:
    assert is_page([(b"content-type", b"text/html; charset=utf-8")])
    assert not is_page([(b"content-type", b"application/json")])
    assert not is_page([])
