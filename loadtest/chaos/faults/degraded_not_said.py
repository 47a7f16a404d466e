"""The header of a degraded answer does not say that it is."""

from app.api import fast_path, routes
from app.api.reply import Reply, answer_reply, json_reply
from app.serving.response import Answer


def seed() -> None:
    """Leave the header out."""

    def silent(answer: Answer) -> Reply:
        return json_reply(200, answer.body, (b"x-cache", answer.x_cache.encode()))

    for module in (fast_path, routes):
        if vars(module).get("answer_reply") is answer_reply:
            module.answer_reply = silent
