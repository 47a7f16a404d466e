"""Where a request ends: one table of raw requests, with the same answers on every way.

Each request is sent on the fast path, around it, and to another route; in one piece, and byte by
byte.
"""

import asyncio

import pytest

from loadtest.runners.raw_requests import SOUND, UNSOUND, WAYS, as_it_must, exchange, meant
from tests.e2e.test_fast_path import running

pytestmark = pytest.mark.e2e

TABLE = {name: raw for name, (raw, _, _) in SOUND.items()} | UNSOUND


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "byte by byte"])
async def test_each_request_is_answered_or_refused_as_the_table_says(
    way: str, piecewise: bool
) -> None:
    found = {}
    async with running(max_body_bytes=70_000) as server:
        server.engine.release()
        for name, raw in TABLE.items():
            sent = meant(raw, way)
            found[name] = await asyncio.to_thread(exchange, server.port, sent, piecewise=piecewise)
    wrong = {
        name: each
        for name, each in found.items()
        if not as_it_must(name, each, piecewise=piecewise)
    }
    assert wrong == {}
