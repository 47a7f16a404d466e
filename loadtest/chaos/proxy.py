"""A TCP proxy in front of a server of this machine that does to connections what networks do.

It runs in a thread of its own. Each method sets what happens from now on, to connections that are
open too: `well`, `down`, `slow`, `resetting`, `silent`, `sliced`, `cut_after`, `half_closed`,
`lying`. `move` changes the server.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from loadtest.runners.services import free_port

_CHUNK: Final = 65_536
_LINGER_NOT: Final = struct.pack("ii", 1, 0)


@dataclass(frozen=True, slots=True)
class _Way:
    """What happens to data; the defaults pass it on."""

    delay_s: float = 0.0
    resets: bool = False
    silent: bool = False
    slice_bytes: int | None = None
    most_bytes: int | None = None
    half_closes: bool = False
    change: Callable[[bytes], bytes] | None = None


class FaultProxy:
    """A proxy on a loopback port of its own. Close it at the end.

    Attributes:
        port: where it listens.
        connections: how many it has taken since it began.
        commands: how many chunks clients have sent since it began.
    """

    def __init__(self, target: int) -> None:
        """Listen, and pass everything on to the port `target` of this machine."""
        self.port = free_port()
        self.connections = self.commands = 0
        self._target = target
        self._way = _Way()
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._do(self._listen())

    def __repr__(self) -> str:
        return f"<FaultProxy {self.port} → {self._target}: {self._way}>"

    @property
    def url(self) -> str:
        """The URL of a Redis behind it."""
        return f"redis://127.0.0.1:{self.port}/0"

    def well(self) -> None:
        """Pass everything on."""
        self._set(_Way())

    def down(self) -> None:
        """Close all connections and refuse new ones."""
        self._do(self._stop())

    def slow(self, seconds: float) -> None:
        """Hold back each answer for some time."""
        self._set(_Way(delay_s=seconds))

    def resetting(self) -> None:
        """Reset a connection when the client sends something."""
        self._set(_Way(resets=True))

    def silent(self) -> None:
        """Take everything, pass nothing on, and close nothing."""
        self._set(_Way(silent=True))

    def sliced(self, size: int = 1, pause_s: float = 0.0) -> None:
        """Pass answers on in slices of `size` bytes, with a pause between them."""
        self._set(_Way(slice_bytes=size, delay_s=pause_s))

    def cut_after(self, size: int) -> None:
        """End each connection after `size` bytes of answers."""
        self._set(_Way(most_bytes=size))

    def half_closed(self) -> None:
        """End the direction to the client once it sends something; go on reading from it."""
        self._set(_Way(half_closes=True))

    def lying(self, change: Callable[[bytes], bytes]) -> None:
        """Change the bytes of answers."""
        self._set(_Way(change=change))

    def move(self, target: int) -> None:
        """Lead new connections to another port; open ones stay, as where a name changes."""
        self._target = target

    def close(self) -> None:
        """Close everything. Idempotent."""
        if self._loop.is_running():
            self._do(self._stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def _set(self, way: _Way) -> None:
        self._way = way
        self._do(self._listen())

    def _do(self, what: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(what, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

    async def _stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            from_server, to_server = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = {writer, to_server}
        self._open |= ends
        tasks = [
            asyncio.create_task(self._upstream(reader, to_server, writer)),
            asyncio.create_task(self._downstream(from_server, writer)),
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._open -= ends
            for end in ends:
                end.transport.abort()

    async def _upstream(
        self,
        reader: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
        to_client: asyncio.StreamWriter,
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                self.commands += 1
                way = self._way
                if way.resets:
                    raw: socket.socket = to_client.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                    return
                if way.half_closes:
                    if to_client.can_write_eof() and not to_client.transport.is_closing():
                        to_client.write_eof()
                elif not way.silent:
                    to_server.write(data)
                    await to_server.drain()

    async def _downstream(
        self, reader: asyncio.StreamReader, to_client: asyncio.StreamWriter
    ) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while data := await reader.read(_CHUNK):
                way = self._way
                if way.silent or way.half_closes:
                    continue
                if way.change is not None:
                    data = way.change(data)
                if way.most_bytes is not None:
                    data = data[: way.most_bytes - passed]
                size = way.slice_bytes or max(1, len(data))
                for start in range(0, len(data), size):
                    if way.delay_s:
                        await asyncio.sleep(way.delay_s)
                    to_client.write(data[start : start + size])
                    await to_client.drain()
                passed += len(data)
                if way.most_bytes is not None and passed >= way.most_bytes:
                    return
