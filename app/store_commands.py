"""The commands on the event store: `recserve compact`, `export events`, `import events`.

They may run beside a service that uses the same store.
"""

import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

from app.bootstrap import open_event_store
from app.errors import UsageError
from app.offline.event_files import events_of, line_of
from app.offline.recipe import Recipe
from app.offline.tally import Tally
from app.ports import EventStore
from app.settings import Settings
from app.types import Event

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
    oldest = settings.retention().oldest(now)
    tally = Tally(path.name)
    for _ in events_of(path, recipe, now, oldest, tally):
        pass
    tally.check()
    new = sent = 0
    async with _opened(settings) as store:
        for part in _parts(events_of(path, recipe, now, oldest, Tally(path.name))):
            new += sum(await store.append(part))
            sent += len(part)
    tally.duplicates = sent - new
    return "\n".join([f"{new:,} events imported", *tally.lines()])


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
