"""Reading a request's body, and stopping its work when the caller closes the connection.

Used by the routes of FastAPI; `app.api.fast_path` reads and stops in its own way.
"""

import asyncio
import zlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import orjson
from starlette.requests import Request

from app.api.reply import header
from app.core.errors import BodyTooLargeError, InvalidRequestError, UnsupportedEncodingError
from app.core.strict_json import check_names, check_size

T = TypeVar("T")

_PLAIN: Final = (b"", b"identity")
_GZIP: Final = (b"gzip", b"x-gzip")
_GZIP_FORMAT: Final = 16 + zlib.MAX_WBITS

_TURN_BYTES: Final = 32_768
"""So much of a body is worked on at once, before others have their turn."""


class CallerLeftError(Exception):
    """The caller closed the connection before there was an answer: nobody would read one."""


async def read_body(request: Request, limit: int) -> bytes:
    """Return the body; refuse it as soon as more than `limit` bytes are declared or received.

    A body that was compressed with gzip is decompressed. The limit holds for both sizes.

    Raises:
        BodyTooLargeError: the declared or the actual size is over the limit.
        InvalidRequestError: the declared size is no number, or the gzip is damaged.
        UnsupportedEncodingError: it is compressed in another way.
        CallerLeftError: the caller left before the whole body was received.
    """
    coding = (header(request.scope["headers"], b"content-encoding") or b"").strip().lower()
    if coding not in _PLAIN and coding not in _GZIP:
        raise UnsupportedEncodingError("a body may be compressed with gzip, and with nothing else")
    declared = header(request.scope["headers"], b"content-length") or b"0"
    if not declared.isdigit():
        raise InvalidRequestError("content-length is not a number")
    chunks: list[bytes] = []
    size, received = int(declared), 0
    more = size <= limit
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise CallerLeftError
        chunks.append(message.get("body", b""))
        received += len(chunks[-1])
        more = message.get("more_body", False) and received <= limit
    if max(size, received) > limit:
        raise BodyTooLargeError(f"the body may have at most {limit} bytes")
    body = b"".join(chunks)
    return body if coding in _PLAIN else _inflated(body, limit)


def loaded(body: bytes) -> Any:  # noqa: ANN401 - any JSON
    """Return the value of a body in JSON.

    It refuses what `app.api.problems.read_as` does, and numbers that no other reader could hold.

    Raises:
        InvalidRequestError: it is no strict JSON, is too much, or has a number that is too large.
    """
    check_size(body)
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise InvalidRequestError(f"this is no JSON that can be kept: {error}") from error
    check_names(body, 0)
    return value


async def in_turns(entries: Sequence[Any], body: bytes, judge: Callable[[int, Any], T]) -> list[T]:
    """Return `judge(position, entry)` of each entry of a body; other callers have turns between.

    A short body is worked on at once.
    """
    at_once = max(1, len(entries) * _TURN_BYTES // max(1, len(body)))
    judged: list[T] = []
    for start in range(0, len(entries), at_once):
        if start or len(body) > _TURN_BYTES:  # to read the JSON of a long body was a turn itself
            await asyncio.sleep(0)
        some = entries[start : start + at_once]
        judged += [judge(start + n, entry) for n, entry in enumerate(some)]
    return judged


def _inflated(body: bytes, limit: int) -> bytes:
    """Return a gzip body decompressed; at most `limit` + 1 bytes are ever made of it."""
    gzip = zlib.decompressobj(_GZIP_FORMAT)
    try:
        inflated = gzip.decompress(body, limit + 1)
    except zlib.error:
        raise InvalidRequestError("the body is not sound gzip") from None
    if len(inflated) > limit:
        raise BodyTooLargeError(f"the body may have at most {limit} bytes once decompressed")
    if not gzip.eof or gzip.unused_data:
        raise InvalidRequestError("the gzip body is cut off, or goes on after its end")
    return inflated


async def unless_left(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """Return what `work` returns, but cancel it if the caller closes the connection meanwhile.

    Call this after the body has been read: then the server has one more message, that the caller
    has left.

    Raises:
        CallerLeftError: the caller left; the work was cancelled.
    """
    answer = asyncio.ensure_future(work)
    disconnect = asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({answer, disconnect}, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        raise CallerLeftError
    finally:
        disconnect.cancel()
        if answer.cancel():
            await asyncio.wait({answer})
