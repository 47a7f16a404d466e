"""Every answer that was computed is kept for ever: some kilobytes a request."""

from app.domain.request import RecommendRequest
from app.serving.recommender import Answer, Recommender

_BYTES = 8192
_kept: list[bytes] = []


def seed() -> None:
    """Keep a copy of each answer."""
    recommend = Recommender.recommend

    async def keeping(self: Recommender, ask: RecommendRequest, address: str = "") -> Answer:
        answer = await recommend(self, ask, address)
        _kept.append(bytes(answer.body).ljust(_BYTES))
        return answer

    Recommender.recommend = keeping
