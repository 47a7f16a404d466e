"""Where a request ends: one table of raw requests, with the same answers on every way.

Two readers of one connection that differ in this let a caller slip a request past one of them. So
what is not sound is refused, and the connection ends. Each request is sent on the fast path, around
it, and to another route; in one piece, and byte by byte.
"""

import asyncio
import re
from contextlib import suppress
from typing import Final

import pytest

from tests.e2e.test_fast_path import Running, running

pytestmark = pytest.mark.e2e

WAYS: Final = {
    "fast": (b"/recommend", b'{"k":1,"query":"a"}'),
    "long": (b"/recommend?way=long", b'{"k":1,"query":"a"}'),
    "another": (b"/interpret", b'{"query":"aaaaaaa"}'),
}
N: Final = b"19"
"""Bytes of each body."""

HEAD: Final = b"POST PATH HTTP/1.1\r\nhost: t\r\n"
LIVE: Final = b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n"
CHUNKS: Final = b"13\r\nBODY\r\n0\r\n\r\n"


def long(*headers: bytes, size: bytes = N, rest: bytes = b"BODY") -> bytes:
    """A request with a body of declared length."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"content-length: " + size + b"\r\n\r\n" + rest


def chunked(rest: bytes = CHUNKS, *headers: bytes, coding: bytes = b"chunked") -> bytes:
    """A request with a body in chunks."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return HEAD + lines + b"transfer-encoding: " + coding + b"\r\n\r\n" + rest


ENDS, STAYS = True, False

SOUND: Final = {
    "declared length": (long(), [200], STAYS),
    "length with zeros before it": (long(size=b"000" + N), [200], STAYS),
    "chunks": (chunked(), [200], STAYS),
    "chunks, in capitals": (chunked(coding=b"CHUNKED"), [200], STAYS),
    "several chunks": (
        chunked(b"1\r\n{\r\n12\r\nRESTOFBODY\r\n0\r\n\r\n"),
        [200],
        STAYS,
    ),
    "chunk extensions": (chunked(b'13;a=b;c="d"\r\nBODY\r\n0;e\r\n\r\n'), [200], STAYS),
    "trailers": (chunked(b"13\r\nBODY\r\n0\r\nhost: u\r\nx: y\r\n\r\n"), [200], STAYS),
    "another pipelined": (long() + LIVE, [200, 200], STAYS),
    "the same pipelined": (long() + long(), [200, 200], STAYS),
    "pipelined before": (LIVE + long(), [200, 200], STAYS),
    "pipelined after chunks": (chunked() + LIVE + chunked(), [200, 200, 200], STAYS),
    "empty lines between": (long() + b"\r\n\r\n" + LIVE, [200, 200], STAYS),
    "empty lines before": (b"\r\n\r\n" + long(), [200], STAYS),
    "go-ahead, length": (long(b"expect: 100-continue"), [100, 200], STAYS),
    "go-ahead, chunks": (chunked(CHUNKS, b"expect: 100-continue"), [100, 200], STAYS),
    "another expectation": (long(b"expect: tea"), [200], STAYS),
    "absolute form": (long().replace(b"PATH", b"http://tPATH"), [200], STAYS),
    "no body": (HEAD + b"\r\n", [422], STAYS),
    "HTTP/1.0": (long().replace(b"HTTP/1.1", b"HTTP/1.0"), [200], ENDS),
    "the last one": (long(b"connection: close") + LIVE, [200], ENDS),
    "another protocol": (long(b"connection: upgrade", b"upgrade: h2c") + LIVE, [200], ENDS),
    "rubbish after it": (long() + b"rubbish\r\n\r\n", [200, 400], ENDS),
    "a body longer than it says": (long(size=b"5"), [422, 400], ENDS),
}

