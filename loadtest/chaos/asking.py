"""How trials send requests: one after the other, or many at once."""

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from http.client import HTTPConnection
from time import perf_counter
from typing import Any, Final

from loadtest.runners.open_loop import message, percentile

_TIMEOUT_S: Final = 30
PATIENT_MS: Final = 10_000
"""A budget that no short trial exceeds, however busy the machine is."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer. Header names are in lower case; `seconds` is the time that it took.

    `body`: what the JSON says; bytes where there is none, or none that can be read.
    """

    status: int
    headers: Mapping[str, str]
    body: Any
    seconds: float


def p99_ms(answers: Sequence[Answer]) -> float:
    """Return the 99th percentile of their times, in ms; 0 of none."""
    return (percentile([answer.seconds for answer in answers], 99) or 0.0) * 1e3


def ids_of(answer: Answer) -> list[str]:
    """Return the ids of an answer; none of one that is no answer, as seeded faults make some."""
    try:
        return [item["id"] for item in answer.body["items"]]
    except (LookupError, TypeError):
        return []


class Caller:
    """One kept connection to a service; it connects again when the service has closed it."""

    def __init__(self, port: int, headers: Mapping[str, str] | None = None) -> None:
        """Connect to 127.0.0.1 with the first call; `headers` go with each."""
        self._connection = HTTPConnection("127.0.0.1", port, timeout=_TIMEOUT_S)
        self._headers = {"content-type": "application/json", **(headers or {})}

    def call(self, method: str, path: str, body: object = None) -> Answer:
        """Send a request. Raises `OSError` or `HTTPException` if no answer comes."""
        text = None if body is None else json.dumps(body)
        began = perf_counter()
        self._connection.request(method, path, text, self._headers)
        answer = self._connection.getresponse()
        raw = answer.read()
        seconds = perf_counter() - began
        headers = {name.lower(): value for name, value in answer.getheaders()}
        found: Any = raw
        if headers.get("content-type", "").startswith("application/json"):
            with contextlib.suppress(ValueError):  # a seeded fault may break the JSON
                found = json.loads(raw)
        return Answer(answer.status, headers, found, seconds)

    def recommend(self, **fields: object) -> Answer:
        """Send `POST /recommend` with a generous budget, if no other is given."""
        return self.call("POST", "/recommend", {"budget_ms": PATIENT_MS, **fields})

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()


def at_once(port: int, bodies: Sequence[object], path: str = "/recommend") -> list[Answer]:
    """Send one request on each of as many connections, all at the same moment.

    The connections are open before. Returns the answers in the order of the bodies.
    """
    return asyncio.run(_at_once(port, bodies, path))


def leave(port: int, bodies: Sequence[object], when: Callable[[], bool] = lambda: True) -> None:
    """Send one request on each of as many connections; close all without reading, once `when`."""
    sockets = [socket.create_connection(("127.0.0.1", port), _TIMEOUT_S) for _ in bodies]
    for each, body in zip(sockets, bodies, strict=True):
        each.sendall(message(json.dumps(body).encode()))
    until(when, _TIMEOUT_S)
    for each in sockets:
        each.close()


def until(holds: Callable[[], bool], seconds: float) -> float | None:
    """Return after how many seconds something held, at most `seconds`; None if it never did."""
    began = perf_counter()
    while not holds():
        if perf_counter() - began > seconds:
            return None
        time.sleep(0.01)
    return perf_counter() - began


async def _at_once(port: int, bodies: Sequence[object], path: str) -> list[Answer]:
    pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in bodies]
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            return await asyncio.gather(
                *(_one(*pair, body, path) for pair, body in zip(pairs, bodies, strict=True))
            )
    finally:
        for _, writer in pairs:
            writer.close()


async def _one(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, body: object, path: str
) -> Answer:
    text = json.dumps(body).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    began = perf_counter()
    writer.write(f"{head}content-length: {len(text)}\r\n\r\n".encode() + text)
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    fields = (line.partition(":") for line in lines[1:] if line)
    headers = {name.lower(): value.strip() for name, _, value in fields}
    raw = await reader.readexactly(int(headers.get("content-length", "0")))
    return Answer(int(lines[0].split()[1]), headers, json.loads(raw), perf_counter() - began)
