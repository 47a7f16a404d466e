"""The watchdog looks at every part, and tells the first loss."""

import asyncio

from app.core.life import Life
from app.serving.watchdog import watch
from tests.turns import Turns


async def test_it_tells_what_is_lost_once_it_is() -> None:
    life, turns, found = Life(), Turns(), dict[str, str]()
    parts = [lambda: found.get("engine"), lambda: found.get("store")]
    task = asyncio.create_task(watch(life, parts, turns.sleep))
    await turns.first()
    assert life.lost is None
    found["store"] = "a thread has died"
    await turns.next()
    assert life.lost == "a thread has died"
    found["engine"] = "a call hangs"
    await turns.next()

    assert life.lost == "a thread has died"
    task.cancel()
