"""Open a bundle, use every route once; print how many there were and which libraries came along.

Run as a script by `test_service.py`, in a process of its own.
"""

import asyncio
import sys
from pathlib import Path

import httpx

from app.api.server import create_app
from app.core.settings import Settings

UNWANTED = ("torch", "transformers", "sentence_transformers", "pyarrow", "onnx")


RULE = {"boost": {"filter": {"published_at": {"gte": 1990}}, "weight": 1}}
BODIES = {
    "/recommend": {"query": "crime"},
    "/recommend/batch": {"requests": [{"query": "space"}, {"user_id": "ann"}]},
    "/interpret": {"query": "newest crime"},
    "/recommend/stream": {"query": "crime"},
    "/similar": {"item_id": "1"},
    "/why-not": {"request": {"query": "crime"}, "item_id": "1"},
    "/shelves": {"user_id": "ann", "shelves": [{"name": "a", "kind": "because"}, {"name": "b"}]},
    "/admin/rules/dry-run": {"rules": [{"id": "r", **RULE}], "requests": [{"k": 3}]},
    "/events": [{"user_id": "ann", "item_id": "1", "event_id": "e"}],
    "/users/{user_id}/merge": {"session_id": "s"},
    "/items": [{"id": "1", "title": "Heat"}],
    "/facets": {"filter": {"published_at": {"gte": 1900}}},
}
CHANGES = {
    ("put", "/admin/rules"): {"rules": [{"id": "r", **RULE}]},
    ("put", "/admin/rules/{rule_id}"): RULE,
    ("put", "/admin/scenarios"): {"scenarios": {"home": {"k": 3}}},
    ("put", "/admin/scenarios/{name}"): {"k": 5},
    ("patch", "/items/{item_id}"): {"title": "Heat, again"},
    ("put", "/users/{user_id}"): {"attributes": {"country": "NZ"}},
}

TURN = {"put": 0, "delete": 2}
"""Methods that make things come first, those that remove them last; one thing before all."""


async def main(bundle: Path, data: Path) -> None:
    app = create_app(Settings(bundle=bundle, data_dir=data, keep_answers_hours=1))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        paths = (await client.get("/openapi.json")).json()["paths"]
        given = (await client.post("/recommend", json={})).json()["recommendation_id"]
        calls = [(path, method) for path, methods in paths.items() for method in methods]
        names = {"item_id": "1", "user_id": "ann", "event_id": "e", "rule_id": "r", "name": "home"}
        for path, method in sorted(calls, key=lambda call: (TURN.get(call[1], 1), -len(call[0]))):
            url = path.format(**names, recommendation_id=given)
            body = CHANGES.get((method, path), BODIES.get(path))
            answer = await client.request(method, url, json=body)
            answer.raise_for_status()
    print(len(paths), "routes", [name for name in UNWANTED if name in sys.modules])


asyncio.run(main(*map(Path, sys.argv[1:])))
