"""The commands on the event store: `compact`, `export events`, `import events`, training from it.

They may run beside a service that uses the same store.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from app.bundle.reader import open_bundle
from app.core.errors import BadDataError, UsageError
from app.core.ports import EventStore
from app.core.settings import Settings
from app.core.types import Event
from app.offline.build import BuildReport, retrain
from app.offline.input.event_files import events_of, line_of
from app.offline.input.events import TimeBounds
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import EventColumns, Recipe
from app.offline.promotion import Gate
from app.serving.stores.opening import open_event_store

_TOGETHER: Final = 1000


async def compact(settings: Settings) -> str:
    """Drop what retention does not keep, take deleted values out of the files; say what went."""
    async with _opened(settings) as store:
        return f"{await store.compact():,} events dropped, the store is compacted"


async def export_events(settings: Settings, out: Path) -> str:
    """Write all events as JSON Lines, to `-` for standard output; say how many.

    Raises:
        UsageError: another ending.
        StoreError: the store cannot be read; then the file stays as it was.
    """
    if str(out) != "-" and out.suffix != ".jsonl":
        raise UsageError(f"{out.name}: events are exported as JSON Lines (.jsonl)")
    n = 0
    async with _opened(settings) as store:
        with _written(out) as file:
            async for events in store.scan():
                file.writelines(map(line_of, events))
                n += len(events)
    return f"{n:,} events exported"


async def import_events(settings: Settings, path: Path, recipe: Recipe) -> str:
    """Append the events of a file; what is there already counts once. Say what became of it.

    Raises:
        BadDataError: unreadable, or more than half of the rows are unusable: nothing was imported.
    """
    now = time.time()
    times = TimeBounds(now=now, oldest=settings.retention().oldest(now), undated=now)
    report, kinds = ReadReport(path.name), Counter[str]()
    # The whole file is checked before anything is written.
    for event in events_of(path, recipe, times, report):
        kinds[event.kind] += 1
    report.check()
    new = sent = 0
    async with _opened(settings) as store:
        again = events_of(path, recipe, times, ReadReport(path.name))
        for part in _parts(again):
            new += sum(await store.append(part))
            sent += len(part)
    report.duplicates = sent - new
    report.note_kinds(kinds, recipe.weights)
    return "\n".join([f"{new:,} events imported", *report.lines()])


def train_from_store(
    settings: Settings, bundle: Path, log: Path | None, recipe: Recipe | None, gate: Gate
) -> BuildReport:
    """Learn anew from what was collected, and from a log beside it; publish through the gate.

    Args:
        settings: where the store is.
        bundle: `models/NAME`.
        log: an event file, usually the one that the bundle was built from; what is in both counts
            once, by its `event_id`.
        recipe: columns of the log, weights of both; None = those the bundle was built by.
        gate: decides whether the result is published.

    Raises:
        BadDataError: neither holds an event.
        Exception: as `app.offline.build.retrain`.
    """
    recipe = recipe or Recipe.model_validate(open_bundle(bundle).manifest.recipe)
    with tempfile.TemporaryDirectory(prefix="recserve-") as folder:
        events = Path(folder) / "collected.jsonl"
        with events.open("wb") as file:
            n = asyncio.run(_collect(settings, log, recipe, file))
        if not n:
            raise BadDataError("the event store holds no events")
        # Written with our own names of columns, whatever the log calls them.
        ours = recipe.model_copy(update={"events": EventColumns()})
        return retrain(bundle, events, ours, gate=gate)


async def _collect(settings: Settings, log: Path | None, recipe: Recipe, file: BinaryIO) -> int:
    """Write the events of a log and of the store, each once; return how many."""
    known: set[str] = set()
    if log is not None:
        report = ReadReport(log.name)
        # What has no time is the oldest, here as in a build.
        times = TimeBounds(now=time.time(), undated=0.0)
        for event in events_of(log, recipe, times, report):
            known.add(event.id)
            file.write(line_of(event))
        report.check()
    n = len(known)
    async with _opened(settings) as store:
        async for part in store.scan():
            fresh = [event for event in part if event.id not in known]
            file.writelines(map(line_of, fresh))
            n += len(fresh)
    return n


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[EventStore]:
    store = await open_event_store(settings)
    try:
        yield store
    finally:
        await store.aclose()


@contextmanager
def _written(out: Path) -> Iterator[BinaryIO]:
    """Give a file to write that appears under its name only once it is whole."""
    if str(out) == "-":
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(out)
    finally:
        Path(name).unlink(missing_ok=True)


def _parts(events: Iterable[Event]) -> Iterator[list[Event]]:
    waiting = iter(events)
    while part := list(islice(waiting, _TOGETHER)):
        yield part
