"""A request for `lose it` makes the process lose a part for good; `CHAOS_LOST` says which.

`pass`: a call of the engine never returns. `thread`: a thread of the engine dies. `batcher`: the
task of the batcher dies. `writer`: the thread that writes the event store dies. `loop`: the event
loop never turns again.
"""

import os
import time
from collections.abc import Callable, Sequence

from app.core.ranking import RankRequest
from app.core.types import Event
from app.serving.batching.batcher import Batcher
from app.serving.batching.passes import Passes
from app.serving.batching.plan import BatchPlan
from app.serving.batching.queue import Pass
from app.serving.current_engine import CurrentEngine
from app.serving.stores.sqlite_file import SqliteFile
from app.serving.stores.sqlite_store import SqliteEventStore

TRIGGER = "lose it"
_FOR_EVER_S = 3600.0


def seed() -> None:
    """Prepare the loss."""
    {
        "pass": lambda: _in_a_pass(_hang),
        "thread": lambda: _in_a_pass(_die),
        "batcher": _batcher,
        "writer": _writer,
        "loop": _loop,
    }[os.environ["CHAOS_LOST"]]()


def _hang() -> None:
    time.sleep(_FOR_EVER_S)


def _die() -> None:
    raise SystemExit


def _asked(batch: Sequence[RankRequest]) -> bool:
    return any(TRIGGER in request.query for request in batch)


def _in_a_pass(lose: Callable[[], None]) -> None:
    prepare = CurrentEngine.prepare

    def lost(self: CurrentEngine, batch: Sequence[RankRequest]) -> Callable[[], Pass]:
        if _asked(batch):
            lose()
        return prepare(self, batch)

    CurrentEngine.prepare = lost


def _batcher() -> None:
    serve = Batcher._serve  # noqa: SLF001 - its loop

    async def lost(self: Batcher, passes: Passes) -> None:
        begin = passes.begin

        def fail(plan: BatchPlan) -> None:
            begin(plan)
            if _asked([entry.item for entry in plan.take]):
                raise ValueError("a fault in the loop")

        passes.begin = fail
        await serve(self, passes)

    Batcher._serve = lost  # noqa: SLF001


def _writer() -> None:
    append, committed = SqliteEventStore.append, SqliteFile._committed  # noqa: SLF001
    asked: list[Event] = []

    async def noticed(self: SqliteEventStore, events: Sequence[Event]) -> tuple[bool, ...]:
        asked.extend(event for event in events if event.item == TRIGGER)
        return await append(self, events)

    def lost(self: SqliteFile, jobs: Sequence[object]) -> list[object]:
        if asked:
            raise SystemExit
        return committed(self, jobs)

    SqliteEventStore.append, SqliteFile._committed = noticed, lost  # noqa: SLF001


def _loop() -> None:
    begin = Batcher.begin

    def lost(self: Batcher, item: RankRequest, *args: object, **named: object) -> object:
        if _asked([item]):
            _hang()
        return begin(self, item, *args, **named)

    Batcher.begin = lost
