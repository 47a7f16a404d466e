"""Work may begin outside a task (`app.api.fast_path`): most is done before it has to wait."""

import asyncio


async def in_a_task() -> None:
    """Go on in a task: to be awaited before what needs one, such as a timeout."""
    if asyncio.current_task() is None:
        await asyncio.sleep(0)
