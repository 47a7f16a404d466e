"""Reads the text out of a streamed chat completion, as bytes of it arrive.

A stream is server-sent events: lines `data: {JSON}` with a piece of the text in
`choices[0].delta.content`, and `data: [DONE]` at the end. A server that knows no streams sends one
JSON object with the whole text; that is read too.
"""

from collections.abc import Callable
from typing import Any, Final

import orjson

from app.core.errors import LanguageModelError

_DATA: Final = b"data:"
_DONE: Final = b"[DONE]"


class TextReader:
    """Reads one completion."""

    def __init__(self, put: Callable[[str], None]) -> None:
        """Give each piece of text that is not empty to `put`."""
        self._put = put
        self._rest = b""
        self._streams: bool | None = None
        self._done = False

    def take(self, part: bytes) -> None:
        """Read the next bytes. Raises `LanguageModelError`: this is no completion."""
        self._rest += part
        if self._streams is None:
            begin = self._rest.lstrip()
            if not begin:
                return
            self._streams = not begin.startswith(b"{")
        if not self._streams:
            return
        *lines, self._rest = self._rest.split(b"\n")
        for line in lines:
            self._line(line.strip())

    def complete(self) -> bool:
        """Read what is left; return whether the end was there.

        Raises:
            LanguageModelError: this is no completion.
        """
        if self._streams is False:
            self._piece(_choice(self._rest).get("message"))
            return True
        if self._rest:
            self.take(b"\n")
        return self._done

    def _line(self, line: bytes) -> None:
        if not line.startswith(_DATA):  # a comment, another field or the end of an event
            return
        data = line[len(_DATA) :].strip()
        if data == _DONE:
            self._done = True
        elif not self._done and data:
            choice = _choice(data)
            self._piece(choice.get("delta"))
            # Some servers end with the reason and send no [DONE].
            self._done = self._done or choice.get("finish_reason") is not None

    def _piece(self, message: object) -> None:
        text = message.get("content") if isinstance(message, dict) else None
        if text is None:
            return
        if not isinstance(text, str):
            raise _wrong()
        if text:
            self._put(text)


def _choice(data: bytes) -> dict[str, Any]:
    """Return the first choice of a JSON object; {} where it has none, as at the end of a stream."""
    try:
        reply = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise _wrong() from error
    if not isinstance(reply, dict) or "error" in reply:
        raise _wrong()
    choices = reply.get("choices")
    if not isinstance(choices, list):
        raise _wrong()
    first = choices[0] if choices else {}
    if not isinstance(first, dict):
        raise _wrong()
    return first


def _wrong() -> LanguageModelError:
    return LanguageModelError("the language model sends no text", reason="wrong_json")
