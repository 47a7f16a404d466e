"""A Redis client with strict limits: it never waits longer than its timeout, and never retries.

It also says in plain words which Redis it is and why a call failed, for the log.
"""

import asyncio
import os
import socket
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection, Connection, parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, ReadOnlyError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError


@dataclass(frozen=True, slots=True)
class RedisLimits:
    """Limits of a Redis client.

    Attributes:
        ttl_s: lifetime of a cached value, ± 10 % so that values do not all expire together.
        timeout_s: longest time of one operation, including the wait for a connection.
        max_connections: most connections of this process.
    """

    ttl_s: float
    timeout_s: float
    max_connections: int


class _Careful(AbstractConnection):
    """A connection that loses no cancellation, and leaves a Redis that is now a replica.

    The library sends under `asyncio.wait_for`. In Python 3.11 that loses a cancellation that
    arrives as the sending ends; then a caller with less time waits for the whole time of the
    client. Whether one was lost shows in the number of cancellations of the task.

    A failover may turn a primary into a replica that keeps its connections. Those would be refused
    for ever, while a new connection reaches the new primary behind the same name.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        task = asyncio.current_task()
        cancelled_before = task.cancelling() if task else 0
        await super().send_packed_command(command, check_health)
        if task and task.cancelling() > cancelled_before:
            await self.disconnect(nowait=True)  # or the reply would reach the next caller
            raise asyncio.CancelledError

    async def read_response(self, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - as the library's
        try:
            return await super().read_response(*args, **options)
        except ResponseError as error:
            # Redis 6 hides the code of an error of a script in its text.
            if isinstance(error, ReadOnlyError) or "-READONLY " in str(error):
                await self.disconnect(nowait=True)
            raise


def open_client(url: str, limits: RedisLimits) -> Redis:
    """Return a client that waits at most `limits.timeout_s` for anything and never retries.

    The library's own defaults (5 s, 10 retries) would turn a slow cache into a slow service. They
    are overridden here and not by `from_url`, where the query part of the URL would win.
    Nothing is connected yet.

    Raises:
        ValueError: the URL is not a Redis URL, or names an option that does not exist.
    """
    options: dict[str, Any] = dict(parse_url(url))
    kind = options.get("connection_class", Connection)
    options |= {
        "connection_class": type(kind.__name__, (_Careful, kind), {}),
        "socket_timeout": limits.timeout_s,
        "socket_connect_timeout": limits.timeout_s,
        "timeout": limits.timeout_s,  # for a free connection of the pool
        "max_connections": limits.max_connections,
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "retry_on_timeout": False,
        "health_check_interval": 0,
        "decode_responses": False,
        "protocol": 2,  # no handshake: a new connection costs no round trip
        "driver_info": None,
    }
    pool = BlockingConnectionPool(**options)
    try:
        # This connects nothing. It shows a wrong option now; later it would look like cache misses.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except TypeError as error:
        raise ValueError("the Redis URL names an unknown option") from error
    return Redis.from_pool(pool)


def address_of(client: Redis) -> str:
    """Return where a Redis is, without its password: `host:port`, or the path of a socket."""
    where = client.connection_pool.connection_kwargs
    if "path" in where:
        return str(where["path"])
    return f"{where.get('host', 'localhost')}:{where.get('port', 6379)}"


def cause_of(error: BaseException) -> str:
    """Return why a call failed, in plain words."""
    if isinstance(error, AuthenticationError):
        return "it does not take the password"
    if isinstance(error, ResponseError):
        return f"it says {error}"
    if isinstance(error, TimeoutError | RedisTimeoutError):
        return "no answer in time"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, socket.gaierror):
            return "its name is not known"
        if isinstance(cause, OSError) and cause.errno:
            return os.strerror(cause.errno).lower()
        cause = cause.__cause__ or cause.__context__
    return "the connection broke"
