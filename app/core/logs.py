"""Logging: one line a record on standard error, for people or as JSON, without repetition.

Trouble that repeats is said at once, and then at most once a minute, with how often it came in
between: a server that is down for an hour is some sixty lines. What the HTTP server says of itself
is said in our words, or not at all.
"""

import json
import logging
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Literal

LogFormat = Literal["pretty", "json"]

_STANDARD: Final = frozenset(
    (
        *vars(logging.LogRecord("", 0, "", 0, "", (), None)),
        *("message", "asctime", "taskName", "color_message"),
    )
)
"""Attributes every record has; what is not among them was passed as `extra`."""

_REPEAT_S: Final = 60.0
_MOST_TROUBLES: Final = 256


def time_of(record: logging.LogRecord) -> str:
    """Return when a record was made, in UTC, with milliseconds."""
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
    return f"{seconds}.{int(record.msecs):03d}Z"


def extras(record: logging.LogRecord) -> dict[str, object]:
    """Return what a record says besides its message."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


class PrettyFormatter(logging.Formatter):
    """`2026-11-30T10:00:00.000Z WARNING the message  key=value … error="…"`, on one line."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        pairs = extras(record)
        if record.exc_info:
            pairs["error"] = self.formatException(record.exc_info)
        said = "".join(f" {key}={_quoted(value)}" for key, value in pairs.items())
        message = record.getMessage()
        if not message.isprintable():
            message = json.dumps(message)
        return f"{time_of(record)} {record.levelname:<7} {message}{' ' if said else ''}{said}"


class JsonFormatter(logging.Formatter):
    """One JSON object: `time`, `level`, `logger`, `message`, each `extra`, and `error`."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object, on one line."""
        said: dict[str, object] = {
            "time": time_of(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **extras(record),
        }
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


def _quoted(value: object) -> str:
    """Bare if it is one plain word, else a JSON string: a line break cannot forge a record."""
    text = str(value)
    plain = text.isascii() and text.isprintable() and text and not set(text) & set(' "=\\')
    return text if plain else json.dumps(text, ensure_ascii=not text.isprintable())


class OncePerMinute(logging.Filter):
    """Lets a warning or error through once a minute; then it says how many were left out.

    Records are the same trouble if their messages are the same, and the kind of their exception.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start with no trouble. `clock`: monotonic seconds."""
        super().__init__()
        self._clock = clock
        self._last: OrderedDict[tuple[object, ...], tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged; add `repeated`, where earlier ones were left out."""
        if record.levelno < logging.WARNING or hasattr(record, "id"):  # one request: no repetition
            return True
        kind = record.exc_info[0] if record.exc_info else None
        trouble = (record.name, record.getMessage(), kind)
        now = self._clock()
        said_at, left_out = self._last.get(trouble, (float("-inf"), 0))
        if now - said_at < _REPEAT_S:
            self._last[trouble] = (said_at, left_out + 1)
            return False
        self._last[trouble] = (now, 0)
        self._last.move_to_end(trouble)
        if len(self._last) > _MOST_TROUBLES:
            self._last.popitem(last=False)
        if left_out:
            record.repeated = left_out
        return True


class ServerWords(logging.Filter):
    """Says in our words what the library that speaks HTTP says of itself."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is logged; those that tell a user nothing are not."""
        if not record.name.startswith("uvicorn"):
            return True
        record.name = "app.server"
        message = record.getMessage()
        if message.startswith("Uvicorn running on http"):
            record.msg, record.args = f"listening on {message.split()[3]}", None
        elif message == "Invalid HTTP request received.":
            record.msg, record.args = "bytes that are not a sound HTTP request were refused", None
        else:
            return record.levelno > logging.INFO
        return True


class _Numbered(logging.Filter):
    """Adds the id of the process, to tell the lines of several workers apart."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.pid = os.getpid()
        return True


def configure_logging(level: str, form: LogFormat = "pretty", *, workers: int = 1) -> None:
    """Log records of at least `level` ("debug" … "error") to standard error, one line each.

    With several workers, each line has the id of its process. Calling it again replaces the earlier
    set-up; handlers of others are left alone.
    """
    root = logging.getLogger()
    ours = (PrettyFormatter, JsonFormatter)
    for handler in [h for h in root.handlers if isinstance(h.formatter, ours)]:
        root.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else PrettyFormatter())
    # In this order: what is left out needs no number.
    handler.addFilter(ServerWords())
    handler.addFilter(OncePerMinute())
    if workers > 1:
        handler.addFilter(_Numbered())
    root.addHandler(handler)
    root.setLevel(level.upper())
    # At level info, FAISS logs which of its binaries it tried, and the HTTP client whom it calls.
    for name in ("faiss", "httpx", "httpcore"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
