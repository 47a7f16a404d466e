"""Raw requests, sound and unsound, and how each has to be answered: the same on every way.

Two readers of one connection that differ in where a request ends let a caller slip a request past
one of them. So what is not sound is refused, and the connection ends.
"""

import re
import socket
from contextlib import suppress
from typing import Final

WAYS: Final = {
    "fast": (b"/recommend", b'{"k":1,"query":"a"}'),
    "long": (b"/recommend?way=long", b'{"k":1,"query":"a"}'),
    "another": (b"/interpret", b'{"query":"aaaaaaa"}'),
}
"""One route on the fast path, around it, and another route: path and a body of 19 bytes."""
_N: Final = b"19"

_HEAD: Final = b"POST PATH HTTP/1.1\r\nhost: t\r\n"
LIVE: Final = b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n"
_LAST: Final = LIVE.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
_ALIVE: Final = b'{"status":"ok"}'
_CHUNKS: Final = b"13\r\nBODY\r\n0\r\n\r\n"


def long(*headers: bytes, size: bytes = _N, rest: bytes = b"BODY") -> bytes:
    """Return a request with a body of declared length."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return _HEAD + lines + b"content-length: " + size + b"\r\n\r\n" + rest


def chunked(rest: bytes = _CHUNKS, *headers: bytes, coding: bytes = b"chunked") -> bytes:
    """Return a request with a body in chunks."""
    lines = b"".join(header + b"\r\n" for header in headers)
    return _HEAD + lines + b"transfer-encoding: " + coding + b"\r\n\r\n" + rest


_ENDS, _STAYS = True, False

SOUND: Final[dict[str, tuple[bytes, list[int], bool]]] = {
    "declared length": (long(), [200], _STAYS),
    "length with zeros before it": (long(size=b"000" + _N), [200], _STAYS),
    "chunks": (chunked(), [200], _STAYS),
    "chunks, in capitals": (chunked(coding=b"CHUNKED"), [200], _STAYS),
    "several chunks": (
        chunked(b"1\r\n{\r\n12\r\nRESTOFBODY\r\n0\r\n\r\n"),
        [200],
        _STAYS,
    ),
    "chunk extensions": (chunked(b'13;a=b;c="d"\r\nBODY\r\n0;e\r\n\r\n'), [200], _STAYS),
    "trailers": (chunked(b"13\r\nBODY\r\n0\r\nhost: u\r\nx: y\r\n\r\n"), [200], _STAYS),
    "another pipelined": (long() + LIVE, [200, 200], _STAYS),
    "the same pipelined": (long() + long(), [200, 200], _STAYS),
    "pipelined before": (LIVE + long(), [200, 200], _STAYS),
    "pipelined after chunks": (chunked() + LIVE + chunked(), [200, 200, 200], _STAYS),
    "empty lines between": (long() + b"\r\n\r\n" + LIVE, [200, 200], _STAYS),
    "empty lines before": (b"\r\n\r\n" + long(), [200], _STAYS),
    "go-ahead, length": (long(b"expect: 100-continue"), [100, 200], _STAYS),
    "go-ahead, chunks": (chunked(_CHUNKS, b"expect: 100-continue"), [100, 200], _STAYS),
    "another expectation": (long(b"expect: tea"), [200], _STAYS),
    "absolute form": (long().replace(b"PATH", b"http://tPATH"), [200], _STAYS),
    "no body": (_HEAD + b"\r\n", [422], _STAYS),
    "HTTP/1.0": (long().replace(b"HTTP/1.1", b"HTTP/1.0"), [200], _ENDS),
    "the last one": (long(b"connection: close") + LIVE, [200], _ENDS),
    "another protocol": (long(b"connection: upgrade", b"upgrade: h2c") + LIVE, [200], _ENDS),
    "rubbish after it": (long() + b"rubbish\r\n\r\n", [200, 400], _ENDS),
    "a body longer than it says": (long(size=b"5"), [422, 400], _ENDS),
}

UNSOUND: Final[dict[str, tuple[bytes, list[int], bool]]] = {
    "length and chunks": long(b"transfer-encoding: chunked", rest=_CHUNKS),
    "chunks and length": chunked(_CHUNKS, b"content-length: 19"),
    "chunks and length 0": chunked(_CHUNKS, b"content-length: 0"),
    "a request in the body": long(
        b"transfer-encoding: chunked", size=b"30", rest=b"0\r\n\r\nGET /metrics HTTP/1.1\r\nx: "
    ),
    "two lengths alike": long(b"content-length: 19"),
    "two lengths": long(b"content-length: 5"),
    "a list of lengths": long(size=_N + b", " + _N),
    "length with a plus": long(size=b"+19"),
    "length below 0": long(size=b"-1"),
    "length in hexadecimals": long(size=b"0x13"),
    "length with a blank": long(size=b"1 9"),
    "length with _": long(size=b"1_9"),
    "length without end": long(size=b"9" * 30),
    "length of 64 bits and more": long(size=b"18446744073709551635"),
    "length on the next line": _HEAD + b"content-length:\r\n 19\r\n\r\nBODY",
    "length, blank before the colon": _HEAD + b"content-length : 19\r\n\r\nBODY",
    "chunks, blank before the colon": _HEAD + b"transfer-encoding : chunked\r\n\r\n" + _CHUNKS,
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
    "chunks twice": chunked(_CHUNKS, b"transfer-encoding: chunked"),
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
"""Name -> request. It is answered with 400, and the connection ends."""


def meant(raw: bytes, way: str) -> bytes:
    """Return a request of a table for a way of `WAYS`."""
    path, body = WAYS[way]
    whole = raw.replace(b"RESTOFBODY", body[1:]).replace(b"BODY", body)
    return whole.replace(b"PATH", path)


def exchange(port: int, raw: bytes, *, piecewise: bool = False) -> tuple[list[int], bool]:
    """Send bytes; return the statuses of all answers, and whether the connection ended.

    A last request follows, whose answer is left out: if it comes, the connection had not ended. A
    request that is refused before all of it was sent may end with a reset, which takes what had
    been answered with it.
    """
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):
            for piece in [raw[n : n + 1] for n in range(len(raw))] if piecewise else [raw]:
                sock.sendall(piece)
            sock.sendall(_LAST)
        try:
            while chunk := sock.recv(65_536):
                got += chunk
        except ConnectionError:
            return [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", got)], True
    statuses = [int(found) for found in re.findall(rb"HTTP/1\.1 (\d+)", got)]
    last = got.rpartition(b"HTTP/1.1 ")[2]
    stayed = last.endswith(_ALIVE) and b"connection: close\r\n" in last
    return (statuses[:-1], False) if stayed else (statuses, True)


def as_it_must(name: str, found: tuple[list[int], bool], *, piecewise: bool = False) -> bool:
    """Tell whether a request of a table was answered as it says there."""
    if name in SOUND:
        wanted = SOUND[name][1:]
        # What comes behind an end, piece by piece, may turn it into a reset.
        return found == wanted or (piecewise and wanted[1] and found[1])
    return found in (([400], True), ([], True))
