"""The mode of a request: whether it has a query, a history, or both. Each has a network of its own.

A request that has neither, or whose history nothing was learned of, has no mode: nothing that was
learned tells its candidates apart.
"""

from typing import Final, Literal, TypeAlias

from app.engine.retrieval.resolve import ResolvedRequest

Mode: TypeAlias = Literal["words", "history", "both"]

MODES: Final[tuple[Mode, ...]] = ("words", "history", "both")


def mode_of(request: ResolvedRequest) -> Mode | None:
    """Return the mode of a request; None = it has neither a query nor recent items."""
    if request.query:
        return "both" if request.recent.size else "words"
    return "history" if request.recent.size else None
