"""API keys in the store of the events: `KeyStore` over a `ControlStore`.

The keys belong to no bundle: all services on one store have the same.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from pydantic import ValidationError

from app.core.control_port import ControlStore
from app.core.errors import UsageError
from app.serving.access.kept_key import KeptKey, key_text
from app.serving.access.keys import ApiKey

NAMESPACE_OF_KEYS: Final = ""
"""The namespace of the store in which the keys are; no bundle has this name."""

log = logging.getLogger(__name__)


class StoredKeys:
    """`KeyStore` over a store of entries, which it owns and closes."""

    def __init__(self, store: ControlStore, now: Callable[[], float] = time.time) -> None:
        """Keep keys in `store`, which is of `NAMESPACE_OF_KEYS`. `now`: unix seconds."""
        self._store, self._now = store, now

    def __repr__(self) -> str:
        return f"<StoredKeys in {self._store!r}>"

    async def state(self) -> object:
        """Return the number of the newest change."""
        return await self._store.number()

    async def keys(self) -> tuple[ApiKey, ...]:
        """Return all keys; one that cannot be read is left out, and the log says so."""
        found: list[ApiKey] = []
        for entry in (await self._store.read()).entries:
            try:
                found.append(KeptKey.model_validate_json(entry.text).key())
            except ValidationError:
                log.warning("the stored key %s cannot be read; it is left out", entry.name)
        return tuple(found)

    async def add(self, key: ApiKey) -> None:
        """Add a key."""
        await self._store.put("key", [(key.id, key_text(key))], self._now())

    async def revoke(self, key_id: str) -> None:
        """Take a key away."""
        if not await self._store.delete("key", key_id):
            raise UsageError(f"there is no key {key_id}; recserve keys list shows them")

    async def aclose(self) -> None:
        """Close the store. Idempotent."""
        await self._store.aclose()
