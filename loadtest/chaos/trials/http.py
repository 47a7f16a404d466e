"""Trials of HTTP: where requests end, what bodies may hold, and how long callers may take."""

import json
import socket
import time
from collections import Counter
from contextlib import suppress
from typing import Any, Final

from loadtest.chaos.rig import Rig
from loadtest.chaos.trial import Measured, Trial
from loadtest.fuzz.sockets import fuzz
from loadtest.runners.held_loop import answered
from loadtest.runners.raw_requests import SOUND, UNSOUND, WAYS, as_it_must, exchange, meant

_HELD_MS: Final = 50
_SEARCH_S: Final = 90
_FUZZ_S: Final = 60
_DRIBBLERS: Final = 200
_HEAD_S: Final = 10
_LOOK_S: Final = 4
"""A connection looks at its time every two seconds, and the machine may be busy."""
_DRIBBLED: Final = b"POST /recommend HTTP/1.1\r\nhost: t\r\nx: " + b"a" * 200
_MOST_SENT: Final = 16_777_216


def where_requests_end(rig: Rig) -> Measured:
    """Send the table of raw requests on each way."""
    service = rig.serve()
    table = {name: raw for name, (raw, _, _) in SOUND.items()} | UNSOUND
    wrong = []
    for way in WAYS:
        for name, raw in table.items():
            if not as_it_must(name, exchange(service.port, meant(raw, way))):
                wrong.append(f"{name} ({way})")
    figure = f"{len(table)} requests on {len(WAYS)} ways, {len(wrong)} answered otherwise"
    return Measured(not wrong, figure + "".join(f"; {each}" for each in wrong[:3]))


def _sent(body: bytes, path: str = "/recommend") -> bytes:
    head = f"POST {path} HTTP/1.1\r\nhost: t\r\nconnection: close\r\ncontent-length: {len(body)}"
    return head.encode() + b"\r\n\r\n" + body


def _bodies() -> dict[str, bytes]:
    some = {"categories": {"any": [f"c{n}" for n in range(1000)]}}
    return {
        "a name twice": b'{"k":1,"k":2}',
        "a name twice within": b'{"context":{"a":1,"a":2}}',
        "NaN": b'{"context":{"a":NaN}}',
        "70,000 values": b'{"x":[' + b"1," * 70_000 + b"1]}",
        "a megabyte of unknown names": b"{%b}" % b",".join(b'"x%d":1' % n for n in range(90_000)),
        "6,000 values of a filter": json.dumps({"filter": {"$and": [some] * 6}}).encode(),
        "lists without end": b"[" * 100_000,
        "a number without end": b'{"k":' + b"9" * 100_000 + b"}",
        "half a surrogate pair": b'{"query":"\\ud800"}',
    }


def bounds(rig: Rig) -> Measured:
    """Send what is beyond each bound of a body, on the fast path and around it."""
    service = rig.serve()
    wrong = []
    for name, body in _bodies().items():
        for path in ("/recommend", "/recommend?way=long", "/recommend/batch"):
            sent = body if path != "/recommend/batch" else b'{"requests":[%b]}' % body
            began = time.perf_counter()
            status = answered(service.port, _sent(sent, path))
            late = time.perf_counter() - began > 1 and not rig.short
            if late or (status != 422 and not _refused_by_itself(path, name)):
                wrong.append(f"{name} at {path}: {status}")
    taken = answered(service.port, _sent(b'{"query":"a:b","context":{"a":1}}'))
    figure = f"{3 * len(_bodies())} bodies beyond a bound, {len(wrong)} not refused"
    return Measured(not wrong and taken == 200, figure + "".join(f"; {each}" for each in wrong[:3]))


def _refused_by_itself(path: str, name: str) -> bool:
    """Tell whether only the one request of a batch is refused, and the call succeeds."""
    return path == "/recommend/batch" and name == "6,000 values of a filter"


