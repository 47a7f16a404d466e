"""A new bundle takes over while requests go on: loaded beside the old one, swapped in one step.

What cannot be loaded, or does not answer when warmed up, is refused; the old one serves on. Does
not know what a bundle looks like on the disk: see `BundleSource`.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass

from app.core.errors import BundleError, NotReadyError, StoreError
from app.core.ports import LiveEngine
from app.core.telemetry import Metrics
from app.core.types import Generation, RankRequest, RankResult
from app.serving.batching.batcher import Batcher
from app.serving.batching.worker import ThreadDiedError, WorkerThread
from app.serving.current_engine import CurrentEngine, Loaded

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
        points_to: id of the generation that is to serve; None where there is none to be seen.
            Cheap: it runs on the event loop.
        load: open that generation, verified and warm. Blocking. Raises `BundleError`; anything else
            that it raises means the same.
        settle: called on the event loop when the old one is no longer used by anything.
    """

    points_to: Callable[[], str | None]
    load: Callable[[], Loaded]
    settle: Callable[[], None] = _nothing

    @classmethod
    def fixed(cls, loaded: Loaded) -> "BundleSource":
        """Return a source that never has anything else."""
        return cls(lambda: loaded.engine.info.bundle, lambda: loaded)


@dataclass(frozen=True, slots=True)
class Reload:
    """What a reload came to; `previous` is the generation that served before, maybe this one."""

    generation: Generation
    previous: str
    seconds: float

    @property
    def reloaded(self) -> bool:
        """Whether another generation took over."""
        return self.generation.bundle != self.previous


class Reloader:
    """Replaces what serves, one reload at a time. All methods belong to one event loop."""

    def __init__(
        self,
        current: CurrentEngine,
        batcher: Batcher[RankRequest, RankResult],
        source: BundleSource,
        metrics: Metrics,
        handover: Callable[[LiveEngine], AbstractAsyncContextManager[None]] = _at_once,
    ) -> None:
        """Replace what `current` holds.

        Args:
            current: what is replaced.
            batcher: runs the passes over it.
            source: of other bundles.
            metrics: where reloads are counted.
            handover: brings a new engine to where the old one is, and lets nothing change until it
                has taken over: `LiveCatalogue.handover`.
        """
        self._handover = handover
        self._current = current
        self._batcher = batcher
        self._source = source
        self._metrics = metrics
        self._one_at_a_time = asyncio.Lock()

    async def reload(self) -> Reload:
        """Let the generation that the source points to take over, unless it serves already.

        Raises:
            BundleError: it cannot serve; the one before serves on.
            StoreError: what changed since it was built cannot be read; the one before serves on.
        """
        async with self._one_at_a_time:
            start, previous = time.monotonic(), self._current.info.bundle
            if self._source.points_to() != previous:
                loaded = await self._load()
                if loaded.engine.info.bundle != previous:
                    await self._swap(loaded)
            return Reload(self._current.info.generation, previous, time.monotonic() - start)

    async def watch(
        self, interval_s: float, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        """Reload for ever, whenever the source points to another generation than before.

        One that was refused is not tried again until the source has pointed to another.
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
            except Exception:  # the next generation shall be seen all the same
                log.exception("a reload failed")

    async def _load(self) -> Loaded:
        # In a thread of its own, which takes along what libraries keep for each thread.
        thread = WorkerThread("recserve-reload", stands_back=True)
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
            # An error holds its frames, and with them what was loaded so far: no cycle, see
            # `app.core.memory`.
            del outcome

    def _refused(self, error: Exception) -> BundleError:
        """Count and log why a bundle does not take over, and return what callers are told."""
        self._metrics.reloads.labels("refused").inc()
        if isinstance(error, BundleError):
            log.error("a bundle was refused, %r serves on: %s", self._current, error.message)
            return error
        log.error("a bundle was refused, %r serves on", self._current, exc_info=error)
        return BundleError("the bundle cannot be loaded")

    async def _swap(self, loaded: Loaded) -> None:
        async with self._handover(loaded.engine):
            old = self._current.replace(loaded)
        self._metrics.reloads.labels("done").inc()
        log.info("took over: %r", self._current)
        with suppress(NotReadyError):  # stopping, or lost: then a pass may still be using it
            await self._batcher.run_exclusive(old.engine.close)
        await old.users.aclose()
        del old
        self._source.settle()
