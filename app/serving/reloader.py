"""The reload: a new generation of the bundle replaces the one that serves, while requests go on.

The new one is loaded in a thread beside the old one and replaces it in one step. If it cannot be
loaded, or fails its warm-up, it is refused, and the old one serves on. This module does not know
what a bundle looks like on the disk: `BundleSource` does.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from app.core.errors import BundleError, NotReadyError, StoreError
from app.core.ports import LiveEngine
from app.core.ranking import RankRequest, RankResult
from app.core.telemetry import Metrics
from app.core.types import Generation
from app.serving.batching.batcher import Batcher
from app.serving.batching.worker import NewThread, ThreadDiedError, background_thread
from app.serving.current_engine import CurrentEngine, LoadedBundle

log = logging.getLogger(__name__)


def _nothing() -> None:
    pass


@asynccontextmanager
async def _at_once(engine: LiveEngine) -> AsyncIterator[None]:  # noqa: ARG001 - as a handover
    yield


@dataclass(frozen=True, slots=True)
class BundleSource:
    """Where generations come from.

    Attributes:
        points_to: returns the id of the generation that is to serve, or None where there is none.
            It is cheap: it runs on the event loop.
        load: opens that generation, verified and warm. Blocking. It raises `BundleError`; any other
            error means the same.
        settle: is called on the event loop once nothing uses the old generation any more.
    """

    points_to: Callable[[], str | None]
    load: Callable[[], LoadedBundle]
    settle: Callable[[], None] = _nothing

    @classmethod
    def fixed(cls, loaded: LoadedBundle) -> "BundleSource":
        """Return a source that never has anything else."""
        return cls(lambda: loaded.engine.info.bundle, lambda: loaded)


@dataclass(frozen=True, slots=True)
class Reload:
    """The result of a reload.

    Attributes:
        generation: serves now.
        previous: id of the bundle's generation that served before; it may be the same.
        seconds: how long the reload took.
    """

    generation: Generation
    previous: str
    seconds: float

    @property
    def reloaded(self) -> bool:
        """Whether another generation serves than before."""
        return self.generation.bundle != self.previous


class Reloader:
    """Replaces what serves, one reload at a time. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - all but four have defaults
        self,
        current: CurrentEngine,
        batcher: Batcher[RankRequest, RankResult],
        source: BundleSource,
        metrics: Metrics,
        *,
        handover: Callable[[LiveEngine], AbstractAsyncContextManager[None]] = _at_once,
        clock: Callable[[], float] = time.monotonic,
        new_thread: NewThread = background_thread,
    ) -> None:
        """Prepare reloads; nothing runs before one is asked for.

        Args:
            current: the engine and the histories that serve.
            batcher: runs the passes over that engine.
            source: where other generations come from.
            metrics: where reloads are counted.
            handover: brings a new engine to the state of the old one, and lets no item change until
                it serves: `LiveCatalogue.handover`.
            clock: seconds.
            new_thread: starts a thread of that name, in which a generation is loaded.
        """
        self._clock, self._new_thread = clock, new_thread
        self._handover = handover
        self._current = current
        self._batcher = batcher
        self._source = source
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Reload:
        """Serve the generation that the source points to, unless it serves already.

        Raises:
            BundleError: it cannot serve; the old one serves on.
            StoreError: the changes of items since it was built cannot be read; the old one serves
                on.
        """
        async with self._one_at_a_time:
            start, previous = self._clock(), self._current.info.bundle
            if self._source.points_to() != previous:
                loaded = await self._load()
                if loaded.engine.info.bundle != previous:
                    await self._swap(loaded)
            return Reload(self._current.info.generation, previous, self._clock() - start)

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Reload whenever the source points to another generation than before; runs for ever.

        A generation that was refused is not tried again until the source has pointed to another.
        """
        tried: str | None = self._current.info.bundle
        while True:
            await sleep(interval_s)
            points_to = self._source.points_to()
            if points_to in (None, tried):
                continue
            tried = points_to
            try:
                with suppress(BundleError):  # `_load` has logged and counted it
                    await self.reload()
            except StoreError as error:
                log.warning("a new bundle has to wait: %s", error.message)
                tried = None
            except Exception:  # go on, or the next generation would never be seen
                log.exception("a reload failed")

    async def _load(self) -> LoadedBundle:
        # A thread for each load: what libraries keep for a thread is freed when the thread ends.
        thread = self._new_thread("recserve-reload")
        try:
            outcome = await thread.run(self._source.load)
        except ThreadDiedError as error:
            outcome = error
        finally:
            thread.stop()
        if not isinstance(outcome, Exception):
            return outcome
        try:
            raise self._refused(outcome) from outcome.__cause__
        finally:
            # An error refers to its frames, and they refer to what was loaded so far. There must be
            # no reference cycle: `app.core.memory` says why.
            del outcome

    def _refused(self, error: Exception) -> BundleError:
        """Count and log why a bundle is refused, and return the error for the callers."""
        self._metrics.reloads.labels("refused").inc()
        if isinstance(error, BundleError):
            log.error("a bundle was refused, %r serves on: %s", self._current, error.message)
            return error
        log.error("a bundle was refused, %r serves on", self._current, exc_info=error)
        return BundleError("the bundle cannot be loaded")

    async def _swap(self, loaded: LoadedBundle) -> None:
        async with self._handover(loaded.engine):
            old = self._current.replace(loaded)
        self._metrics.reloads.labels("done").inc()
        log.info("took over: %r", self._current)
        with suppress(NotReadyError):  # stopping, or lost: a pass may still use the old engine
            await self._batcher.run_exclusive(old.engine.close)
        await old.users.aclose()
        del old
        self._source.settle()
