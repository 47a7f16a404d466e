"""From settings to the keys of a service: who may call it, and where it may listen.

no keys          callers without a key may do everything on this machine; beyond it they are
answered only if the settings say so, and are never administrators
keys             callers need a key; if the settings say so, without one they may read
"""

import ipaddress
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from app.core.errors import UsageError
from app.core.lane import OPEN_LANE, Lane
from app.core.life import Life
from app.core.settings import Settings
from app.core.telemetry import Metrics
from app.serving.access.accounts import Accounts
from app.serving.access.key_file import read_keys
from app.serving.access.key_ring import KeyRing
from app.serving.access.key_store import KeyFollower, KeyStore
from app.serving.access.keys import Role
from app.serving.access.limits import KeyLimits
from app.serving.access.refusals import Refusals


def is_loopback(host: str) -> bool:
    """Tell whether an address is reached from this machine alone.

    >>> is_loopback("127.0.0.1"), is_loopback("localhost"), is_loopback("0.0.0.0")
    (True, True, False)
    """
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_access(settings: Settings) -> None:
    """Refuse to listen beyond this machine where nobody needs a key.

    Raises:
        UsageError: the settings allow that, or the file of keys cannot be used.
    """
    if settings.admin_port is not None and settings.admin_port == settings.port:
        raise UsageError("admin_port is the port of all other requests: choose another one")
    if settings.api_keys is not None and settings.api_keys_file is not None:
        raise UsageError("keys are in a file or in the store: set api_keys or api_keys_file")
    if settings.api_keys_file is not None:
        read_keys(settings.api_keys_file)
    if settings.has_keys:
        return
    reached = [host for host in _hosts(settings) if not is_loopback(host)]
    if reached and not settings.allow_anonymous:
        raise UsageError(
            f"{reached[0]} is reached by other machines, and nobody needs a key: make one with "
            "recserve keys add --api-keys-file FILE and set RECSERVE_API_KEYS_FILE, or set "
            "RECSERVE_ALLOW_ANONYMOUS=1"
        )


def _hosts(settings: Settings) -> list[str]:
    """Return all addresses on which the service listens."""
    return [settings.host] if settings.admin_port is None else [settings.host, settings.admin_host]


def key_ring(settings: Settings, metrics: Metrics) -> KeyRing:
    """Return the keys of the settings, with their accounts. Raises `UsageError`."""
    limits = KeyLimits(
        settings.anonymous_rate, settings.anonymous_burst, settings.anonymous_language_rate
    )
    accounts = Accounts(
        limits=limits,
        on_refused=Refusals(metrics).count,
        # Beside keys, callers without one are one more caller; alone, they share the whole queue.
        strangers_lane=Lane("anonymous") if settings.has_keys else OPEN_LANE,
    )
    if settings.has_keys:
        path = settings.api_keys_file
        anonymous: Role | None = "read" if settings.allow_anonymous else None
        return KeyRing(None if path is None else read_keys(path), anonymous, accounts)
    alone = all(map(is_loopback, _hosts(settings)))
    return KeyRing((), "admin" if alone else "write", accounts)


@asynccontextmanager
async def following(ring: KeyRing, store: KeyStore | None, life: Life) -> AsyncIterator[None]:
    """Follow the changes of the keys, if there are any, while the block runs; close their store.

    The keys are read before the block begins: they may have changed while the service was loaded.
    """
    if store is None:
        yield
        return
    follower = KeyFollower(ring, store)
    await follower.look()
    task = life.keep(follower.run(), "recserve-keys")
    try:
        yield
    finally:
        task.cancel()
        await store.aclose()
