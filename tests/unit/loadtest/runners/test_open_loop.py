"""The constant-rate runner: what it reads, what it sums up, and that nothing is lost on the way."""

import asyncio
from contextlib import suppress

import pytest

from loadtest.runners.open_loop import Offer, Outcome, answer_in, message, offer, percentile, report


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-le", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nab", None),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab", (200, False, None)),
        (b"HTTP/1.1 200 OK\r\nx-degraded: encoder\r\n\r\n", (200, True, None)),
        (
            b'HTTP/1.1 429 T\r\nContent-Length: 21\r\n\r\n{"retry_after_ms":40}',
            (429, False, 40),
        ),
    ],
)
def test_a_response_is_read_once_it_is_whole(
    data: bytes, found: tuple[int, bool, int | None] | None
) -> None:
    assert answer_in(data) == found


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(n) for n in range(1, 101)]

    assert [percentile(values, p) for p in (1, 50, 99, 100)] == [1.0, 50.0, 99.0, 100.0]


def test_a_report_counts_from_when_a_request_was_due_and_leaves_the_ramp_out() -> None:
    outcomes = [
        Outcome(due=0.5, sent=0.5, answered=0.6, status=200),  # in the ramp
        Outcome(due=1.0, sent=1.2, answered=1.5, status=200),
        Outcome(due=2.0, sent=2.0, answered=2.1, status=200, degraded=True),
        Outcome(due=2.0, sent=2.0, answered=3.2, status=200),  # too late to be good
        Outcome(due=3.0, sent=3.0, answered=3.0, status=429, retry_after_ms=70),
        Outcome(due=3.0, sent=3.0, answered=4.5, status=504),
        Outcome(due=3.0, sent=3.0, answered=3.0, status=0),
        Outcome(due=4.9, sent=4.9, answered=5.1, status=200),  # answered after the window
    ]

    found = report(outcomes, Offer(rate=2, seconds=5, deadline_ms=1000))

    assert (found.goodput_per_s, found.undegraded_per_s) == (2 / 4, 1 / 4)
    assert (found.p50_ms, found.p99_ms) == pytest.approx((500, 1200))
    assert found.degraded_p99_ms == pytest.approx(100)
    assert (found.refused_per_s, found.retry_after_p50_ms) == (1 / 4, 70)
    assert (found.timed_out, found.errors) == (1, 1)
    assert found.late_p99_ms == pytest.approx(200)


async def test_every_request_is_sent_once_and_answered_once() -> None:
    seen: list[bytes] = []
    served: list[asyncio.Future[None]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        served.append(over := asyncio.get_running_loop().create_future())
        while head := await _until(reader, b"\r\n\r\n"):
            seen.append(await reader.readexactly(int(head.split(b"length: ")[1])))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()
        over.set_result(None)

    bodies = [b'{"query":"%d"}' % number for number in range(40)]
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        offered = Offer(rate=400, seconds=0.1, connections=3)
        outcomes = await offer("127.0.0.1", port, [message(body) for body in bodies], offered)
        await asyncio.gather(*served)

    assert sorted(seen) == sorted(bodies)
    assert [outcome.status for outcome in outcomes] == [200] * 40
    assert sorted(outcome.due for outcome in outcomes) == [number / 400 for number in range(40)]


async def _until(reader: asyncio.StreamReader, separator: bytes) -> bytes:
    try:
        return await reader.readuntil(separator)
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
