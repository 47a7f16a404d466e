"""The mode of a request: whether it has a query, a history, or both. Each has a network of its own.

Who asks, and where, counts as a history, be it empty: the features of both are one group. A request
that has neither, or nothing that was learned of, has no mode: nothing tells its candidates apart.
"""

from typing import Final, Literal, TypeAlias

from app.engine.retrieval.resolve import ResolvedRequest

Mode: TypeAlias = Literal["words", "history", "both"]

MODES: Final[tuple[Mode, ...]] = ("words", "history", "both")


def mode_of(request: ResolvedRequest) -> Mode | None:
    """Return the mode of a request; None = nothing is known but what it excludes."""
    someone = request.recent.size or request.sides.size
    if request.query:
        return "both" if someone else "words"
    return "history" if someone else None
