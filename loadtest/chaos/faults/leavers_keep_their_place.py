"""A caller who leaves keeps his place in the queue, and his request is encoded."""

from app.serving.batching.queue import QueueEntry
from app.serving.recommender import Recommender


def seed() -> None:
    """Shield the work of a request from its caller."""
    import asyncio  # noqa: PLC0415 - only here

    recommend = Recommender.recommend
    kept: set[asyncio.Task] = set()
    QueueEntry.abandoned  # noqa: B018 - it must exist

    async def shielded(self: Recommender, *args: object, **more: object) -> object:
        await asyncio.sleep(0)  # into a task
        task = asyncio.ensure_future(recommend(self, *args, **more))
        kept.add(task)
        return await asyncio.shield(task)

    Recommender.recommend = shielded
