"""What `recserve keys` does: add, list and revoke API keys, in a file or in the store."""

import re
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from app.core.caller import NAMESPACE_NAME
from app.core.errors import UsageError
from app.core.settings import Settings
from app.domain.request_parts import CONTROL_NAME
from app.serving.access.kept_key import LIMIT_NAMES, limits_said
from app.serving.access.key_store import KeyStore
from app.serving.access.keys import ApiKey, Role, new_key
from app.serving.access.limits import (
    HIGHEST_BURST,
    HIGHEST_RATE,
    LOWEST_RATE,
    NO_LIMITS,
    KeyLimits,
    Priority,
)
from app.serving.stores.opening import open_key_store


@asynccontextmanager
async def opened_keys(settings: Settings) -> AsyncIterator[KeyStore]:
    """Open the keys of the settings, and close them at the end of the block.

    A store that is named, and no file, means that the keys are in the store.

    Raises:
        UsageError: nothing says where the keys are.
        StoreError: the store cannot be used.
    """
    if settings.api_keys_file is None and settings.store_url is not None:
        settings = settings.model_copy(update={"api_keys": "store"})
    keys = open_key_store(settings)
    if keys is None:
        raise UsageError(
            "which keys? give --api-keys-file for a file, --store-url for a store, or set "
            "RECSERVE_API_KEYS_FILE or RECSERVE_API_KEYS=store"
        )
    try:
        yield keys
    finally:
        await keys.aclose()


async def added(  # noqa: PLR0913 - each is a flag
    keys: KeyStore,
    role: Role,
    note: str,
    *,
    namespace: str = "",
    scenarios: Sequence[str] = (),
    limits: KeyLimits = NO_LIMITS,
    priority: Priority | None = None,
) -> tuple[str, Mapping[str, Any]]:
    """Add a new key, and return what its holder sends, and what `listed` shows of it.

    Args:
        keys: where it is added.
        role: what the holder may do.
        note: whose the key is.
        namespace: to which it is bound; "" = to none.
        scenarios: to which it is bound; () = to none.
        limits: what it may spend.
        priority: how urgent its requests are; None = as its role says.

    Raises:
        UsageError, StoreError: the keys cannot be changed, or the key cannot be bound so.
    """
    _check_name(namespace, NAMESPACE_NAME, "--namespace")
    for name in scenarios:
        _check_name(name, CONTROL_NAME, "--scenario")
    sent, key = new_key(role, note, time.time(), namespace=namespace, scenarios=scenarios)
    key = replace(key, limits=limits, chosen_priority=priority)
    await keys.add(key)
    return sent, _facts(key)


def checked_limits(rate: float | None, burst: int | None, language_rate: float | None) -> KeyLimits:
    """Return the limits that a command names. Raises `UsageError`."""
    for flag, value in (("--rate", rate), ("--language-rate", language_rate)):
        if value is not None and not LOWEST_RATE <= value <= HIGHEST_RATE:
            raise UsageError(f"{flag} is {LOWEST_RATE:g} to {HIGHEST_RATE:,.0f} a second")
    if burst is not None and rate is None:
        raise UsageError("--burst says how many of --rate may come at once: give --rate as well")
    if burst is not None and not 1 <= burst <= HIGHEST_BURST:
        raise UsageError(f"--burst is 1 to {HIGHEST_BURST:,}")
    return KeyLimits(rate, burst, language_rate)


async def listed(keys: KeyStore) -> list[Mapping[str, Any]]:
    """Return what is known of each key. Raises `UsageError` or `StoreError`."""
    return [_facts(key) for key in await keys.keys()]


async def revoked(keys: KeyStore, key_id: str) -> str:
    """Take a key away, and return a sentence. Raises `UsageError` or `StoreError`."""
    await keys.revoke(key_id)
    return f"key {key_id} is revoked; running services refuse it within a second"


def _facts(key: ApiKey) -> Mapping[str, Any]:
    created = datetime.fromtimestamp(key.created_at, UTC).isoformat(timespec="seconds")
    return {
        "id": key.id,
        "role": key.role,
        "created_at": created,
        "note": key.note,
        "namespace": key.namespace,
        "scenarios": list(key.scenarios),
        **limits_said(key),
    }


def _check_name(name: str, pattern: str, flag: str) -> None:
    if name and not re.fullmatch(pattern, name):
        raise UsageError(
            f"{flag} takes 1 to 64 letters, digits, and . _ - after the first: not {name!r}"
        )


def key_line(facts: Mapping[str, Any]) -> str:
    """Return what `listed` says of a key as one line.

    >>> key_line({"id": "0a", "role": "read", "note": "", "namespace": "shop", "scenarios": ["x"]})
    '0a  read  namespace shop  scenarios x'
    >>> key_line({"id": "0a", "role": "read", "namespace": "", "scenarios": [], "rate": 5.0})
    '0a  read  rate 5.0'
    """
    bound = [f"namespace {facts['namespace']}"] if facts["namespace"] else []
    if facts["scenarios"]:
        bound.append(f"scenarios {','.join(facts['scenarios'])}")
    bound += [f"{name} {facts[name]}" for name in LIMIT_NAMES if name in facts]
    named = {"namespace", "scenarios", *LIMIT_NAMES}
    said = [str(value) for name, value in facts.items() if name not in named and value]
    return "  ".join([*said, *bound])
