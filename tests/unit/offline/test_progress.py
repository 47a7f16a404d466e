"""Progress: a line that is replaced on a terminal, a record in the log everywhere."""

import io
import logging

import pytest

from app.offline.progress import StageTimes, logged_steps, on_terminal, step
from tests.clock import Clock

LOG = logging.getLogger("app.tests.progress")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def bars_are_on(monkeypatch):
    monkeypatch.delenv("TQDM_DISABLE", raising=False)
    LOG.setLevel(logging.INFO)


def shown(text: str) -> str:
    """Return the lines as a terminal shows them once all is written."""
    return "\n".join(line.split("\x1b[K")[-1] for line in text.split("\n"))


def test_a_terminal_names_the_step_and_then_its_seconds(caplog):
    terminal, clock = Terminal(), Clock()
    with step("learn", LOG, terminal, clock):
        assert terminal.getvalue().endswith("learn …\r")
        with step("words", LOG, terminal, clock):
            clock.advance(2.5)
        clock.advance(1.0)

    assert shown(terminal.getvalue()) == "words: 2.5 s\nlearn: 3.5 s\n"
    assert caplog.messages == ["words: 2.5 s", "learn: 3.5 s"]


def test_a_file_gets_nothing_and_the_log_one_record(caplog):
    file, clock = io.StringIO(), Clock()
    with step("words", LOG, file, clock):
        clock.advance(0.25)

    assert file.getvalue() == ""
    assert [(record.levelname, record.args) for record in caplog.records] == [
        ("INFO", ("words", 0.25))
    ]


def test_a_step_that_fails_leaves_no_line_behind(caplog):
    terminal = Terminal()
    with pytest.raises(ValueError, match="no"), step("words", LOG, terminal):
        raise ValueError("no")

    assert shown(terminal.getvalue()) == ""
    assert caplog.messages == []


def test_bars_that_are_off_are_off_here_too(monkeypatch):
    assert on_terminal(Terminal())
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert not on_terminal(Terminal())


def test_stages_add_up_and_the_rest_belongs_to_none():
    clock = Clock()
    times = StageTimes(LOG, clock)
    for name in ("gate", "learn", "gate"):
        with times.stage(name):
            clock.advance(2.0)
        clock.advance(0.5)
    times.rest("publish")

    assert times.seconds == {"gate": 4.0, "learn": 2.0, "publish": 1.5}


def test_a_command_logs_its_steps_and_leaves_logging_as_it_was(capsys):
    ours = logging.getLogger("app")
    before = list(ours.handlers), ours.level
    with logged_steps(), step("words", LOG, io.StringIO()):
        pass

    assert " words: 0.0 s\n" in capsys.readouterr().err
    assert (list(ours.handlers), ours.level) == before
