"""An event loop on virtual time: it never waits, and its clock jumps to the next timer.

`asyncio.BaseEventLoop` does all the work. It asks a selector to wait for the network; ours moves
the clock instead. What runs is asyncio as it is in Python's library: the order of callbacks is that
of a real loop, and nothing depends on the machine.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Never, TypeVar

T = TypeVar("T")

START_S: Final = 1000.0
"""Where the clock begins, in seconds."""
_MOST_TURNS: Final = 20_000
"""Turns of the loop at one moment, from which on it is taken to go round in circles."""


class StuckError(Exception):
    """Nothing can happen any more, or the loop goes round in circles."""


class _Jumper:
    """In place of a selector: waiting moves the clock."""

    def __init__(self) -> None:
        self.now = START_S
        self._turns = 0

    def select(self, timeout: float | None) -> list[Never]:
        """Move the clock by `timeout` seconds."""
        if timeout is None:
            raise StuckError("everybody waits, and no timer is set")
        self._turns = 0 if timeout > 0 else self._turns + 1
        if self._turns > _MOST_TURNS:
            raise StuckError("the event loop goes round in circles")
        self.now += timeout
        return []

    def close(self) -> None:
        """Do nothing."""


class VirtualLoop(asyncio.BaseEventLoop):
    """An event loop whose `time` jumps. `run_in_executor` runs a call after `executor_s` seconds.

    Attributes:
        complaints: what would be logged of exceptions that nobody has caught.
    """

    def __init__(self, executor_s: Callable[[], float]) -> None:
        super().__init__()
        self._selector = _Jumper()
        self._executor_s = executor_s
        self.complaints: list[str] = []
        self.set_exception_handler(self._complain)

    def time(self) -> float:
        """Return virtual seconds."""
        return self._selector.now

    def run_in_executor(  # type: ignore[override]
        self,
        executor: object,  # noqa: ARG002 - the signature of the library
        func: Callable[..., T],
        *args: Any,
    ) -> asyncio.Future[T]:
        """Run a call at a later moment, all at once."""
        done: asyncio.Future[T] = self.create_future()
        self.call_later(self._executor_s(), self._run, done, func, args)
        return done

    @staticmethod
    def _run(done: asyncio.Future[T], func: Callable[..., T], args: tuple[Any, ...]) -> None:
        try:
            value = func(*args)
        except Exception as error:  # noqa: BLE001 - it belongs to the caller
            if not done.done():
                done.set_exception(error)
        else:
            if not done.done():
                done.set_result(value)

    def _complain(self, _: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.complaints.append(f"{context['message']}: {error!r}")

    def _process_events(self, event_list: list[Never]) -> None:
        pass

    def _write_to_self(self) -> None:
        pass
