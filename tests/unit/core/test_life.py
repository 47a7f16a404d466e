"""The state of a process: what makes it not ready, and what is lost for good."""

import asyncio

from app.core.life import Life


def test_it_serves_until_it_stops_or_has_lost_a_part() -> None:
    serves, stops, is_replaced, has_lost = Life(), Life(), Life(), Life()
    stops.stop()
    is_replaced.stop(replaced=True)
    has_lost.lose("a thread has died")
    has_lost.stop()

    assert serves.trouble is None
    assert stops.trouble == "it is stopping"
    assert (is_replaced.trouble, is_replaced.stopping) == (None, True)
    assert has_lost.trouble == "a thread has died"


def test_the_first_loss_counts_and_is_told_once() -> None:
    life, told = Life(), []
    life.when_lost(lambda: told.append(life.lost))
    life.lose("first")
    life.lose("second")

    assert (life.lost, told) == ("first", ["first"])


async def test_a_task_that_ends_is_lost_unless_it_was_cancelled() -> None:
    async def fail() -> None:
        raise ValueError

    cancelled, failing = Life(), Life()
    task = cancelled.keep(asyncio.sleep(60), "kept")
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task, failing.keep(fail(), "follower")})
    await asyncio.sleep(0)

    assert cancelled.lost is None
    assert failing.lost == "the task follower has ended"
