"""The commands that use the event store or a language model, with what they need opened and closed.

`compact`, `export`, `import` and `train` may run beside a service that uses the same
store. `enrich` asks a language model.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeVar

from app.bundle.reader import open_bundle
from app.core.errors import BadDataError, UsageError
from app.core.ports import EventStore
from app.core.settings import Settings
from app.language_model.endpoint import open_language_model
from app.offline.build import BuildReport, retrain
from app.offline.enrichment.enrich import Enrichment, EnrichOptions, estimate
from app.offline.enrichment.item_file import ItemFiles
from app.offline.input.event_files import events_of, line_of
from app.offline.input.events import TimeBounds
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import EventColumns, FileFormat, Recipe
from app.offline.input.users import read_users, user_line
from app.offline.promotion import Gate
from app.serving.stores.opening import open_event_store

Row = TypeVar("Row")

_ROWS_PER_WRITE: Final = 1000
_MAX_BATCH: Final = 64


async def compact(settings: Settings) -> str:
    """Drop the events that retention does not keep, and deleted values from the store's files.

    Returns a sentence that says how many events were dropped.
    """
    async with _opened(settings) as store:
        return f"{await store.compact():,} events dropped, the store is compacted"


async def export_events(settings: Settings, out: Path) -> str:
    """Write all events as JSON Lines, to standard output if `out` is `-`.

    Returns a sentence that says how many there are.

    Raises:
        UsageError: the ending is not `.jsonl`.
        StoreError: the store cannot be read; the file stays as it was.
    """
    _check_ending(out)
    n = 0
    async with _opened(settings) as store:
        with _written(out) as file:
            async for events in store.scan():
                file.writelines(map(line_of, events))
                n += len(events)
    return f"{n:,} events exported"


async def export_users(settings: Settings, out: Path) -> str:
    """Write the attributes that were put of users as JSON Lines; as `export_events`."""
    _check_ending(out)
    n = 0
    async with _opened(settings) as store:
        with _written(out) as file:
            async for users in store.scan_attributes():
                file.writelines(user_line(user, attributes) for user, attributes in users)
                n += len(users)
    return f"{n:,} users exported"


async def import_users(settings: Settings, path: Path, recipe: Recipe) -> str:
    """Put the attributes of the users of a file into the store, as `PUT /users/{id}` does.

    Returns lines that say how many users there are, and which rows could not be used.

    Raises: as `app.offline.input.users.read_users`; nothing was imported then.
    """
    users = read_users(path, recipe)
    async with _opened(settings) as store:
        for part in _parts(enumerate(users.keys)):
            # A store writes what waits together.
            await asyncio.gather(*[store.put_attributes(key, users.of(row)) for row, key in part])
    report = users.report or ReadReport(path.name)
    return "\n".join([f"{len(users):,} users imported", *report.lines()])


async def import_events(settings: Settings, path: Path, recipe: Recipe) -> str:
    """Append the events of a file to the store. An event that is there already counts once.

    Returns lines that say how many events are new, and which rows could not be used.

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
    async with _opened(settings) as store:
        again = events_of(path, recipe, times, ReadReport(path.name))
        for part in _parts(again):
            new += sum(await store.append(part))
            sent += len(part)
    report.duplicates = sent - new
    report.note_kinds(kinds, recipe.weights)
    return "\n".join([f"{new:,} events imported", *report.lines()])


def train_from_store(  # noqa: PLR0913 - each by its name
    settings: Settings,
    bundle: Path,
    log: Path | None,
    recipe: Recipe | None,
    gate: Gate,
    *,
    judgements: Path | None = None,
) -> BuildReport:
    """Learn anew from the stored events, and from an event file; publish through the gate.

    Args:
        settings: name the store.
        bundle: `models/NAME`.
        log: an event file, usually the one that the bundle was built from. An event in both counts
            once, by its `event_id`.
        recipe: columns of the file, event rules of both; None = the recipe of the bundle.
        gate: decides whether the result is published.
        judgements: graded queries to learn from, too; None = the path of the recipe, if it has one.

    Raises:
        BadDataError: neither the store nor the file has an event.
        Exception: as `app.offline.build.retrain`.
    """
    recipe = recipe or Recipe.model_validate(open_bundle(bundle).manifest.recipe)
    with tempfile.TemporaryDirectory(prefix="recserve-") as folder:
        events = Path(folder) / "collected.jsonl"
        with events.open("wb") as file:
            n = asyncio.run(_collect(settings, log, recipe, file))
        if not n:
            raise BadDataError("the event store contains no events")
        # The file was written with our own column names, whatever those of the log are.
        formats = recipe.format.model_copy(update={"events": FileFormat()})
        ours = recipe.model_copy(update={"events": EventColumns(), "format": formats})
        return retrain(bundle, events, ours, judgements=judgements, gate=gate)


async def enrich(
    settings: Settings, files: ItemFiles, options: EnrichOptions, say: Callable[[str], None]
) -> str:
    """Let the language model of the settings add columns to the items of a file.

    Args:
        settings: name the model.
        files: what is read and written.
        options: how it goes.
        say: shows a line of progress.

    Returns a sentence that says what was done.

    Raises:
        UsageError, BadDataError, LanguageModelError: as `Enrichment.run`; no model is set.
    """
    _check_batch(options)
    model = open_language_model(settings)
    try:
        return await Enrichment(files, model, settings.llm_model, options, say).run()
    finally:
        await model.aclose()


def plan_enrichment(files: ItemFiles, options: EnrichOptions) -> str:
    """Return a sentence that says what `enrich` would cost. It needs no language model.

    Raises:
        UsageError, BadDataError: as `estimate`.
    """
    _check_batch(options)
    return estimate(files, options)


def _check_batch(options: EnrichOptions) -> None:
    if not 1 <= options.batch <= _MAX_BATCH:
        raise UsageError(f"--batch must be 1 to {_MAX_BATCH}")


async def _collect(settings: Settings, log: Path | None, recipe: Recipe, file: BinaryIO) -> int:
    """Write the events of an event file and of the store, each once; return how many."""
    written: set[str] = set()
    if log is not None:
        report = ReadReport(log.name)
        # An event without a time is the oldest, as in a build.
        times = TimeBounds(now=time.time(), undated=0.0)
        for event in events_of(log, recipe, times, report):
            written.add(event.id)
            file.write(line_of(event))
        report.check()
    n = len(written)
    async with _opened(settings) as store:
        async for part in store.scan():
            others = [event for event in part if event.id not in written]
            file.writelines(map(line_of, others))
            n += len(others)
    return n


def _check_ending(out: Path) -> None:
    if str(out) != "-" and out.suffix != ".jsonl":
        raise UsageError(f"{out.name}: the ending must be .jsonl, for JSON Lines")


@asynccontextmanager
async def _opened(settings: Settings) -> AsyncIterator[EventStore]:
    store = await open_event_store(settings)
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


def _parts(rows: Iterable[Row]) -> Iterator[list[Row]]:
    remaining = iter(rows)
    while part := list(islice(remaining, _ROWS_PER_WRITE)):
        yield part
