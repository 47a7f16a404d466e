"""The commands `compact` and `export`, with the event store opened and closed.

They may run beside a service that uses the same store, and work in one namespace of it. They take
no package of the extra `train`.
"""

import os
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import BinaryIO

from app.commands.results import Exported
from app.core.errors import UsageError
from app.core.settings import Settings
from app.core.store_ports import EventStore
from app.offline.input.exported_lines import line_of, user_line
from app.serving.stores.opening import open_event_store, open_filled_store


async def compact(settings: Settings) -> str:
    """Drop the events that retention does not keep, and deleted values from the store's files.

    Returns a sentence that says how many events were dropped.
    """
    async with opened_store(settings, open_filled_store) as store:
        return f"{await store.compact():,} events dropped, the store is compacted"


async def export_events(settings: Settings, out: Path) -> Exported:
    """Write all events as JSON Lines, to standard output if `out` is `-`.

    Raises:
        UsageError: the ending is not `.jsonl`.
        StoreError: the store cannot be read; the file stays as it was.
    """
    _check_ending(out)
    n = 0
    async with opened_store(settings, open_filled_store) as store:
        with _written(out) as file:
            async for events in store.scan():
                file.writelines(map(line_of, events))
                n += len(events)
    return Exported("events", n, str(out))


async def export_users(settings: Settings, out: Path) -> Exported:
    """Write the attributes that were put of users as JSON Lines; as `export_events`."""
    _check_ending(out)
    n = 0
    async with opened_store(settings, open_filled_store) as store:
        with _written(out) as file:
            async for users in store.scan_attributes():
                file.writelines(user_line(user, attributes) for user, attributes in users)
                n += len(users)
    return Exported("users", n, str(out))


def _check_ending(out: Path) -> None:
    if str(out) != "-" and out.suffix != ".jsonl":
        raise UsageError(f"{out.name}: the ending must be .jsonl, for JSON Lines")


@asynccontextmanager
async def opened_store(
    settings: Settings, opening: Callable[[Settings], Awaitable[EventStore]] = open_event_store
) -> AsyncIterator[EventStore]:
    """Open the event store of the settings, and close it at the end of the block.

    Raises:
        UsageError, StoreError: as `opening`.
    """
    store = await opening(settings)
    try:
        yield store
    finally:
        await store.aclose()


@contextmanager
def _written(out: Path) -> Iterator[BinaryIO]:
    """Open a file to write. It appears under its name only once it is complete."""
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
