"""A client for scenarios that judge single answers: one connection, JSON in and out."""

import json
from http.client import HTTPConnection
from typing import Any


class Client:
    """One connection that stays open; each thread needs its own."""

    def __init__(self, port: int) -> None:
        """Connect with the first call to 127.0.0.1."""
        self._connection = HTTPConnection("127.0.0.1", port, timeout=30)

    def call(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Return status and JSON."""
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, {"content-type": "application/json"})
        answer = self._connection.getresponse()
        return answer.status, json.loads(answer.read())

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()
