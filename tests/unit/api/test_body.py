"""Reading a body, and stopping the work for a caller that leaves."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request

from app.api.body import CallerLeftError, read_body, unless_left
from app.core.errors import BodyTooLargeError

Receive = Callable[[], Awaitable[dict[str, Any]]]


def request(receive: Receive, headers: list[tuple[bytes, bytes]] | None = None) -> Request:
    return Request({"type": "http", "headers": headers or []}, receive)


class Line:
    """A connection with given messages; it counts the calls that listened and that still listen."""

    def __init__(self, *messages: dict[str, Any]) -> None:
        self.messages = list(messages)
        self.listened = self.listening = 0
        self.closed = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        self.listened += 1
        if self.messages:
            return self.messages.pop(0)
        self.listening += 1
        try:
            await self.closed.wait()
        finally:
            self.listening -= 1
        return {"type": "http.disconnect"}


async def test_work_gets_what_it_waits_for_and_nobody_listens_when_it_is_done() -> None:
    line = Line()

    async def work() -> str:
        words = []
        for word in ("a", "b"):
            future = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().call_soon(future.set_result, word)
            words.append(await future)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        return "".join(words)

    assert await unless_left(request(line.receive), work()) == "ab"
    await asyncio.sleep(0)
    assert (line.listened, line.listening) == (1, 0)


async def test_a_caller_that_leaves_cancels_the_work_and_nothing_else() -> None:
    line, ended = Line(), []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    line.closed.set()
    with pytest.raises(CallerLeftError):
        await unless_left(request(line.receive), work())

    assert ended == ["cancelled"]
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_a_cancellation_from_outside_stays_one() -> None:
    started, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    task = asyncio.create_task(unless_left(request(Line().receive), work()))
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended.is_set()


async def test_an_error_of_the_work_comes_through() -> None:
    async def work() -> None:
        await asyncio.sleep(0)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await unless_left(request(Line().receive), work())


async def test_a_body_in_parts_is_whole_and_bounded() -> None:
    def parts(*bodies: bytes) -> Line:
        more = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]
        return Line(*more, {"type": "http.request"})

    assert await read_body(request(parts(b"ab", b"", b"c").receive), 3) == b"abc"
    over = parts(b"ab", b"cd", b"ef")
    with pytest.raises(BodyTooLargeError):
        await read_body(request(over.receive), 3)
    assert over.listened == 2
    with pytest.raises(BodyTooLargeError):
        await read_body(request(Line().receive, [(b"content-length", b"4")]), 3)


async def test_a_caller_that_leaves_in_the_middle_of_the_body_has_left() -> None:
    line = Line({"type": "http.request", "body": b"a", "more_body": True})
    line.closed.set()

    with pytest.raises(CallerLeftError):
        await read_body(request(line.receive), 10)
