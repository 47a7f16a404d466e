"""Calls that wait for the first model thread, to run between two passes. Decides nothing else."""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from app.serving.model_thread import ModelThread

V = TypeVar("V")

_Answer: TypeAlias = "asyncio.Future[Any]"


class Between:
    """The calls that wait, in order; each is answered once, with its value or its exception."""

    def __init__(self) -> None:
        """Start without any."""
        self._waiting: deque[tuple[Callable[[], object], _Answer]] = deque()
        self.running = False

    def __len__(self) -> int:
        return len(self._waiting)

    async def result(self, call: Callable[[], V]) -> V:
        """Wait for a call's turn and its end; whoever leaves before its turn takes it along.

        Raises:
            Exception: what it raised, or what `fail` was given.
        """
        answer: _Answer = asyncio.get_running_loop().create_future()
        self._waiting.append((call, answer))
        outcome: V | Exception = await answer
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    async def run_next(self, thread: ModelThread) -> None:
        """Run the call that has waited longest, if there is one."""
        if not self._waiting:
            return
        call, answer = self._waiting[0]
        if not answer.done():
            self.running = True
            _set(answer, await thread.run(call))
            self.running = False
        self._waiting.popleft()

    def fail(self, error: Exception) -> None:
        """Fail every call that is not answered, the running one included."""
        self.running = False
        while self._waiting:
            _set(self._waiting.popleft()[1], error)


def _set(answer: _Answer, outcome: object) -> None:
    if not answer.done():  # the caller may have left
        answer.set_result(outcome)
