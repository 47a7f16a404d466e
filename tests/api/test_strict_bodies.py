"""Each route that takes JSON refuses what readers could read differently, or could not hold."""

import json

import pytest

from tests.api_rig import served

ROUTES = {
    "/recommend": ("POST", {"query": "a"}),
    "/recommend/batch": ("POST", {"requests": [{"query": "a"}]}),
    "/recommend/stream": ("POST", {"query": "a"}),
    "/interpret": ("POST", {"query": "a"}),
    "/similar": ("POST", {"item_id": "alien"}),
    "/shelves": ("POST", {"shelves": [{"name": "a"}]}),
    "/facets": ("POST", {"fields": ["year"]}),
    "/why-not": ("POST", {"request": {"query": "a"}, "item_id": "alien"}),
    "/events": ("POST", {"events": [{"user_id": "1", "item_id": "alien"}]}),
    "/users/7": ("PUT", {"attributes": {"age": 31}}),
    "/users/7/merge": ("POST", {"session_id": "s"}),
    "/items": ("PUT", {"items": [{"id": "n", "title": "new"}]}),
    "/items/alien": ("PATCH", {"title": "new"}),
    "/admin/rules": ("PUT", {"rules": [{"id": "r", "pin": {"item_id": "alien", "place": 1}}]}),
    "/admin/rules/r": ("PUT", {"pin": {"item_id": "alien", "place": 1}}),
    "/admin/rules/dry-run": (
        "POST",
        {"rules": [{"id": "r", "pin": {"item_id": "alien", "place": 1}}], "requests": [{}]},
    ),
    "/admin/scenarios": ("PUT", {"scenarios": {"s": {"k": 3}}}),
    "/admin/scenarios/s": ("PUT", {"k": 3}),
}


def doubled(body: bytes) -> bytes:
    """The same with its first name twice in the outermost object."""
    return body[:-1] + b"," + body[1:]


def doubled_within(body: bytes) -> bytes:
    """The same with a name twice in the innermost object."""
    at = body.rindex(b"{")
    inner = body[at + 1 : body.index(b"}", at)]
    return body[: at + 1] + inner + b"," + body[at + 1 :] if inner else doubled(body)


SPOILT = {
    "a name twice": doubled,
    "a name twice within": doubled_within,
    "cut off": lambda body: body[:-1],
    "goes on": lambda body: body + b"{}",
    "no UTF-8": lambda body: body.replace(b'"a', b'"\xff'),
    "half a surrogate": lambda body: body[:-1] + b',"x":"\\ud800"}',
    "nested for ever": lambda body: body[:-1] + b',"x":' + b"[" * 100_000,
    "a number without end": lambda body: body[:-1] + b',"x":' + b"9" * 100_000 + b"}",
    "too many values": lambda body: body[:-1] + b',"x":[' + b"1," * 70_000 + b"1]}",
    "too many names": lambda body: (
        body[:-1] + b"".join(b',"x%d":1' % n for n in range(60_000)) + b"}"
    ),
}


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("how", SPOILT)
async def test_a_spoilt_body_is_refused(path: str, how: str) -> None:
    method, good = ROUTES[path]
    body = json.dumps(good).encode()
    spoilt = SPOILT[how](body)
    if spoilt == body:
        pytest.skip("this body has no such place")
    # Unknown fields of items are kept, whatever they hold.
    kept = path == "/items/alien" and how == "too many names"
    async with served() as client:
        refused = await client.request(method, path, content=spoilt)
        taken = await client.request(method, path, content=body)

    assert refused.status_code == 422 or kept
    assert b'{"error":{"code":"invalid_request"' in refused.content
    assert len(refused.content) < 2_000
    assert taken.status_code == 200, taken.text