def worst_body(rig: Rig) -> Measured:
    """Search for the request that holds the event loop longest."""
    done = rig.run(
        "loadtest.scenarios.worst_body",
        *("--seconds", str(_SEARCH_S), "--seed", str(rig.rng.randrange(10**6)), "--http"),
        *("--most-ms", str(_HELD_MS)),
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    worst = found["shapes"][0]
    return Measured(
        done.returncode == 0,
        f"{found['tried']} requests tried, {len(found['failed'])} answered 5xx; longest turn "
        f"{worst['held_ms']} ms ({worst['shape']}), longest wait of a neighbour "
        f"{max(row['neighbour_ms'] for row in found['shapes'])} ms",
    )


def slow_senders(rig: Rig) -> Measured:
    """Let callers send a byte of their headers every half second."""
    service = rig.serve()
    callers = [
        socket.create_connection(("127.0.0.1", service.port), timeout=1) for _ in range(_DRIBBLERS)
    ]
    began, waits, ends = time.monotonic(), [0.0], dict[int, float]()
    for caller in callers:
        caller.setblocking(False)
    for byte in _DRIBBLED:
        if len(ends) == _DRIBBLERS or time.monotonic() - began > _HEAD_S + 2 * _LOOK_S:
            break
        for n, caller in enumerate(callers):
            if n not in ends and not _goes_on(caller, bytes([byte])):
                ends[n] = time.monotonic() - began
        asked = time.perf_counter()
        answered(service.port, _sent(b'{"query":"space","k":1}'))
        waits.append(time.perf_counter() - asked)
        time.sleep(0.5)
    for caller in callers:
        caller.close()
    last = max(ends.values(), default=0.0)
    return Measured(
        len(ends) == _DRIBBLERS and last < _HEAD_S + _LOOK_S,
        f"{_DRIBBLERS} slow callers, {len(ends)} connections ended, the last after {last:.1f} s; "
        f"meanwhile the longest answer to others took {max(waits) * 1e3:.0f} ms",
    )


def _goes_on(caller: socket.socket, byte: bytes) -> bool:
    """Send one more byte; tell whether the connection is open and has no answer."""
    try:
        caller.send(byte)
        caller.recv(1)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def streamed_body(rig: Rig) -> Measured:
    """Stream a body in chunks without an end, and a gzip of a gigabyte."""
    service = rig.serve()
    before = service.rss_mib()
    statuses, sent = Counter[int](), 0
    for path in ("/recommend", "/events"):
        head = f"POST {path} HTTP/1.1\r\nhost: t\r\ntransfer-encoding: chunked\r\n\r\n".encode()
        status, n = _streamed(service.port, head, b"10000\r\n" + b" " * 65_536 + b"\r\n")
        statuses[status] += 1
        sent = max(sent, n)
    grown = service.rss_mib() - before
    return Measured(
        statuses == {413: 2} and sent < _MOST_SENT,
        f"2 bodies without an end: {statuses[413]} refused with 413, after at most "
        f"{sent / 2**20:.1f} MiB; memory grew by {grown:.1f} MiB",
    )


def _streamed(port: int, head: bytes, chunk: bytes) -> tuple[int, int]:
    """Send chunks until an answer comes; return its status, 0 = none, and the bytes sent."""
    sent, got = 0, b""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock, suppress(OSError):
        sock.sendall(head)
        while sent < _MOST_SENT and not got:
            sock.sendall(chunk)
            sent += len(chunk)
            sock.settimeout(0.005)
            with suppress(TimeoutError):
                got = sock.recv(65_536)
            sock.settimeout(30)
    line = got.split(b" ", 2)
    return int(line[1]) if len(line) > 2 else 0, sent


def fuzzed(rig: Rig) -> Measured:
    """Send changed requests for a minute."""
    service, failures = rig.serve(), list[str]()
    seed = rig.rng.randrange(10**6)
    counted = fuzz(service.port, _FUZZ_S, seed, lambda _, wrong: failures.append(wrong))
    lives = answered(service.port, b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n")
    return Measured(
        not failures and lives == 200,
        f"{counted['sent']} changed requests (seed {seed}), {len(failures)} answered 5xx or not at "
        f"all{''.join(f'; {wrong}' for wrong in failures[:1])}",
    )


TRIALS: Final = (
    Trial(
        name="http.where_requests_end",
        requirements=(39,),
        promise="requests that two readers could cut differently are refused, on every way alike",
        pass_line="a table of raw requests, each with its answers, on the fast path, around it and "
        "on another route: none is answered otherwise",
        run=where_requests_end,
        faults=("both_lengths",),
        short=True,
    ),
    Trial(
        name="http.bounds",
        requirements=(39,),
        promise="what a body may hold is bounded, and JSON is read strictly",
        pass_line="each body beyond a bound gets 422, on each way, within a second",
        run=bounds,
        faults=("bodies_without_bounds",),
        short=True,
    ),
    Trial(
        name="http.worst_body",
        requirements=(11, 39),
        promise="no request makes the others wait",
        pass_line=f"a search of {_SEARCH_S} s over bodies of all routes: no turn of the event loop "
        f"and no wait of a neighbour for /livez is longer than {_HELD_MS} ms; no 5xx",
        run=worst_body,
        faults=("bodies_without_bounds",),
    ),
    Trial(
        name="http.slow_senders",
        requirements=(37,),
        promise="slow senders cannot hold connections",
        pass_line=f"{_DRIBBLERS} callers that send two bytes a second: all ended after "
        f"{_HEAD_S + _LOOK_S} s",
        run=slow_senders,
        faults=("patience_with_senders",),
    ),
    Trial(
        name="http.streamed_body",
        requirements=(38,),
        promise="a body is limited while it streams",
        pass_line=f"a body without an end gets 413 before {_MOST_SENT // 2**20} MiB were taken",
        run=streamed_body,
        faults=("bodies_without_end",),
    ),
    Trial(
        name="http.fuzz",
        requirements=(39,),
        promise="no bytes make it fail, hang or end",
        pass_line=f"{_FUZZ_S} s of changed requests over raw sockets: no 5xx, each connection "
        "ends, the process lives",
        run=fuzzed,
        faults=("wrong_input_is_internal",),
    ),
)
