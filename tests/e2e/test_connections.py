"""Limits of a connection, on a real uvicorn server with real sockets, for both ways to answer."""

import asyncio
from contextlib import suppress

import pytest
import uvloop

from app.api.connection import MAX_HEAD, MAX_HEADERS, MAX_TARGET
from app.api.fast_path import FastPathProtocol
from tests.e2e.test_fast_path import Caller, Reply, Running, post, running

pytestmark = pytest.mark.e2e

_MUCH = 100_000_000
_GET = b"GET /livez HTTP/1.1\r\nhost: test\r\n"


def _code(reply: Reply) -> str:
    found: str = reply.json()["error"]["code"]
    return found


async def _refused(service: Running, *parts: bytes) -> Reply:
    """Return the reply to something that is refused; the connection ends with it."""
    caller = await service.call()
    await caller.send(*parts)
    reply = await caller.reply()
    assert reply.headers["connection"] == "close"
    assert await _ends(caller)
    return reply


async def _ends(caller: Caller) -> bool:
    try:
        return await caller.closed()
    except ConnectionError:  # what was still on its way to us is answered with a reset
        return True


def _heads(path: str) -> list[tuple[bytes, int]]:
    start = f"POST {path} HTTP/1.1\r\nhost: test\r\n".encode()
    many = b"".join(b"x-%d: 1\r\n" % n for n in range(MAX_HEADERS))
    return [
        (start + b"x: " + b"a" * MAX_HEAD + b"\r\n\r\n", 431),
        (start + b"a" * MAX_HEAD + b": x\r\n\r\n", 431),
        (start + many + b"\r\n", 431),
        (f"POST {path}?{'a' * MAX_TARGET} HTTP/1.1\r\nhost: test\r\n\r\n".encode(), 414),
    ]


@pytest.mark.parametrize("path", ["/recommend", "/events"])
async def test_a_head_beyond_the_limits_is_refused(path: str) -> None:
    async with running() as service:
        for head, status in _heads(path):
            cuts = [head[at : at + 5000] for at in range(0, len(head), 5000)]
            for parts in ([head], cuts):
                reply = await _refused(service, *parts)
                assert reply.status == status, head[:60]
                assert _code(reply) in {"headers_too_large", "target_too_long"}


async def test_a_head_that_never_ends_is_refused_long_before_it_takes_memory() -> None:
    async with running() as service:
        caller = await service.call()
        await caller.send(_GET + b"x: ")
        sent = 0
        with suppress(ConnectionError):
            while not caller.writer.is_closing() and sent < _MUCH:
                caller.writer.write(b"a" * 8192)
                await caller.writer.drain()
                await asyncio.sleep(0)
                sent += 8192
        assert sent < _MUCH
        assert (await (await _asked(service, _GET + b"\r\n")).reply()).status == 200


async def _asked(service: Running, request: bytes) -> Caller:
    caller = await service.call()
    await caller.send(request)
    return caller


async def test_heads_up_to_the_limits_are_read() -> None:
    long = b"x: " + b"a" * (MAX_HEAD - 200) + b"\r\n"
    many = b"".join(b"x-%d: 1\r\n" % n for n in range(MAX_HEADERS - 1))
    async with running() as service:
        for headers in (long, many):
            reply = await (await _asked(service, _GET + headers + b"\r\n")).reply()
            assert reply.status == 200


class _Impatient(FastPathProtocol):
    head_s = body_s = 0.2
    look_s = 0.05


class _PatientWithHeads(_Impatient):
    head_s = 60.0


class _Few(FastPathProtocol):
    most_connections = 3


@pytest.mark.parametrize(
    ("protocol", "sent"),
    [
        (_Impatient, b"POST /recommend HTTP/1.1\r\nhost: te"),
        (_Impatient, b"P"),
        (_PatientWithHeads, post(b'{"query": "a"}')[:-4]),
        (_PatientWithHeads, post(b'{"query": "a"}', path="/interpret")[:-4]),
    ],
)
async def test_what_does_not_arrive_in_time_is_refused(
    protocol: type[FastPathProtocol], sent: bytes
) -> None:
    async with running(protocol=protocol) as service:
        caller = await service.call()
        await caller.send(sent)
        reply = await caller.reply()
        assert (reply.status, _code(reply)) == (408, "receive_timeout")
        assert await _ends(caller)


async def test_bytes_that_trickle_in_give_no_more_time() -> None:
    async with running(protocol=_Impatient) as service:
        caller = await service.call()
        trickle = asyncio.create_task(caller.send(_GET, *[b"x: 1\r\n"] * 90))
        assert (await caller.reply()).status == 408
        with suppress(ConnectionError):
            await trickle


async def test_a_connection_that_sends_nothing_is_closed() -> None:
    async with running(protocol=_Impatient, keep_alive_s=1) as service:
        assert await (await service.call()).closed()


async def test_the_engine_may_take_longer_than_a_caller() -> None:
    async with running(protocol=_Impatient) as service:
        caller = await _asked(service, post(b'{"query": "a", "budget_ms": 10000}'))
        waiting = await _asked(service, b"P")
        assert (await waiting.reply()).status == 408  # so much later
        service.engine.release()
        assert (await caller.reply()).status == 200


async def test_of_too_many_connections_the_one_that_waits_longest_ends() -> None:
    async with running(protocol=_Few) as service:
        working = await _asked(service, post(b'{"query": "a", "budget_ms": 10000}'))
        oldest, newer = await service.call(), await service.call()
        await newer.send(_GET + b"\r\n")
        assert (await newer.reply()).status == 200
        late = await _asked(service, _GET + b"\r\n")
        assert (await late.reply()).status == 200
        assert await oldest.closed()
        service.engine.release()
        assert (await working.reply()).status == 200


