"""The life of one process: it serves, then it stops in order, or it has lost a part.

A process that lost a part for good (a thread died, a call never returns) cannot mend itself. It
says that it is not ready, fails what waits for that part, and ends with an exit code that is not 0,
so that whoever watches it starts another one. `Life` holds that state; it knows no parts.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

_log = logging.getLogger(__name__)


class Life:
    """The state of a process. Belongs to one event loop.

    Attributes:
        stopping: whether the process is about to end, and its connections with it.
        replaced: whether another process answers on the same address already.
        lost: what it has lost, in words; None = nothing.
    """

    def __init__(self) -> None:
        """Begin with a process that serves."""
        self.stopping = self.replaced = False
        self.lost: str | None = None
        self._listeners: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        return f"<Life stopping={self.stopping} lost={self.lost!r}>"

    @property
    def trouble(self) -> str | None:
        """Why the process takes no new callers; None = it takes them."""
        return self.lost or ("it is stopping" if self.stopping and not self.replaced else None)

    def stop(self, *, replaced: bool = False) -> None:
        """Say from now on that the process will end, and is not ready unless it was `replaced`."""
        self.stopping, self.replaced = True, replaced

    def lose(self, what: str) -> None:
        """Say that a part is lost for good; the first one counts. `what`: a sentence for people."""
        if self.lost is not None:
            return
        self.lost = what
        _log.critical("this process has to end: %s", what)
        for listener in self._listeners:
            listener()

    def when_lost(self, listener: Callable[[], None]) -> None:
        """Call `listener` once a part is lost."""
        self._listeners.append(listener)

    def keep(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Run in a task what never ends; if it ends and was not cancelled, it is lost."""
        task = asyncio.create_task(work, name=name)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[None]) -> None:
        if task.cancelled():
            return
        if (error := task.exception()) is not None:
            _log.error("the task %s failed", task.get_name(), exc_info=error)
        self.lose(f"the task {task.get_name()} has ended")
