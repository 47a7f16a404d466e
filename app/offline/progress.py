"""Progress of long work: which step runs, and how many seconds it took.

On a terminal, a line on standard error names the running step, and is replaced by its seconds.
Elsewhere each step is one record in the log. `TQDM_DISABLE=1`, which turns the bars off that some
steps show (tqdm), also turns the lines off.
"""

import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from typing import Final, TextIO

from app.core.logs import OncePerMinute, PrettyFormatter

_ERASE_LINE: Final = "\r\x1b[K"


def on_terminal(stream: TextIO | None = None) -> bool:
    """Tell whether progress is shown on a stream (standard error), and not in the log."""
    disabled = os.environ.get("TQDM_DISABLE", "0") not in {"", "0"}
    return not disabled and (stream or sys.stderr).isatty()


@contextmanager
def logged_steps() -> Iterator[None]:
    """Log the steps inside the block to standard error; on a terminal they show themselves."""
    if on_terminal():
        yield
        return
    ours, handler = logging.getLogger("app"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrettyFormatter())
    handler.addFilter(OncePerMinute())
    level = ours.level
    ours.addHandler(handler)
    ours.setLevel(logging.INFO)
    try:
        yield
    finally:
        ours.setLevel(level)
        ours.removeHandler(handler)


@contextmanager
def step(
    name: str,
    log: logging.Logger,
    stream: TextIO | None = None,
    clock: Callable[[], float] = perf_counter,
) -> Iterator[None]:
    """Show that a step runs, and log its seconds as `NAME: 1.2 s` at level info.

    Args:
        name: of the step.
        log: where its seconds go.
        stream: the terminal; None = standard error, if it is one.
        clock: seconds.
    """
    terminal = (stream or sys.stderr) if on_terminal(stream) else None
    if terminal is not None:
        # No new line: a bar, or the seconds of a step inside this one, take its place.
        terminal.write(f"{_ERASE_LINE}{name} …\r")
        terminal.flush()
    start = clock()
    try:
        yield
    except BaseException:
        if terminal is not None:
            terminal.write(_ERASE_LINE)
        raise
    seconds = clock() - start
    if terminal is not None:
        terminal.write(f"{_ERASE_LINE}{name}: {seconds:.1f} s\n")
        terminal.flush()
    log.info("%s: %.1f s", name, seconds)


class StageTimes:
    """Seconds per stage of a build; a stage that runs again adds up."""

    def __init__(self, log: logging.Logger, clock: Callable[[], float] = perf_counter) -> None:
        """Log to `log`. `clock`: seconds."""
        self.seconds: dict[str, float] = {}
        self._log, self._clock = log, clock
        self._began = clock()

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Run a stage: show that it runs, and count its seconds."""
        start = self._clock()
        with step(name, self._log, clock=self._clock):
            yield
        self.seconds[name] = self.seconds.get(name, 0.0) + self._clock() - start

    def rest(self, name: str) -> None:
        """Count under `name` the seconds so far that belong to no stage."""
        self.seconds[name] = self._clock() - self._began - sum(self.seconds.values())
