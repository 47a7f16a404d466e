"""The port of API keys: where they are kept, and how a running service follows their changes.

There are two ways to keep them: in a file (`key_file`), or in the store of the events, for all
replicas (`stored_keys`). Both pass the suite `tests/contract/test_key_store.py`.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from app.core.errors import AppError, StoreError, UsageError
from app.serving.access.key_ring import KeyRing
from app.serving.access.keys import ApiKey

_WATCH_S: Final = 0.5
_NEVER_READ: Final = object()

log = logging.getLogger(__name__)


class KeyStore(Protocol):
    """API keys. Several processes may share them.

    Once a change has returned, every read that starts later sees it, in any process. Every method
    raises `UsageError` or `StoreError` if the keys cannot be used.
    """

    async def state(self) -> object:
        """Return what differs after every change of the keys. Cheap."""
        ...

    async def keys(self) -> tuple[ApiKey, ...]:
        """Return all keys, in the order in which they were added."""
        ...

    async def add(self, key: ApiKey) -> None:
        """Add a key."""
        ...

    async def revoke(self, key_id: str) -> None:
        """Take a key away. Raises `UsageError` if there is none of this id."""
        ...

    async def aclose(self) -> None:
        """Release all resources. Idempotent."""
        ...


class KeyFollower:
    """Puts the keys of a store into a ring whenever they have changed.

    Keys that cannot be read any more do not lock everybody out, nor let anybody in: those that were
    read last are valid on, and the log says so.
    """

    def __init__(self, ring: KeyRing, store: KeyStore) -> None:
        """Follow `store`; nothing is read yet."""
        self._ring, self._store = ring, store
        self._seen: object = _NEVER_READ
        self._failed = ""

    async def look(self) -> None:
        """Read the keys, if they have changed since they were read last."""
        try:
            # The state first: a change in between is read again.
            now = await self._store.state()
            if now == self._seen and not self._failed:
                return
            keys = await self._store.keys()
        except (StoreError, UsageError) as error:
            self._say(error)
            return
        if self._seen is not _NEVER_READ:
            log.info("keys read again", extra={"keys": len(keys)})
        self._seen, self._failed = now, ""
        self._ring.replace(keys)

    async def run(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Look twice a second; runs until cancelled."""
        while True:
            await sleep(_WATCH_S)
            await self.look()

    def _say(self, error: AppError) -> None:
        if error.message != self._failed:
            log.error("keys stay as they are: %s", error.message)
        self._failed = error.message
