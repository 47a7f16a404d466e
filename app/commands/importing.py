"""The command `import`: events or users of a file go into the event store.

It may run beside a service that uses the same store, and works in one namespace of it.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, TypeVar

from app.commands.results import Imported
from app.commands.stores import opened_store
from app.core.settings import Settings
from app.offline.input.event_files import events_of
from app.offline.input.events import TimeBounds
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import Recipe
from app.offline.input.users import read_users

Row = TypeVar("Row")

_ROWS_PER_WRITE: Final = 1000


async def import_users(settings: Settings, path: Path, recipe: Recipe) -> Imported:
    """Put the attributes of the users of a file into the store, as `PUT /users/{id}` does.

    Raises: as `app.offline.input.users.read_users`; nothing was imported then.
    """
    users = read_users(path, recipe)
    async with opened_store(settings) as store:
        for part in _parts(enumerate(users.keys)):
            # A store writes what waits together.
            await asyncio.gather(*[store.put_attributes(key, users.of(row)) for row, key in part])
    return Imported("users", len(users), users.report or ReadReport(path.name))


async def import_events(settings: Settings, path: Path, recipe: Recipe) -> Imported:
    """Append the events of a file to the store. An event that is there already counts once.

    Raises:
        BadDataError: the file cannot be read, or more than half of its rows are unusable; nothing
            was imported.
        UsageError: the ending names no known format.
    """
    now = time.time()
    times = TimeBounds(now=now, oldest=settings.retention().oldest(now), undated=now)
    report, kinds = ReadReport(path.name), Counter[str]()
    # The whole file is checked before anything is written.
    for event in events_of(path, recipe, times, report):
        kinds[event.kind] += 1
    report.check()
    new = sent = 0
    async with opened_store(settings) as store:
        again = events_of(path, recipe, times, ReadReport(path.name))
        for part in _parts(again):
            new += sum(await store.append(part))
            sent += len(part)
    report.duplicates = sent - new
    report.note_kinds(kinds, recipe.weights)
    return Imported("events", new, report)


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while part := list(islice(remaining, _ROWS_PER_WRITE)):
        yield part
