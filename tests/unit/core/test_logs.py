"""One log line a record, in both forms; trouble once a minute; the HTTP server in our words."""

import json
import logging
import os

import pytest

from app.core.logs import (
    JsonFormatter,
    OncePerMinute,
    PrettyFormatter,
    ServerWords,
    configure_logging,
)
from tests.clock import Clock


def record(
    message: str, *args: object, level: int = logging.INFO, name: str = "app.x", **extra: object
) -> logging.LogRecord:
    made = logging.LogRecord(name, level, "", 0, message, args, None)
    made.created, made.msecs = 86_400.5, 500.0
    vars(made).update(extra)
    return made


def failed(message: str, error: type[Exception] = ValueError) -> logging.LogRecord:
    made = record(message, level=logging.ERROR)
    made.exc_info = (error, error("no"), None)
    return made


def test_a_pretty_line_carries_time_level_message_and_extras():
    line = PrettyFormatter().format(record("batch %d done", 7, size=3, bundle="a b"))
    assert line == '1970-01-02T00:00:00.500Z INFO    batch 7 done  size=3 bundle="a b"'
    assert PrettyFormatter().format(record("done")).endswith(" done")


def test_a_json_line_carries_the_same():
    line = JsonFormatter().format(record("batch %d done", 7, size=3, bundle="a b"))
    assert json.loads(line) == {
        "time": "1970-01-02T00:00:00.500Z",
        "level": "info",
        "logger": "app.x",
        "message": "batch 7 done",
        "size": 3,
        "bundle": "a b",
    }


@pytest.mark.parametrize("form", [PrettyFormatter, JsonFormatter])
@pytest.mark.parametrize("value", ["x\ntime=1 level=error", "a\x1b[2Jb", "\u2028next"])
def test_no_value_can_forge_a_record(form, value):
    for made in (record(value), record("m", id=value)):
        assert len(form().format(made).splitlines()) == 1


@pytest.mark.parametrize("form", [PrettyFormatter, JsonFormatter])
def test_an_exception_stays_on_the_line(form):
    line = form().format(failed("it broke"))
    assert len(line.splitlines()) == 1
    assert "ValueError: no" in line


def test_trouble_is_said_at_once_and_then_once_a_minute_with_its_count():
    clock = Clock()
    once = OncePerMinute(clock)
    said = []
    for second in range(0, 200, 10):
        clock.now = 1000.0 + second
        made = record("the cache at %s cannot be used", "a:1", level=logging.WARNING)
        if once.filter(made):
            said.append((second, vars(made).get("repeated", 0)))
    assert said == [(0, 0), (60, 5), (120, 5), (180, 5)]


def test_other_trouble_is_said_at_once_and_information_always():
    once = OncePerMinute(Clock())
    assert once.filter(record("the cache at %s cannot be used", "a:1", level=logging.WARNING))
    assert once.filter(record("the cache at %s cannot be used", "b:1", level=logging.WARNING))
    assert once.filter(failed("it broke", ValueError))
    assert once.filter(failed("it broke", KeyError))
    assert not once.filter(failed("it broke", KeyError))
    assert [once.filter(record("done")) for _ in range(3)] == [True] * 3


def test_the_memory_for_trouble_is_bounded():
    once = OncePerMinute(Clock())
    for n in range(10_000):
        assert once.filter(record("trouble %d", n, level=logging.WARNING))
    assert len(once._last) <= 256


@pytest.mark.parametrize(
    ("message", "args", "said"),
    [
        (
            "Uvicorn running on %s://%s:%d (Press CTRL+C to quit)",
            ("http", "127.0.0.1", 80),
            "listening on http://127.0.0.1:80",
        ),
        ("Shutting down", (), None),
        (
            "Invalid HTTP request received.",
            (),
            "bytes that are not a sound HTTP request were refused",
        ),
        ("Waiting for application startup.", (), None),
        ("Started server process [%d]", (7,), None),
    ],
)
def test_the_server_library_speaks_our_words(message, args, said):
    made = record(message, *args, name="uvicorn.error")
    assert ServerWords().filter(made) == (said is not None)
    if said is not None:
        line = json.loads(JsonFormatter().format(made))
        assert (line["message"], line["logger"]) == (said, "app.server")


def test_its_errors_are_kept():
    assert ServerWords().filter(record("broken", level=logging.ERROR, name="uvicorn.error"))


def test_configuring_twice_logs_once_and_leaves_other_handlers_alone(capsys):
    root = logging.getLogger()
    before, level = list(root.handlers), root.level
    # An application made by another test may have set up logging already: that handler is ours.
    ours = (PrettyFormatter, JsonFormatter)
    others = [h for h in before if not isinstance(h.formatter, ours)]
    try:
        configure_logging("debug")
        configure_logging("warning", "json", workers=2)
        added = [handler for handler in root.handlers if handler not in others]
        assert len(added) == 1
        assert root.level == logging.WARNING
        assert [handler for handler in root.handlers if handler in others] == others
        logging.getLogger("app.x").warning("from a worker")
        assert json.loads(capsys.readouterr().err)["pid"] == os.getpid()
    finally:
        root.handlers[:] = before
        root.setLevel(level)
