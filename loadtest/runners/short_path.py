"""One connection of a real service in this process, without a socket: cached answers are timed.

A request costs 20 to 60 µs on the short path. Over sockets, the noise of a shared machine would
hide a difference of one. Here the bytes of a request go into the protocol, and its answer goes
nowhere, so only our own work is measured.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import orjson
import uvicorn
from prometheus_client import CollectorRegistry
from uvicorn.server import ServerState

from app.api.connection import LIFE
from app.api.fast_path import ENDPOINT, FastPathProtocol, RecommendEndpoint
from app.api.reply import Outcomes
from app.bootstrap import Service, open_service
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.access.key_ring import KeyRing

_PATIENCE_S: Final = 10.0


class _Nowhere:
    """A transport that remembers the newest answer and sends nothing."""

    def __init__(self) -> None:
        self.answers, self.newest = 0, b""
        self.written = asyncio.Event()

    def write(self, data: bytes) -> None:
        self.answers, self.newest = self.answers + 1, data
        self.written.set()

    def get_extra_info(self, name: str) -> object:
        return ("127.0.0.1", 1) if name.endswith("name") else None

    def is_closing(self) -> bool:
        return False

    def close(self) -> None: ...

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def _unused(_scope: object, _receive: object, _send: object) -> None:
    raise RuntimeError("this request did not take the short path")


class ShortPath:
    """A connection to a service; `ring` says who may call, None = everybody may."""

    def __init__(self, service: Service, ring: KeyRing | None = None) -> None:
        endpoint = RecommendEndpoint(service, Outcomes(service.metrics), ring=ring)
        config = uvicorn.Config(
            _unused,
            http=FastPathProtocol,
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
        )
        config.load()
        state: dict[str, Any] = {ENDPOINT: endpoint, LIFE: service.life}
        loop = asyncio.get_running_loop()
        self._protocol = FastPathProtocol(config, ServerState(), state, _loop=loop)
        self._out = _Nowhere()
        self._protocol.connection_made(self._out)  # type: ignore[arg-type]

    async def warm(self, request: bytes) -> None:
        """Send a request until it is answered from the cache.

        Raises:
            RuntimeError: it is not.
        """
        until, self._out.newest = time.monotonic() + _PATIENCE_S, b""
        while b"x-cache: hit" not in self._out.newest:
            if time.monotonic() > until:
                raise RuntimeError(f"it is not cached: {self._out.newest[:500]!r}")
            self._out.written.clear()
            self._protocol.data_received(request)
            await asyncio.wait_for(self._out.written.wait(), _PATIENCE_S)
            await asyncio.sleep(0.01)  # the cache is filled after the answer

    def microseconds(self, request: bytes, times: int) -> float:
        """Return the processor time of one cached answer. Raises `RuntimeError`: one was none."""
        before, began = self._out.answers, time.process_time()
        for _ in range(times):
            self._protocol.data_received(request)
        spent = time.process_time() - began
        if self._out.answers - before != times or b"x-cache: hit" not in self._out.newest:
            raise RuntimeError(f"an answer is missing, or not cached: {self._out.newest[:500]!r}")
        return spent / times * 1e6

    def close(self) -> None:
        """End the connection."""
        self._protocol.connection_lost(None)


def request_of(fields: Mapping[str, object], headers: Mapping[str, str] | None = None) -> bytes:
    """Return the bytes of a `POST /recommend`, as a plain client sends them."""
    body = orjson.dumps(fields)
    lines = {
        "host": "127.0.0.1:8000",
        "content-type": "application/json",
        "content-length": str(len(body)),
        **(headers or {}),
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"POST /recommend HTTP/1.1\r\n{head}\r\n".encode() + body


@asynccontextmanager
async def opened(bundle: Path, folder: Path) -> AsyncIterator[Service]:
    """Open a service in this process; it logs no requests, and keeps its data in `folder`."""
    settings = Settings(bundle=bundle, data_dir=folder, access_log_per_second=0, slow_request_ms=0)
    async with open_service(settings, Metrics(CollectorRegistry())) as service:
        yield service


def summary(rounds: Mapping[str, list[float]], first: str) -> dict[str, dict[str, float]]:
    """Return of each way the median in µs, and that of its differences to the way `first`."""
    return {
        name: {
            "us": round(median(found), 2),
            "more_us": round(
                median(one - less for one, less in zip(found, rounds[first], strict=True)), 2
            ),
        }
        for name, found in rounds.items()
    }
