"""The commands that learn from the event store or ask a language model: `train` and `enrich`."""

import asyncio
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO, Final

from app.bundle.reader import open_bundle
from app.commands.stores import opened_store
from app.core.errors import BadDataError, UsageError
from app.core.settings import Settings
from app.language_model.endpoint import open_language_model
from app.offline.build import BuildReport, retrain
from app.offline.enrichment.enrich import Enrichment, EnrichOptions, estimate
from app.offline.enrichment.item_file import ItemFiles
from app.offline.input.event_files import events_of
from app.offline.input.events import TimeBounds
from app.offline.input.exported_lines import line_of
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import EventColumns, Recipe
from app.offline.promotion import Gate

_MAX_BATCH: Final = 64


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
            n, report = asyncio.run(_collect(settings, log, recipe, file))
        if not n:
            raise BadDataError("the event store contains no events")
        # The file was written with our own column names, whatever those of the log are.
        ours = recipe.model_copy(update={"events": EventColumns()})
        trained = retrain(bundle, events, ours, judgements=judgements, gate=gate)
    return trained if report is None else replace(trained, reports=(report, *trained.reports))


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


async def _collect(
    settings: Settings, log: Path | None, recipe: Recipe, file: BinaryIO
) -> tuple[int, ReadReport | None]:
    """Write the events of an event file and of the store, each once.

    Returns how many there are, and what was counted while reading the file.
    """
    written: set[str] = set()
    report = None if log is None else ReadReport(log.name)
    if log is not None and report is not None:
        # An event without a time is the oldest, as in a build.
        times = TimeBounds(now=time.time(), undated=0.0)
        for event in events_of(log, recipe, times, report):
            written.add(event.id)
            file.write(line_of(event))
        report.check()
    n = len(written)
    async with opened_store(settings) as store:
        async for part in store.scan():
            others = [event for event in part if event.id not in written]
            file.writelines(map(line_of, others))
            n += len(others)
    return n, report