async def test_where_all_connections_are_answered_another_one_is_refused() -> None:
    async with running(protocol=_Few) as service:
        bodies = [b'{"query": "%d", "budget_ms": 10000}' % n for n in range(3)]
        working = [await _asked(service, post(body)) for body in bodies]
        reply = await (await service.call()).reply()
        assert (reply.status, _code(reply)) == (503, "too_many_connections")
        service.engine.release()
        assert [(await caller.reply()).status for caller in working] == [200] * 3


@pytest.mark.parametrize("path", ["/recommend", "/interpret"])
@pytest.mark.parametrize("protocol", ["h2c", "websocket", "foo/2"])
@pytest.mark.parametrize("cut", [0, 3, -3])
async def test_an_offer_of_another_protocol_is_not_taken(
    path: str, protocol: str, cut: int
) -> None:
    headers = (
        "connection: Upgrade, HTTP2-Settings",
        f"upgrade: {protocol}",
        "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA",
    )
    async with running() as service:
        service.engine.release()
        request = post(b'{"query": "crime"}', *headers, path=path)
        at = request.index(b"\r\n\r\n") + 4 + cut if cut >= 0 else len(request) + cut
        caller = await service.call()
        await caller.send(*filter(None, (request[:at], request[at:])))
        reply = await caller.reply()
        assert reply.status == 200, reply.body
        assert reply.headers["connection"] == "close"


@pytest.mark.parametrize("path", ["/recommend", "/interpret"])
async def test_a_request_names_one_host(path: str) -> None:
    async with running() as service:
        plain = post(b'{"query": "crime"}', path=path)
        for wrong in (
            plain.replace(b"host: test\r\n", b""),
            plain.replace(b"host: test\r\n", b"host: test\r\nHost: other\r\n"),
        ):
            assert (await _refused(service, wrong)).status == 400
        old = b"GET /livez HTTP/1.0\r\n\r\n"
        assert (await (await _asked(service, old)).reply()).status == 200


async def test_it_is_no_proxy() -> None:
    async with running() as service:
        reply = await _refused(
            service, b"CONNECT a.example:443 HTTP/1.1\r\nhost: a.example\r\n\r\n"
        )
        assert reply.status == 400


async def test_a_refusal_comes_after_the_answer_to_an_earlier_request() -> None:
    async with running() as service:
        caller = await _asked(service, post(b'{"query": "a", "budget_ms": 10000}'))
        await caller.send(b"GET / HTTP/9.9\r\n\r\n")
        service.engine.release()
        assert (await caller.reply()).status == 200
        assert (await caller.reply()).status == 400
        assert await _ends(caller)


@pytest.mark.parametrize("path", ["/recommend", "/interpret"])
async def test_what_follows_a_chunked_body_takes_no_memory(path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    body = b'{"query": "a"}'
    chunk = b"%x\r\n%b\r\n" % (len(body), body)
    endless = (
        (chunk + b"0\r\n", b"x: " + b"a" * 100 + b"\r\n"),
        (chunk + b"0\r\nx: ", b"a" * 100),
        (b"%x;x=" % len(body), b"a" * 100),
    )
    async with running() as service:
        service.engine.release()
        for begin, piece in endless:
            caller = await _asked(service, head + begin)
            sent = 0
            with suppress(ConnectionError):
                while sent < _MUCH and not caller.writer.is_closing():
                    caller.writer.write(piece * 80)
                    await caller.writer.drain()
                    await asyncio.sleep(0)
                    sent += len(piece) * 80
            assert sent < _MUCH


async def test_what_follows_a_chunked_body_is_no_header_of_the_request() -> None:
    head = b"POST /interpret HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
    body = b'{"query": "a"}'
    chunks = b"%x\r\n%b\r\n0\r\n" % (len(body), body)
    async with running() as service:
        caller = await _asked(
            service, head + chunks + b"content-encoding: br\r\nHost: other\r\n\r\n"
        )
        assert (await caller.reply()).status == 200


async def test_many_tiny_chunks_are_read_in_time() -> None:
    body = b'{"query": "' + b"a" * 500 + b'"}'
    padded = body + b" " * 20_000
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in padded) + b"0\r\n\r\n"
    head = b"POST /interpret HTTP/1.1\r\nhost: test\r\ntransfer-encoding: chunked\r\n\r\n"
    async with running() as service:
        caller = await _asked(service, head + chunks)
        assert (await caller.reply()).status == 200


_SLOW = post(b'{"requests": [{"query": "slow"}]}', path="/recommend/batch")
_BAD = b"GET /livez HTTP/1.1\r\n\r\n"


async def _leave_often() -> None:
    """Leave while the first of several requests is answered; nothing of that is a fault of ours."""
    get = _GET + b"\r\n"
    plain = post(b'{"query": "a"}')
    async with running() as service:
        service.engine.release()
        for n in range(20):
            for sent in (_SLOW + get, _SLOW * 3, plain + _SLOW * 2, _SLOW + plain, _SLOW + _BAD):
                caller = await service.call()
                caller.writer.write(sent)
                await caller.writer.drain()
                await asyncio.sleep(0.001 * (n % 3))
                caller.writer.transport.abort()
        await service.until(lambda: not service.server.server_state.connections)
        await service.until(lambda: not service.server.server_state.tasks)
        batches = {status: service.counted(status, "/recommend/batch") for status in (200, 499)}
        assert sum(batches.values()) >= 20
        assert batches[499] > 0
        assert service.counted(500, "/recommend/batch") == service.counted(500) == 0


def test_callers_that_leave_requests_behind_are_no_fault(caplog: pytest.LogCaptureFixture) -> None:
    uvloop.run(_leave_often())  # the loop of the service: others take what is written late

    assert [entry for entry in caplog.records if entry.levelname == "ERROR"] == []
