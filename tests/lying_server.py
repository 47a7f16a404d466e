"""A server that speaks Redis as badly as a test wants it to."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager


class LyingServer:
    """Takes connections on a loopback port and answers each command with what a test says.

    None = silence. Commands arrive as one write each, so one read is one command.
    """

    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer
        self.connections = 0
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while command := await reader.read(65536):
                if (answer := self._answer(command)) is not None:
                    writer.write(answer)
                    await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


@asynccontextmanager
async def lying(answer: Callable[[bytes], bytes | None]):
    liar = LyingServer(answer)
    server = await asyncio.start_server(liar.serve, "127.0.0.1", 0)
    liar.url = f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}/0"
    async with server:
        yield liar
