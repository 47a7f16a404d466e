"""`POST /recommend` from body to reply, without a framework in between.

Most replies are cached answers, or refusals under a rush, and cost little else. Used by
`app.api.connection`; the route of that name in `app.api.routes` says the same through FastAPI.
"""

from time import perf_counter
from typing import Final

from app.api.problems import problem_reply, translate
from app.api.reply import CALLER_LEFT, Outcomes, Reply, answer_reply
from app.api.rush import Rush
from app.bootstrap import Service
from app.request import RecommendRequest

ROUTE: Final = "/recommend"
DIRECT: Final = "direct"
"""Under what name the state of the application's lifespan holds a `Direct`."""


class Direct:
    """Replies to bodies. All methods belong to one event loop."""

    def __init__(self, service: Service, outcomes: Outcomes) -> None:
        """Let `service` answer; count in `outcomes`."""
        self._recommend = service.recommender.recommend
        self._rush = Rush(service.recommender.turn_away)
        self._outcomes = outcomes
        self.max_body_bytes = service.settings.max_body_bytes

    async def reply(self, body: bytes, request_id: str) -> Reply:
        """Validate, hand over, and make the reply; every failure is a JSON problem.

        May be begun outside a task. If it is cancelled, the caller has left.
        """
        start = perf_counter()
        status = CALLER_LEFT
        try:
            self._rush.check(body)
            ask = RecommendRequest.model_validate_json(body)
            reply = answer_reply(await self._recommend(ask))
        except Exception as error:  # noqa: BLE001 - the last line of defence: no trace leaves the house
            reply = problem_reply(translate(error), request_id)
            status = reply.status
        else:
            status = 200
        finally:
            self._outcomes.count(ROUTE, status, perf_counter() - start)
        return reply
