"""An event loop in a thread of its own, for work that must not delay the event loop of requests.

What a server sends costs time to read, and a server may send much. In this thread that time is
nobody else's.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class LoopThread:
    """Runs coroutines in its thread, for callers in other event loops."""

    def __init__(self, name: str) -> None:
        """Start the thread. `name`: of the thread."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `work()`, made and run in the thread; cancelled with the caller.

        Raises:
            Exception: what the work raised.
        """
        future = asyncio.run_coroutine_threadsafe(_started(work), self._loop)
        return await asyncio.wrap_future(future)

    async def aclose(self) -> None:
        """Cancel what runs and end the thread. Idempotent."""
        if self._loop.is_closed():
            return
        await self.run(_cancel_others)
        self._loop.call_soon_threadsafe(self._loop.stop)
        await asyncio.to_thread(self._thread.join)
        self._loop.close()


async def _started(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    return await work()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
