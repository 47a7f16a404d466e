"""The process that serves: it checks the settings and runs the application under uvicorn."""

import asyncio
import errno
import faulthandler
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from multiprocessing import parent_process
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

import uvicorn
from pydantic import SecretStr
from starlette.types import ASGIApp
from uvicorn.config import STARTUP_FAILURE

from app.api.fast_path import FastPathProtocol
from app.bundle.reader import open_bundle
from app.core.logs import configure_logging
from app.core.memory import put_off_collections, share_one_arena
from app.core.settings import Settings
from app.core.shared_tallies import SharedTallies
from app.draining_server import DrainingServer
from app.engine.encoding.device import require
from app.serving.access.opening import check_access
from app.serving.stores.opening import check_event_store
from app.worker_processes import Workers

_SWITCH_S: Final = 0.0001
"""Seconds after which a thread asks for the interpreter while another one holds it. A pass asks
several times while the event loop is busy. Python's default is fifty times as long."""

_METRICS_FOLDER: Final = "_RECSERVE_METRICS"
"""The variable that tells workers where they count; no setting."""

_STOP_S: Final = 10.0
"""Seconds, beside those of the settings, after which a worker that should stop is killed."""

_MEMORY: Final = "/dev/shm"  # noqa: S108 - a folder of our own is made there

_EVERYWHERE: Final = ("", "::")
"""Hosts that mean all addresses of the machine, those of IPv4 too."""

_TAKEN: Final = (errno.EADDRINUSE, errno.EACCES)
"""Errors of an address that another process uses, or that only the administrator may use."""


def run(settings: Settings) -> int:
    """Serve until a signal stops it, and return the exit code.

    Workers are spawned processes and read the settings from the environment.

    Raises:
        OSError: the address is taken, or its name unknown.
        UsageError: other machines reach the address, and nobody needs a key.
        AppError: the bundle, the device or the event store cannot be used.
    """
    check_access(settings)
    check_addresses(settings)
    share_one_arena()
    if settings.workers == 1:
        put_off_collections()
    require(settings.device)
    _check_bundle(settings)
    asyncio.run(check_event_store(settings))
    if settings.llm_url is not None:
        from app.language_model.endpoint import check_language_model  # noqa: PLC0415 - rarely used

        check_language_model(settings)
    export_settings(settings)
    if settings.workers > 1:  # this process starts them, and says so
        configure_logging(settings.log_level, settings.log_format, workers=settings.workers)
    # Until the server handles it. As PID 1 of a container, a process without a handler is not
    # stopped by it at all.
    signal.signal(signal.SIGTERM, _stop)
    # A terminal that closes stops it in order, too; nohup, which ignores the signal, is obeyed.
    # Several workers are restarted one after the other by it: that is the library's own meaning.
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        signal.signal(signal.SIGHUP, _hang_up)
    if sys.__stderr__ is not None:
        faulthandler.enable(sys.__stderr__)  # a crash in native code tells where it happened
    with _shared_metrics(settings):
        try:
            return _serve(settings)
        except SystemExit as stopped:
            # The library's own code for a failed start is 3, which is "bad data" with us.
            if stopped.code == STARTUP_FAILURE:
                return 1
            raise


def _check_bundle(settings: Settings) -> None:
    """Verify the bundle, for a plain message; each worker verifies again what it loads.

    A single process imports the application meanwhile. Both take a tenth of a second and more, and
    checksums are computed without the interpreter's lock.
    """
    sys.setswitchinterval(_SWITCH_S)  # or the checksums would wait for the lock 600 times
    with ThreadPoolExecutor(1) as pool:
        verified = pool.submit(open_bundle, settings.bundle)
        if settings.workers == 1:
            import app.api.server  # noqa: F401, PLC0415 - `application` needs it
        verified.result()


def _serve(settings: Settings) -> int:
    config = _config(settings)
    admin = [] if settings.admin_port is None else [_admin_socket(settings)]
    if settings.workers == 1:
        server = DrainingServer(config, settings, more_sockets=admin)
        server.run()
        return server.exit_code
    longest_stop_s = (settings.shutdown_delay_ms + settings.drain_timeout_ms) / 1e3 + _STOP_S
    workers = Workers(_work, [config.bind_socket(), *admin], settings.workers, longest_stop_s)
    return workers.run()


