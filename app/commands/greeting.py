"""What `recserve demo` says once it answers: its address, its pages, and a request to paste."""

import http.client
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from app.core.settings import Settings

_ANYWHERE: Final = {"", "0.0.0.0", "::"}  # noqa: S104 - compared, not listened on
_POLL_S: Final = 0.2
_TIMEOUT_S: Final = 2.0


@contextmanager
def greeting(settings: Settings, out: TextIO | None = None) -> Iterator[None]:
    """Say where the service is, once it is ready, while the block serves.

    Args:
        settings: of the service. Where it picks its port itself, nothing is said.
        out: where to say it; None = standard output.
    """
    over = threading.Event()
    waiting = threading.Thread(
        target=_greet, args=(settings, over, out or sys.stdout), name="recserve-greeting"
    )
    if settings.port:
        waiting.start()
    try:
        yield
    finally:
        over.set()
        if settings.port:
            waiting.join()


def words_of(settings: Settings) -> str:
    """Return what is said."""
    host = _host(settings)
    address = f"http://{f'[{host}]' if ':' in host else host}:{settings.port}"
    return (
        f"\nrecserve answers at {address}\n"
        f"  all routes, to try out:  {address}/docs\n"
        "  a request to paste:\n"
        f"    curl -s {address}/recommend -H 'content-type: application/json' \\\n"
        """      -d '{"query":"newest comedies","k":3}'\n"""
    )


def _host(settings: Settings) -> str:
    return "127.0.0.1" if settings.host in _ANYWHERE else settings.host


def _greet(settings: Settings, over: threading.Event, out: TextIO) -> None:
    while not over.is_set():
        if _is_ready(_host(settings), settings.port):
            print(words_of(settings), file=out, flush=True)
            return
        over.wait(_POLL_S)


def _is_ready(host: str, port: int) -> bool:
    connection = http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
