"""The server of one process, which stops without a failed request.

    SIGTERM ─▶ not ready, still answering ─▶ listener closed ─▶ requests finish ─▶ service closed

- For `delay_s` it says 503 on `/readyz` and answers all other requests, so that balancers send new
  ones elsewhere. Each answer carries `Connection: close`, so that kept connections end with an
  answer and not in the middle of the next request. SIGINT (Ctrl-C) leaves this out: nobody waits.
- Then the listener closes. Connections that wait to be accepted are accepted still, and connections
  without a request are closed.
- Requests get `drain_s` to finish. What is left then gets 503.
- The service is closed: events are written, the engine is freed.

A second signal ends the process at once, with 128 and the number of the signal as its exit code. A
process that has lost a part (`Life.lost`) stops in the same way by itself, with exit code 1.

An alarm ends the process if all that, or one turn of the event loop, takes far too long. It is a
thread of C code, so it also rings where native code never gives the interpreter back; it prints
what each thread does. A process that was stopped from outside for so long (SIGSTOP) ends by it,
too.
"""

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Final

import uvicorn

from app.api.connection import LIFE, Connection
from app.core.life import Life
from app.core.settings import Settings

_TURN_S: Final = 0.05
"""What was sent before the listener closed is read in this time."""
_POLL_S: Final = 0.02
_CANCEL_S: Final = 1.0
_CLOSE_S: Final = 5.0
"""Longest time for closing the service, after the requests."""
_LEAST_ALARM_S: Final = 30.0
_ALARM_TIMES: Final = 3
_TICKS: Final = 10
"""Turns of the server's main loop in a second."""

_log = logging.getLogger(__name__)


class DrainingServer(uvicorn.Server):
    """Serves one process.

    Attributes:
        exit_code: of the process, once `run` has returned.
    """

    def __init__(
        self,
        config: uvicorn.Config,
        settings: Settings,
        *,
        on_started: Callable[[], None] | None = None,
        more_sockets: Sequence[socket.socket] = (),
    ) -> None:
        """Prepare a server.

        Args:
            config: of the library.
            settings: how long to wait.
            on_started: called once the process answers requests. With it, the process is one of
                several: whoever started it forces it, so a second signal does nothing here, and
                SIGUSR1 means that another one takes its place.
            more_sockets: bound to other addresses, on which it listens, too.
        """
        super().__init__(config)
        self.exit_code = 0
        self._settings = settings
        self._on_started = on_started
        self._more_sockets = more_sockets
        self._delay_s = settings.shutdown_delay_ms / 1e3
        self._drain_s = settings.drain_timeout_ms / 1e3
        self._replaced = False
        hang_s = settings.hang_limit_ms / 1e3
        self._alarm_s = max(_LEAST_ALARM_S, _ALARM_TIMES * hang_s) if hang_s else 0.0

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Handle signals while the server runs. The library raises them again afterwards."""
        signals = [signal.SIGINT, signal.SIGTERM]
        if self._on_started is not None:
            signals.append(signal.SIGUSR1)
        before = {number: signal.signal(number, self.handle_exit) for number in signals}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Stop in order at the first signal, at once at the second."""
        if not self.should_exit:
            self._replaced = sig == signal.SIGUSR1
            if sig == signal.SIGINT:
                self._delay_s = 0.0
            self.should_exit = True
        elif self._on_started is None:
            os.write(2, b"recserve: a second signal: it ends at once\n")
            os._exit(128 + sig)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the service and the listener."""
        await super().startup(sockets)
        for each in self._more_sockets:
            backlog = self.config.backlog
            loop = asyncio.get_running_loop()
            self.servers.append(
                await loop.create_server(self._protocol, sock=each, backlog=backlog)
            )
        if self._on_started is not None:
            self._on_started()

    async def on_tick(self, counter: int) -> bool:
        """Tell whether to stop; called ten times a second."""
        if counter % _TICKS == 0 and self._alarm_s:
            _set_alarm(self._alarm_s)
        if self._life.lost is not None:
            self.exit_code = 1
            return True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop without a failed request; see above."""
        _set_alarm(self._delay_s + self._drain_s + _CANCEL_S + _CLOSE_S)
        _log.info("stopping")
        self._life.stop(replaced=self._replaced)
        if self._replaced:  # others listen on the same socket
            await self._stop_listening(sockets)
        for connection in tuple(self.server_state.connections):
            if isinstance(connection, Connection):  # later ones ask `Life` themselves
                connection.end_with_next_answer()
        await asyncio.sleep(self._delay_s)
        if not self._replaced:
            await self._stop_listening(sockets)
        await asyncio.sleep(_TURN_S)
        for connection in tuple(self.server_state.connections):
            connection.shutdown()
        await self._drain()
        await self.lifespan.shutdown()
        if self.lifespan.should_exit:
            self.exit_code = 1

    @property
    def _life(self) -> Life:
        life: Life = self.lifespan.state[LIFE]
        return life

    async def _stop_listening(self, sockets: Sequence[socket.socket] | None) -> None:
        """Close the listener, and accept the connections that it has not accepted yet.

        The system resets those when the last copy of a listening socket is closed.
        """
        copies = [
            socket.socket(fileno=os.dup(each.fileno()))
            for server in self.servers
            for each in server.sockets
        ]
        for server in self.servers:
            server.close()
        for each in sockets or ():
            each.close()
        for copy in copies:
            copy.setblocking(False)
            with copy, suppress(BlockingIOError):
                while True:
                    waiting, _ = copy.accept()
                    await asyncio.get_running_loop().connect_accepted_socket(
                        self._protocol, waiting
                    )

    def _protocol(self) -> asyncio.Protocol:
        made: asyncio.Protocol = self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config, server_state=self.server_state, app_state=self.lifespan.state
        )
        return made

    async def _drain(self) -> None:
        """Wait for the requests in flight; those that take too long are ended."""
        state, loop = self.server_state, asyncio.get_running_loop()
        deadline = loop.time() + self._drain_s
        # The library tells nobody when a connection ends.
        while (state.connections or state.tasks) and loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(_POLL_S)
        if not state.tasks:
            return
        _log.warning("%d requests took too long and are ended", len(state.tasks))
        for task in state.tasks:
            task.cancel()
        await asyncio.wait(tuple(state.tasks), timeout=_CANCEL_S)


def _set_alarm(seconds: float) -> None:
    """End the process after some seconds, unless the alarm is set again before."""
    if sys.__stderr__ is not None:  # it was closed by whoever started us: nowhere to print
        faulthandler.dump_traceback_later(seconds, exit=True, file=sys.__stderr__)
