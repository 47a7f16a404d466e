"""Applies the changes of a journal to an engine, and sets those aside that cannot be applied.

A change is planned beside the passes and performed between two of them. One that cannot be planned
or performed must not stop those after it, nor the next start of the service. So if several changes
together fail, each is tried alone. One that fails alone is set aside: the item stays as it was, and
the catalogue counts on. It is logged, counted and shown. The journal keeps it, so it is tried again
by the next start, and by a new bundle.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Final, Protocol, TypeAlias, TypeVar

from app.core.errors import NotReadyError
from app.core.ports import LiveEngine
from app.core.types import Change

V = TypeVar("V")

Runner: TypeAlias = Callable[[Callable[[], None]], Awaitable[None]]
"""Runs a blocking call. `Batcher.run_exclusive` is one: no pass runs meanwhile."""

_MOST_NAMED: Final = 10_000
_NOBODY: Final = ""
"""An id that no item has. To delete it changes nothing, and the catalogue counts on."""
_NOT_OF_THE_CHANGE: Final = (NotReadyError, MemoryError)
"""Failures that say nothing about a change: the service stops, or has lost a part."""

_log = logging.getLogger(__name__)


class Beside(Protocol):
    """Runs a blocking call beside the passes and returns its result, or raises what it raised."""

    def __call__(self, call: Callable[[], V], /) -> Awaitable[V]:
        """Run `call`."""
        ...


class ChangeApplier:
    """Changes one engine, one change at a time.

    Attributes:
        engine: is changed.
    """

    def __init__(
        self, engine: LiveEngine, run: Runner, beside: Beside, now: Callable[[], float]
    ) -> None:
        """Change an engine.

        Args:
            engine: is changed.
            run: performs planned changes, between two passes.
            beside: plans them.
            now: unix seconds.
        """
        self.engine = engine
        self._run, self._beside, self._now = run, beside, now
        self._set_aside: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"<ChangeApplier {self.engine!r}, {len(self._set_aside)} set aside>"

    @property
    def set_aside(self) -> Mapping[str, int]:
        """Item id -> number of its change, for those whose newest change was set aside."""
        return MappingProxyType(self._set_aside)

    def performing_with(self, run: Runner) -> "ChangeApplier":
        """Return the same, but planned changes are performed by `run`."""
        other = ChangeApplier(self.engine, run, self._beside, self._now)
        other._set_aside = self._set_aside
        return other

    async def plan(self, changes: Sequence[Change]) -> Callable[[], None]:
        """Plan changes, and return what performs them. Raises what planning raised."""
        return await self._beside(partial(self.engine.plan, changes, self._now()))

    async def perform(self, changes: Sequence[Change], planned: Callable[[], None]) -> None:
        """Perform changes that were planned. Raises what that raised."""
        await self._run(planned)
        for change in changes:
            self._set_aside.pop(change.item, None)

    async def apply(self, changes: Sequence[Change]) -> None:
        """Apply changes that are in the journal; what cannot be applied is set aside.

        Raises:
            NotReadyError: the service stops, or has lost a part.
            Exception: the engine takes no change at all, not even one that changes nothing.
        """
        try:
            await self._apply(changes)
        except _NOT_OF_THE_CHANGE:
            raise
        except Exception as error:  # noqa: BLE001 - whatever it is, later changes must go on
            if len(changes) == 1:
                await self._put_aside(changes[0], error)
                return
            _log.warning("%d changes failed together, each goes alone now: %r", len(changes), error)
            for change in changes:
                await self.apply([change])

    async def _apply(self, changes: Sequence[Change]) -> None:
        await self.perform(changes, await self.plan(changes))

    async def _put_aside(self, change: Change, error: Exception) -> None:
        """Leave an item as it is, and count the catalogue on beyond its change."""
        await self._apply([Change(change.seq, _NOBODY, None)])
        if len(self._set_aside) < _MOST_NAMED:
            self._set_aside[change.item] = change.seq
        _log.error("change %d, of item %r, was set aside", change.seq, change.item, exc_info=error)