UNSOUND: Final = {
    "length and chunks": long(b"transfer-encoding: chunked", rest=CHUNKS),
    "chunks and length": chunked(CHUNKS, b"content-length: 19"),
    "chunks and length 0": chunked(CHUNKS, b"content-length: 0"),
    "a request in the body": long(
        b"transfer-encoding: chunked", size=b"30", rest=b"0\r\n\r\nGET /metrics HTTP/1.1\r\nx: "
    ),
    "two lengths alike": long(b"content-length: 19"),
    "two lengths": long(b"content-length: 5"),
    "a list of lengths": long(size=N + b", " + N),
    "length with a plus": long(size=b"+19"),
    "length below 0": long(size=b"-1"),
    "length in hexadecimals": long(size=b"0x13"),
    "length with a blank": long(size=b"1 9"),
    "length with _": long(size=b"1_9"),
    "length without end": long(size=b"9" * 30),
    "length of 64 bits and more": long(size=b"18446744073709551635"),
    "length on the next line": HEAD + b"content-length:\r\n 19\r\n\r\nBODY",
    "length, blank before the colon": HEAD + b"content-length : 19\r\n\r\nBODY",
    "chunks, blank before the colon": HEAD + b"transfer-encoding : chunked\r\n\r\n" + CHUNKS,
    "folded header": long(b"x: a\r\n b"),
    "blank before a colon": long(b"x : a"),
    "blank before the first header": long().replace(b"host", b" host"),
    "line feeds": long().replace(b"\r\n", b"\n"),
    "one line feed": long().replace(b"t\r\n", b"t\n", 1),
    "carriage return": long(b"x: a\rb"),
    "NUL in a value": long(b"x: a\x00b"),
    "NUL in a name": long(b"x\x00: a"),
    "no colon": long(b"xyz"),
    "no name": long(b": a"),
    "coding identity": chunked(coding=b"identity"),
    "gzip, then chunks": chunked(coding=b"gzip, chunked"),
    "chunks, then gzip": chunked(coding=b"chunked, gzip"),
    "chunks twice": chunked(CHUNKS, b"transfer-encoding: chunked"),
    "chunks twice in a list": chunked(coding=b"chunked, chunked"),
    "xchunked": chunked(coding=b"xchunked"),
    "chunked with a weight": chunked(coding=b"chunked;q=1"),
    "chunked after a tab of another kind": chunked(coding=b"\x0bchunked"),
    "chunks in HTTP/1.0": chunked().replace(b"HTTP/1.1", b"HTTP/1.0"),
    "size of a chunk overflows": chunked(b"10000000000000013\r\nBODY\r\n0\r\n\r\n"),
    "size of a chunk below 0": chunked(b"-13\r\nBODY\r\n0\r\n\r\n"),
    "size of a chunk with 0x": chunked(b"0x13\r\nBODY\r\n0\r\n\r\n"),
    "size of a chunk after a blank": chunked(b" 13\r\nBODY\r\n0\r\n\r\n"),
    "size of a chunk before a blank": chunked(b"13 \r\nBODY\r\n0\r\n\r\n"),
    "no size of a chunk": chunked(b"\r\nBODY\r\n0\r\n\r\n"),
    "no line break after a chunk": chunked(b"13\r\nBODY0\r\n\r\n"),
    "line feeds around chunks": chunked(b"13\nBODY\n0\n\n"),
    "line feed after an extension": chunked(b"13;a\nBODY\r\n0\r\n\r\n"),
    "a length after the chunks": chunked(b"13\r\nBODY\r\n0\r\ncontent-length: 5\r\n\r\n"),
    "HTTP/0.9": b"POST PATH\r\n\r\n",
    "HTTP/1.2": long().replace(b"HTTP/1.1", b"HTTP/1.2"),
    "HTTP/2.0": long().replace(b"HTTP/1.1", b"HTTP/2.0"),
    "HTTP/1.1x": long().replace(b"HTTP/1.1", b"HTTP/1.1x"),
    "method in small letters": long().replace(b"POST", b"post"),
    "no such method": long().replace(b"POST", b"POSTPOST"),
    "a tab for a blank": long().replace(b"POST ", b"POST\t"),
    "a blank before it": b" " + long(),
    "no host": long().replace(b"host: t\r\n", b""),
    "two hosts": long(b"host: u"),
    "an address beyond ASCII": long().replace(b"PATH", b"PATH\xff"),
    "the preface of HTTP/2": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "the beginning of TLS": b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03",
}


async def answers(server: Running, raw: bytes, *, piecewise: bool) -> tuple[list[int], bool]:
    """Send bytes; return the statuses of all answers, and whether the connection ended.

    A request that is refused before all of it was sent may end with a reset, which takes what had
    been answered with it.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    ended, got = False, b""
    try:
        with suppress(ConnectionError):
            for n in range(0, len(raw), 1 if piecewise else len(raw)):
                writer.write(raw[n : n + 1] if piecewise else raw)
                await writer.drain()
                await asyncio.sleep(0)
            # The last answer says that it is the last: so nothing has to be waited for.
            writer.write(LIVE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n"))
        while chunk := await asyncio.wait_for(reader.read(65_536), 20):
            got += chunk
    except ConnectionError:
        ended = True
    finally:
        writer.close()
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", got)]
    if (
        got.endswith(b'{"status":"ok"}')
        and b"connection: close\r\n" in got.rpartition(b"HTTP/1")[2]
    ):
        return statuses[:-1], ended
    return statuses, True


def meant(raw: bytes, way: str) -> bytes:
    path, body = WAYS[way]
    whole = raw.replace(b"RESTOFBODY", body[1:]).replace(b"BODY", body)
    return whole.replace(b"PATH", path)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "byte by byte"])
async def test_sound_requests_are_answered_and_end_where_they_say(
    way: str, piecewise: bool
) -> None:
    found = {}
    async with running(max_body_bytes=70_000) as server:
        server.engine.release()
        for name, (raw, _, _) in SOUND.items():
            found[name] = await answers(server, meant(raw, way), piecewise=piecewise)
    wanted = {name: (statuses, ends) for name, (_, statuses, ends) in SOUND.items()}
    if piecewise:  # what comes behind an end may turn it into a reset
        found = {name: each for name, each in found.items() if not each[1]}
        wanted = {name: each for name, each in wanted.items() if not each[1]}
    assert found == wanted


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("piecewise", [False, True], ids=["whole", "byte by byte"])
async def test_unsound_requests_are_refused_and_the_connection_ends(
    way: str, piecewise: bool
) -> None:
    found = {}
    async with running(max_body_bytes=70_000) as server:
        server.engine.release()
        for name, raw in UNSOUND.items():
            found[name] = await answers(server, meant(raw, way), piecewise=piecewise)
    reset = ([], True)  # what was still on its way is answered with a reset
    wrong = {name: each for name, each in found.items() if each not in (([400], True), reset)}
    assert wrong == {}
