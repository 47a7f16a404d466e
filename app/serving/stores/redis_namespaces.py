"""The namespaces of the Redis event store: where the keys of each one are.

    recserve:store:2:NAME:…     keys of the namespace NAME, percent-encoded
    recserve:store:1:…          keys of an older version, which knew no namespaces
    recserve:store:1:owner      the namespace to which these belong now
    recserve:store:names        set: the names of all namespaces that were ever opened

Nothing is moved when a namespace gets what an older version stored: its keys stay where they are.
"""

import logging
from typing import Any, Final
from urllib.parse import quote

from redis.asyncio import Redis

from app.serving.stores.namespaces import adopted

_OLDER: Final = b"recserve:store:1:"
_OWNER: Final = _OLDER + b"owner"
_NAMES: Final = b"recserve:store:names"
_EVENTS: Final = b"events"
_SCAN: Final = 1000
_CLAIM: Final = """
-- key of the owner, key of the names, namespace, '1' = an older version has stored something
redis.call('SADD', ARGV[2], ARGV[3])
local new = ARGV[4] == '1' and redis.call('SETNX', ARGV[1], ARGV[3]) or 0
return {redis.call('GET', ARGV[1]) or '', new}
"""

_log = logging.getLogger(__name__)


async def open_namespace(client: Redis, namespace: str) -> bytes:
    """Return the prefix of the keys of a namespace.

    The first namespace that is opened in a store of an older version gets what is in it.
    """
    older = not await client.exists(_NAMES) and await _holds_older(client)
    reply: Any = client.eval(_CLAIM, 0, _OWNER, _NAMES, namespace.encode(), int(older))
    owner, new = await reply
    if new:
        _log.warning("%s", adopted(namespace))
    return _prefix(namespace.encode(), owner)


async def filled_namespaces(client: Redis) -> list[str]:
    """Return the names of the namespaces that hold events, sorted."""
    reply: Any = client.smembers(_NAMES)
    names = sorted(await reply)
    owner: Any = await client.get(_OWNER) or b""
    pipe = client.pipeline(transaction=False)
    for name in names:
        pipe.exists(_prefix(name, owner) + _EVENTS)
    found: list[int] = await pipe.execute() if names else []
    return [name.decode() for name, there in zip(names, found, strict=True) if there]


def _prefix(namespace: bytes, owner: bytes) -> bytes:
    if owner and namespace == owner:
        return _OLDER
    # Encoded, so that no name is the beginning of another one's keys, and none has a wildcard.
    return b"recserve:store:2:" + quote(namespace, safe="").encode() + b":"


async def _holds_older(client: Redis) -> bool:
    if await client.exists(_OLDER + _EVENTS):
        return True
    # Attributes of users, without an event. All keys are looked at, but only before the first
    # namespace is opened.
    async for _ in client.scan_iter(match=_OLDER + b"u:*", count=_SCAN):
        return True
    return False