def _admin_socket(settings: Settings) -> socket.socket:
    where = {"host": settings.admin_host, "port": settings.admin_port}
    return _config(settings.model_copy(update=where)).bind_socket()


def _config(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        "app.server_process:application",
        factory=True,
        host=_host(settings),
        port=settings.port,
        http=FastPathProtocol,
        ws="none",
        loop="uvloop",
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whoever counts callers must not trust what they say
        log_config=None,
        # Longer than clients keep idle connections, or they would send on a closed one.
        timeout_keep_alive=75,
    )


def _work(sockets: Sequence[socket.socket], starter: Connection) -> None:
    """Be one of several workers: serve on the sockets, and tell the starter once it answers."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # a terminal that closes: the starter gets it too
    put_off_collections()
    settings = Settings()
    server = DrainingServer(
        _config(settings), settings, on_started=partial(starter.send_bytes, b"ready")
    )
    server.run(list(sockets))
    sys.exit(server.exit_code)


def _host(settings: Settings) -> str:
    """Return the host for the server library; an empty one is a socket for each family.

    The library makes the socket of several workers itself, and that of `::` takes IPv4 too. The one
    of a single worker would listen to IPv6 alone.
    """
    return "" if settings.host == "::" and settings.workers == 1 else settings.host


def export_settings(settings: Settings) -> None:
    """Put the settings into the environment, from which processes started later read them."""
    for name, value in settings.model_dump(mode="json", exclude_none=True).items():
        secret = getattr(settings, name)
        shown = secret.get_secret_value() if isinstance(secret, SecretStr) else value
        os.environ[f"RECSERVE_{name.upper()}"] = str(shown)


def check_addresses(settings: Settings) -> None:
    """Check that all addresses of the settings are free; raises as `check_address`."""
    check_address(settings.host, settings.port)
    if settings.admin_port is not None:
        check_address(settings.admin_host, settings.admin_port)


def check_address(host: str, port: int) -> None:
    """Check that an address is free, before minutes of work are spent.

    The server itself reports anything else that is wrong with an address.

    Raises:
        OSError: it is taken, not one of this machine, or its name is unknown.
    """
    kind = socket.SOCK_STREAM
    name = None if host in _EVERYWHERE else host
    try:
        found = socket.getaddrinfo(name, port, type=kind, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise OSError(error.errno, f"the host {host}: {error.strerror}") from None
    where, unusable = f"{host} port {port}", list[OSError]()
    for family, _, protocol, _, address in found:
        try:  # the system may lack a family that a name has: so the socket is made here as well
            with socket.socket(family, kind, protocol) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                probe.bind(address)
        except OSError as error:
            if error.errno in _TAKEN:
                raise OSError(error.errno, f"{error.strerror}: {where}") from None
            unusable.append(error)
    if len(unusable) == len(found):
        raise OSError(unusable[0].errno, f"{unusable[0].strerror}: {where}")


def application() -> ASGIApp:
    """Return the application of one process; a worker stops when its parent process ends."""
    from app.api.server import create_app  # noqa: PLC0415 - not for the parent of workers

    sys.setswitchinterval(_SWITCH_S)
    if (parent := parent_process()) is not None:
        threading.Thread(
            target=_follow, args=(parent,), name="recserve-parent", daemon=True
        ).start()
    folder = os.environ.get(_METRICS_FOLDER)
    return create_app(tallies=None if folder is None else SharedTallies(Path(folder)))


@contextmanager
def _shared_metrics(settings: Settings) -> Iterator[None]:
    """Make a folder in which several workers count, if there are several; remove it at the end."""
    if settings.workers == 1:
        yield
        return
    # In memory, where the system has such a place: nothing of it is worth a disk.
    place = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="recserve-metrics-", dir=place) as folder:
        os.environ[_METRICS_FOLDER] = folder
        try:
            yield
        finally:
            del os.environ[_METRICS_FOLDER]


def _follow(parent: BaseProcess) -> None:
    # A parent that is killed stops nobody, and its workers would keep the port.
    parent.join()
    if folder := os.environ.get(_METRICS_FOLDER):
        shutil.rmtree(folder, ignore_errors=True)
    os.kill(os.getpid(), signal.SIGTERM)


def _hang_up(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def _stop(*_: object) -> None:
    raise SystemExit(0)
