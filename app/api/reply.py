"""Finished replies and their counters, shared by both ways to answer.

`app.api.edge` sends a reply as messages of ASGI, `app.api.fast_path` as bytes.
"""

import re
from typing import Final, NamedTuple, TypeAlias

from app.core.tallies import Counter, Histogram
from app.core.telemetry import Metrics
from app.serving.response import Answer, fresh_id

CALLER_LEFT: Final = 499
"""The status under which a request is counted if its caller left. It is never sent."""

_JSON: Final = (b"content-type", b"application/json")
_REQUEST_ID: Final = re.compile(rb"[!-~]{1,128}")


Headers: TypeAlias = list[tuple[bytes, bytes]]
"""Names in lower case, and values."""


class Reply(NamedTuple):
    """Status, headers and body."""

    status: int
    headers: Headers
    body: bytes


def json_reply(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Reply:
    """Return a reply whose body is JSON."""
    return Reply(status, [*headers, (b"content-length", b"%d" % len(body)), _JSON], body)


def answer_reply(answer: Answer) -> Reply:
    """Return the reply to `POST /recommend`."""
    cache = (b"x-cache", answer.x_cache.encode())
    if not answer.degraded:
        return json_reply(200, answer.body, cache)
    degraded = (b"x-degraded", ", ".join(answer.degraded).encode())
    return json_reply(200, answer.body, cache, degraded)


def id_of(headers: Headers) -> str:
    """Return the caller's request id if it is safe in headers and log lines, else a new one.

    >>> id_of([(b"x-request-id", b"a-7")]), len(id_of([]))
    ('a-7', 32)
    """
    given = header(headers, b"x-request-id")
    if given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode()
    return fresh_id()


def header(headers: Headers, name: bytes) -> bytes | None:
    """Return the first value of a header; `name` in lower case. None if it was not sent."""
    for key, value in headers:
        if key == name:
            return value
    return None


class Outcomes:
    """Counts requests and their seconds, by route and status."""

    def __init__(self, metrics: Metrics) -> None:
        """Count in `metrics`."""
        self._metrics = metrics
        self._bound: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def total(self) -> float:
        """Return how many requests were counted."""
        return sum(counter.value for counter, _ in self._bound.values())

    def count(self, route: str, status: int, seconds: float) -> None:
        """Count one request; metrics are looked up once, because that costs more than counting."""
        metrics = self._bound.get((route, status))
        if metrics is None:
            counter = self._metrics.requests.labels(route, str(status))
            metrics = counter, self._metrics.request_seconds.labels(route)
            self._bound[route, status] = metrics
        counter, histogram = metrics
        counter.inc()
        histogram.observe(seconds)
