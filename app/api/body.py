"""The caller's side of a request: reading the body, noticing that the connection was closed."""

import asyncio
from collections.abc import Coroutine, Generator
from types import coroutine
from typing import Any, TypeVar

from starlette.requests import Request

from app.api.reply import header
from app.core.errors import BodyTooLargeError, InvalidRequestError

T = TypeVar("T")


class CallerLeftError(Exception):
    """The connection was closed before the answer was there; nobody will read what is sent."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body, refusing it while it streams once it exceeds `limit` bytes.

    Raises:
        BodyTooLargeError: a declared or actual size over the limit.
        InvalidRequestError: a declared size that is no number.
        CallerLeftError: the caller left before the body was whole.
    """
    declared = header(request.scope["headers"], b"content-length") or b"0"
    if not declared.isdigit():
        raise InvalidRequestError("content-length is not a number")
    size = int(declared)
    chunks: list[bytes] = []
    more = size <= limit
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CallerLeftError
        chunks.append(message.get("body", b""))
        size = sum(map(len, chunks)) if len(chunks) > 1 else len(chunks[0])
        more = message.get("more_body", False) and size <= limit
    if size > limit:
        raise BodyTooLargeError(f"the body may have at most {limit} bytes")
    return b"".join(chunks)


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, but stop it as soon as the caller closes the connection.

    The server tells a handler only if it listens. To be called once the body has been read. Work
    that never waits, such as a cached answer, is not listened for: it costs nothing.

    Raises:
        CallerLeftError: the caller left; the work has been cancelled.
    """
    caller = _Caller(request)
    try:
        return await caller.listening(work)
    except asyncio.CancelledError:
        if caller.left and caller.task.uncancel() == 0:
            raise CallerLeftError from None
        raise


class _Caller:
    """Cancels the task that serves a caller when that caller leaves."""

    __slots__ = ("_request", "left", "task")

    def __init__(self, request: Request) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a coroutine runs in a task
        self.task = task
        self.left = False
        self._request = request

    @coroutine
    def listening(self, work: Coroutine[Any, Any, T]) -> Generator[Any, Any, T]:
        """Run `work` in this very task, listening from where it first waits."""
        try:
            waits_for = work.send(None)
        except StopIteration as done:
            result: T = done.value
            return result
        ears = asyncio.ensure_future(self._listen())
        try:
            while True:
                try:
                    yield waits_for
                except BaseException as error:  # noqa: BLE001 - a cancellation belongs to the work
                    waits_for = work.throw(error)
                else:
                    waits_for = work.send(None)
        except StopIteration as done:
            result = done.value
            return result
        finally:
            ears.cancel()

    async def _listen(self) -> None:
        await self._request.receive()
        self.left = True
        self.task.cancel()
