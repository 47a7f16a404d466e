"""Who may read answers from another origin."""

import pytest

from app.api.cors import Cors

PREFLIGHT = [(b"origin", b"https://a.example"), (b"access-control-request-method", b"PUT")]


def allowed(cors: Cors, origin: bytes | None) -> bytes | None:
    sent = [] if origin is None else [(b"origin", origin)]
    return dict(cors.headers(sent)).get(b"access-control-allow-origin")


def test_only_the_named_origins_are_allowed_and_caches_are_told() -> None:
    cors = Cors("https://a.example,http://localhost:3000")

    assert allowed(cors, b"https://a.example") == b"https://a.example"
    assert allowed(cors, b"http://localhost:3000") == b"http://localhost:3000"
    for other in (b"http://a.example", b"https://a.example:8443", b"null", None):
        assert allowed(cors, other) is None
        assert (b"vary", b"Origin") in cors.headers([(b"origin", other)] if other else [])


def test_a_star_allows_all_and_answers_are_alike_for_all() -> None:
    cors = Cors("*")

    assert allowed(cors, b"null") == allowed(cors, None) == b"*"
    assert b"vary" not in dict(cors.headers([]))


def test_a_preflight_gets_the_headers_that_it_asks_for() -> None:
    asked = (b"access-control-request-headers", b"content-type, x-shop")
    reply = Cors("*").preflight("OPTIONS", [*PREFLIGHT, asked])

    assert reply is not None
    assert (reply.status, reply.body) == (204, b"")
    assert dict(reply.headers)[b"access-control-allow-headers"] == b"content-type, x-shop"


@pytest.mark.parametrize("asked", [None, b"", b"a\nb: c", b"x" * 2000, b"a(b)"])
def test_other_names_of_headers_are_never_sent_back(asked: bytes | None) -> None:
    more = [] if asked is None else [(b"access-control-request-headers", asked)]
    reply = Cors("https://a.example").preflight("OPTIONS", [*PREFLIGHT, *more])

    assert reply is not None
    assert b"authorization" in dict(reply.headers)[b"access-control-allow-headers"]


def test_what_is_no_preflight_goes_on_to_the_router() -> None:
    cors = Cors("https://a.example")

    assert cors.preflight("POST", PREFLIGHT) is None
    assert cors.preflight("OPTIONS", PREFLIGHT[:1]) is None
    assert cors.preflight("OPTIONS", [(b"origin", b"https://b.example"), PREFLIGHT[1]]) is None
