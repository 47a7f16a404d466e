"""Remembers requests by their bodies, so that a body that comes again is not read again.

What is cached is asked for again and again in the same bytes. To read and check them takes a good
part of the time of a cached answer.
"""

from typing import Final

from app.core.strict_json import check_names, check_size
from app.domain.request import RecommendRequest

_MOST: Final = 2_048
_MAX_BYTES: Final = 1_024


class ReadRequests:
    """The newest requests by their bodies. Belongs to one event loop.

    There are two sets: when the newer one is full, it takes the place of the older one, which is
    forgotten. Only short bodies are remembered, so the memory has a bound.
    """

    def __init__(self, most: int = _MOST) -> None:
        """Remember at most twice `most` requests."""
        self._most = most
        self._newer: dict[bytes, RecommendRequest] = {}
        self._older: dict[bytes, RecommendRequest] = {}

    def read(self, body: bytes) -> RecommendRequest:
        """Return the request of a body. It is never altered.

        Raises:
            ValidationError: it is no request.
            InvalidRequestError: it is no strict JSON, or too much.
        """
        known = self._newer.get(body)
        if known is not None:
            return known
        known = self._older.get(body) or _read(body)
        if len(body) <= _MAX_BYTES:
            self._newer[body] = known
            if len(self._newer) >= self._most:
                self._older, self._newer = self._newer, {}
        return known


def _read(body: bytes) -> RecommendRequest:
    check_size(body)
    request = RecommendRequest.model_validate_json(body)
    check_names(body, len(request.model_fields_set))
    return request
