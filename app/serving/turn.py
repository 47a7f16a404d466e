"""Moving a coroutine into a task, for calls that need one, such as `asyncio.timeout`.

The fast path (`app.api.fast_path`) drives coroutines without a task, because most requests end
without needing one. Code that needs a task calls `in_a_task` first.
"""

import asyncio


async def in_a_task() -> None:
    """Return inside a task: at once if there is one, else when the fast path has made one."""
    if asyncio.current_task() is None:
        # The fast path takes a bare yield for a request to continue in a task.
        await asyncio.sleep(0)
