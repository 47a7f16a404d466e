"""Reads of user state have no time limit of their own, and no circuit breaker."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from app.serving.turn import in_a_task
from app.serving.user_state import UserStates

T = TypeVar("T")


def seed() -> None:
    """Wait for as long as the client of the store does."""

    async def patient(_states: UserStates, read: Callable[[], Awaitable[T]], *_: float) -> T:
        await in_a_task()
        return await read()

    UserStates._in_time  # noqa: B018, SLF001 - it must exist
    UserStates._in_time = patient  # noqa: SLF001 - a fault
