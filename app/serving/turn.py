"""Moving work into a task: the fast path starts its work outside of one (`app.api.fast_path`).

Most requests end without needing a task. What does need one, such as `asyncio.timeout`, calls
`in_a_task` first.
"""

import asyncio


async def in_a_task() -> None:
    """Return in a task: at once if this runs in one, else when the fast path has made one."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)  # a bare yield, which the fast path takes for a request for a task
