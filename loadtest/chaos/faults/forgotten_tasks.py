"""A task is begun for every hundredth answer, and waits for ever."""

import asyncio

from app.domain.request import RecommendRequest
from app.serving.recommender import Answer, Recommender

_EVERY = 100
_tasks: list[asyncio.Task[None]] = []


def seed() -> None:
    """Begin such tasks."""
    recommend = Recommender.recommend
    answered = 0

    async def forgetting(self: Recommender, ask: RecommendRequest, address: str = "") -> Answer:
        nonlocal answered
        answered += 1
        if answered % _EVERY == 0:
            _tasks.append(asyncio.create_task(asyncio.Event().wait()))
        return await recommend(self, ask, address)

    Recommender.recommend = forgetting
