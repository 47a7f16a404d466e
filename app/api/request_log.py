"""The log of requests: a line for each, up to so many a second, and one for each that was slow.

Most requests of a busy service are not logged. They cost two comparisons: see `RequestLog.wake`.
"""

import logging
from collections.abc import Callable
from typing import Final, NamedTuple

from app.api.reply import Headers, header
from app.serving.response import timings_of

_SLOW_PER_SECOND: Final = 10
"""Most lines about slow requests in a second: in an overload all are slow."""

_log = logging.getLogger(__name__)


class Answered(NamedTuple):
    """One request and the reply to it.

    Attributes:
        request_id: of the request, `X-Request-ID`.
        method: of HTTP.
        route: pattern of the path.
        status: of the reply, or what stands for it.
        seconds: from the request to the reply.
        headers: of the reply; none where there was none.
        body: of the reply, or its last part.
    """

    request_id: str
    method: str
    route: str
    status: int
    seconds: float
    headers: Headers
    body: bytes


class RequestLog:
    """Writes the lines. Belongs to one event loop.

    Attributes:
        wake: monotonic seconds; before, nothing is written but slow requests.
        slow_s: seconds from which on a request is slow.
    """

    def __init__(self, per_second: int, slow_ms: int, counted: Callable[[], float]) -> None:
        """Write at most `per_second` lines a second, and all from `slow_ms` on; 0 = none.

        `counted`: returns how many requests there were, for the number of those left out.
        """
        self.wake = float("-inf") if per_second else float("inf")
        self.slow_s = slow_ms / 1e3 if slow_ms else float("inf")
        self._per_second = per_second
        self._until = self._slow_until = float("-inf")
        self._left = self._slow_left = 0
        self._counted = counted
        self._told = 0.0

    def wants(self, now: float, seconds: float) -> bool:
        """Tell whether a request is to be written: none, while `now` < `wake` and it is not slow.

        Args:
            now: monotonic seconds.
            seconds: that the request took.
        """
        if seconds >= self.slow_s:
            if now >= self._slow_until:
                self._slow_until, self._slow_left = now + 1.0, _SLOW_PER_SECOND
            self._slow_left -= 1
            if self._slow_left >= 0:
                return True
        if now < self.wake:
            return False
        if now >= self._until:
            self._until, self._left = now + 1.0, self._per_second
        self._left -= 1
        if self._left <= 0:
            self.wake = self._until
        return True

    def write(self, answered: Answered) -> None:
        """Write the line of a request."""
        said: dict[str, object] = {
            "id": answered.request_id,
            "method": answered.method,
            "route": answered.route.replace(":path", ""),
            "status": answered.status,
            "ms": round(1e3 * answered.seconds, 3),
        }
        for name in ("cache", "degraded"):
            value = header(answered.headers, f"x-{name}".encode())
            if value is not None:
                said[name] = value.decode()
        self._told += 1
        left_out = self._counted() - self._told
        if left_out > 0 and self._per_second:
            said["left_out"] = int(left_out)
            self._told += left_out
        if answered.seconds < self.slow_s:
            _log.info("request", extra=said)
            return
        stages = timings_of(answered.body)
        _log.warning("slow request", extra=said | {f"{k}_ms": v for k, v in stages.items()})


def request_log(per_second: int, slow_ms: int, counted: Callable[[], float]) -> RequestLog | None:
    """Return the log of requests; None if the settings switch both kinds of lines off."""
    return RequestLog(per_second, slow_ms, counted) if per_second or slow_ms else None
