"""The goals of a request: which kinds of events it wants, and how much each is worth."""

from collections.abc import Mapping

from app.core.errors import InvalidRequestError
from app.core.types import EngineInfo, Goals


def goals_of(sent: Mapping[str, float] | None, info: EngineInfo) -> Goals:
    """Return `RankRequest.goals`.

    Args:
        sent: what the request says; None = nothing, so the recipe of the bundle decides.
        info: of the engine, which knows the goals there are.

    Raises:
        InvalidRequestError: there is no such goal, or no weight is above 0.
    """
    if sent is None:
        return info.goal_weights
    if not sent:
        return ()
    if not info.goals:
        raise InvalidRequestError(
            "this bundle has no goals: it was built from too few events of each kind, or before "
            "there were goals; build it again from a log with more events, or leave goals out",
            field="goals",
        )
    for name in sent:
        if name not in info.goals:
            raise InvalidRequestError(
                f"there is no goal {name!r}; the goals are {', '.join(info.goals)}",
                field=f"goals.{name}",
            )
    if not any(sent.values()):
        raise InvalidRequestError("a goal needs a weight above 0", field="goals")
    return tuple(sorted(sent.items()))
