"""Open a bundle, use every route once; print how many there were and which libraries came along.

Run as a script by `test_service.py`, in a process of its own.
"""

import asyncio
import sys
from pathlib import Path

import httpx

from app.api.server import create_app
from app.settings import Settings

UNWANTED = ("torch", "transformers", "sentence_transformers", "pyarrow", "onnx")


async def main(bundle: Path) -> None:
    app = create_app(Settings(bundle=bundle))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test") as client,
    ):
        paths = (await client.get("/openapi.json")).json()["paths"]
        for path, methods in paths.items():
            if "post" in methods:
                bodies = {
                    "/recommend/batch": {"requests": [{"query": "space"}, {"user_id": "ann"}]}
                }
                answer = await client.post(path, json=bodies.get(path, {"query": "crime"}))
            else:
                answer = await client.get(path.replace("{item_id}", "1"))
            answer.raise_for_status()
    print(len(paths), "routes", [name for name in UNWANTED if name in sys.modules])


asyncio.run(main(Path(sys.argv[1])))
