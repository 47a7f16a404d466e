"""From files to a published bundle: read, export the encoder, encode, index, learn, publish.

`build` shows all steps from top to bottom. `retrain` learns again for the items of an existing
bundle. How rows are parsed is in `app.offline.input`, the files of a bundle are written by
`bundle_files`, `app.bundle.writer` makes them durable, and a gate that is passed in
(`app.evaluation.promotion_gate`) decides whether the result is published.
"""

import logging
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from pydantic import TypeAdapter

from app.bundle.encoder_info import INFO_FILE, EncoderInfo
from app.bundle.manifest import (
    BundleFacts,
    EncoderFacts,
    FastEncodingFacts,
    IndexFacts,
    LearnedFacts,
)
from app.bundle.reader import Bundle, load_vectors, open_bundle
from app.bundle.writer import write_bundle
from app.core.errors import BadDataError, UsageError
from app.core.ports import Encoder
from app.core.types import Matrix
from app.domain.columns import decode_column, encode_column
from app.engine.kernels.cosines import packed
from app.engine.kernels.features import FEATURES_VERSION
from app.engine.open import columns_of, encoder_of
from app.engine.retrieval.index import INDEX_FILE, FlatIndex, ListIndex, VectorIndex
from app.engine.retrieval.word_cutting import WORD_CUTTING_VERSION
from app.offline.bundle_files import (
    describe,
    write_fast_encoding,
    write_items,
    write_learned,
    write_search,
    write_signals,
    write_users,
    write_vectors,
    write_words,
)
from app.offline.input.events import Events, read_events
from app.offline.input.items import read_items
from app.offline.input.judgements import Judgements, read_judgements
from app.offline.input.rating_scale import with_rating_scale
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import Recipe
from app.offline.input.roles import choose_roles
from app.offline.input.users import Users, read_users
from app.offline.learning.signals import EventLog, log_of
from app.offline.progress import StageTimes
from app.offline.promotion import Gate, Promotion

_log = logging.getLogger(__name__)

MakeEncoder: TypeAlias = Callable[[str, Path], Encoder]
"""(model name, empty folder to export into) -> the encoder that the folder now holds."""

OpenEncoder: TypeAlias = Callable[[Bundle], Encoder]
"""The encoder of a bundle."""

_KEPT_FILES = ("items.safetensors", "vectors.npy", INDEX_FILE, "words.safetensors")


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build came to.

    `reports`: of the items, then of the events, then of the users and the judgements if any were
    read. `seconds`: per stage. `verdict`: of the gate, None without one. `guesses`: of roles and
    units, as lines to read.
    """

    bundle: Bundle
    reports: tuple[ReadReport, ...]
    seconds: dict[str, float]
    verdict: str | None = None
    guesses: tuple[str, ...] = ()

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        head = (
            f"{manifest.name}/{manifest.generation}: {manifest.n_items:,} items, "
            f"{manifest.n_users:,} users, {manifest.n_events:,} events, "
            f"encoder {manifest.encoder.id} ({manifest.encoder.dim})"
        )
        details = [line for report in self.reports for line in report.lines()]
        times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        verdict = [] if self.verdict is None else [self.verdict]
        learning = [
            *_said_of_encoder(self.bundle),
            *_said_of_fast_encoding(manifest.encoder.fast_encoding),
            *_said(manifest.learned),
            *_said_of_goals(self.bundle),
        ]
        return "\n".join([head, *details, *self.guesses, *learning, *verdict, times])


def _said_of_encoder(bundle: Bundle) -> list[str]:
    path = bundle.path / "encoder" / INFO_FILE
    if not path.exists():  # an encoder that was passed in
        return []
    return TypeAdapter(EncoderInfo).validate_json(path.read_bytes()).lines()


def _said_of_fast_encoding(fast_encoding: FastEncodingFacts | None) -> list[str]:
    if fast_encoding is None:
        return []
    return [
        f"fast encoding: cosine {fast_encoding.cosine:.3f} to the encoder, and "
        f"{fast_encoding.overlap:.1%} of its ten nearest items among the hundred nearest"
    ]


def _said(learned: LearnedFacts | None) -> list[str]:
    if learned is None:
        return ["nothing learned"]
    metrics = learned.metrics
    lines = [f"learned: {note}" for note in learned.notes]
    if metrics.get("shown"):
        lines.append(f"{metrics['shown']:,.0f} of the examples with what was shown")
    return lines


def _said_of_goals(bundle: Bundle) -> list[str]:
    """Return a line for each goal of the recipe that was not learned."""
    learned = bundle.manifest.learned
    there = () if learned is None else learned.goals
    return [
        f"goal {name!r} of the recipe is left out: too few events of this kind, or nothing learned"
        for name in bundle.manifest.recipe.get("goals", {})
        if name not in there
    ]


def packed_encoder(model: str, folder: Path) -> Encoder:
    """Export a model into a folder and open it the way that serving does, on all our cores."""
    # Here, and not above: exporting takes torch, and nothing else here does.
    from app.engine.encoding.encoder import PackedEncoder  # noqa: PLC0415
    from app.offline.encoder.export import export_encoder  # noqa: PLC0415

    export_encoder(model, folder)
    return PackedEncoder(folder, threads=len(os.sched_getaffinity(0)))


def opened_encoder(bundle: Bundle) -> Encoder:
    """Open the encoder of a bundle on all our cores."""
    return encoder_of(bundle, threads=len(os.sched_getaffinity(0)))


def _opened(folder: Path, vectors: Matrix, facts: IndexFacts) -> VectorIndex:
    """Open the index that lies in a folder, as serving does."""
    if facts.kind == FlatIndex.kind:
        return FlatIndex(vectors, packed(vectors))
    threads = len(os.sched_getaffinity(0))
    return ListIndex.open(folder / INDEX_FILE, vectors, facts.probes, threads)


def build(  # noqa: PLR0913 - all but two have defaults
    items: Path | None,
    events: Path | None,
    recipe: Recipe,
    out: Path,
    make_encoder: MakeEncoder = packed_encoder,
    *,
    users: Path | None = None,
    judgements: Path | None = None,
    learning: bool = True,
    gate: Gate | None = None,
) -> BuildReport:
    """Build the bundle `out` (`models/NAME`) and publish it; on failure nothing changes.

    `items`, `events`, `users` and `judgements` override the paths of the recipe. Without `learning`
    the events only count as popularity and histories; `retrain` can learn from them later. Without
    a `gate` it is published however well it ranks.

    Raises:
        PromotionError: the gate refused it.
        UsageError: no items named, or the recipe does not fit the data.
        BadDataError: a file is unreadable, or more than half of its rows are unusable.
        EngineError: the encoder failed.
    """
    times = StageTimes(_log)
    promotion = Promotion(gate, times)
    with times.stage("read"):
        catalogue = read_items(_items_path(items, recipe), recipe)
        arrays = {k: encode_column(catalogue.kinds[k], v) for k, v in catalogue.columns.items()}
        columns = {k: decode_column(catalogue.kinds[k], parts) for k, parts in arrays.items()}
        # As the columns were found: the text may name them, also when the bundle is trained again.
        if catalogue.names != recipe.items:
            recipe = recipe.model_copy(update={"items": catalogue.names})
        described = describe(columns, recipe)
        happened = _read_log(events, recipe)
        recipe = with_rating_scale(recipe, happened)
        log = log_of(happened, described.ids, recipe.weights)
        people = _read_people(users, recipe)
        judged = _read_judgements(judgements, recipe, described.ids)
        chosen = choose_roles(catalogue, recipe)
        recipe.check_defaults(catalogue.kinds.keys() - {"id"})

    def fill(folder: Path) -> BundleFacts:
        known = promotion.known(out, log, described.ids)
        (folder / "encoder").mkdir()
        with times.stage("export"):
            encoder = make_encoder(recipe.encoder, folder / "encoder")
        with times.stage("encode"):
            write_vectors(folder / "vectors.npy", described.texts, encoder)
        with times.stage("index"):
            index = write_search(folder, described.texts, encoder)
            write_items(folder, arrays)
            write_words(folder, described, columns)
        with times.stage("distil"):
            fast_encoding = write_fast_encoding(folder, described.texts, encoder)
        with times.stage("learn"):
            write_signals(folder, described, known)
            # All of it: events that are held back from learning have happened all the same.
            write_users(folder, log, people)
            learned = None
            if learning:
                # Copy on write: torch takes no read-only arrays.
                vectors = np.load(folder / "vectors.npy", mmap_mode="c")
                searched = _opened(folder, vectors, index)
                learned = write_learned(
                    folder,
                    described,
                    columns,
                    vectors=vectors,
                    index=searched,
                    encoder=lambda: encoder,
                    log=known,
                    users=people,
                    judgements=judged,
                )
        return BundleFacts(
            encoder=EncoderFacts(id=encoder.id, dim=encoder.dim, fast_encoding=fast_encoding),
            index=index,
            n_items=len(described),
            attributes={k: v for k, v in catalogue.kinds.items() if k not in {"id", "title"}},
            user_attributes=people.kinds,
            roles=chosen.roles,
            units=chosen.units,
            counts=_counts(catalogue.report, log.events.report, people.report, judged.report),
            learned=learned,
            recipe=recipe.shown(),
            word_cutting_version=WORD_CUTTING_VERSION,
            features_version=FEATURES_VERSION,
            **_of_events(log, known),
        )

    bundle = write_bundle(out, fill, promotion.accept)
    times.rest("publish")
    reports = [catalogue.report, log.events.report]
    reports += [each for each in (people.report, judged.report) if each is not None]
    return BuildReport(
        bundle, tuple(reports), times.seconds, promotion.verdict, tuple(chosen.lines())
    )


def retrain(  # noqa: PLR0913 - all but two have defaults
    bundle: Path,
    events: Path,
    recipe: Recipe | None = None,
    *,
    judgements: Path | None = None,
    gate: Gate | None = None,
    open_encoder: OpenEncoder = opened_encoder,
) -> BuildReport:
    """Learn anew from an event log for the catalogue of a bundle, and publish the result there.

    Items, words and vectors stay as they are, so this takes a fraction of a build.

    Args:
        bundle: `models/NAME`; its current generation is read, a new one is published.
        events: the whole log; it replaces what the bundle knew of users, but for their attributes.
        recipe: column names and weights of the log; None = those the bundle was built by.
        judgements: graded queries to learn from; overrides the path of the recipe.
        gate: decides whether the result is published; None = always.
        open_encoder: opens the encoder of the bundle; tests pass a fake.

    Raises:
        PromotionError: the gate refused it.
        BundleError: the bundle is damaged.
        BadDataError: the file is unreadable or has no events, or more than half of its rows are
            unusable.
        UsageError: the recipe does not fit the data.
    """
    times = StageTimes(_log)
    promotion = Promotion(gate, times)
    with times.stage("read"):
        old = open_bundle(bundle)
        built_by = Recipe.model_validate(old.manifest.recipe)
        columns = columns_of(old)
        described = describe(columns, built_by)
        stored, recipe = recipe is None, recipe or built_by
        happened = read_events(events, recipe)
        if not len(happened.user):
            raise BadDataError(f"{events.name} contains no events to learn from")
        scaled = with_rating_scale(recipe, happened, stored=stored)
        log = log_of(happened, described.ids, scaled.weights)
        people = Users.of_bundle(old)
        judged = _read_judgements(judgements, recipe, described.ids)

    def fill(folder: Path) -> BundleFacts:
        known = promotion.known(old.path.parent, log, described.ids)
        shutil.copytree(old.path / "encoder", folder / "encoder")
        for name in _KEPT_FILES:
            if name in old.manifest.files:
                shutil.copyfile(old.path / name, folder / name)
        with times.stage("learn"):
            write_signals(folder, described, known)
            write_users(folder, log, people)
            vectors = load_vectors(old)
            searched = _opened(folder, vectors, old.manifest.index)
            learned = write_learned(
                folder,
                described,
                columns,
                vectors=vectors,
                index=searched,
                encoder=partial(open_encoder, old),
                log=known,
                users=people,
                judgements=judged,
            )
        facts = {name: getattr(old.manifest, name) for name in BundleFacts.model_fields}
        kept = {k: n for k, n in old.manifest.counts.items() if "judge" not in k}
        counted = kept | _counts(None, log.events.report, None, judged.report)
        fresh = {
            "learned": learned,
            "counts": counted,
            "features_version": FEATURES_VERSION,
            **_of_events(log, known),
        }
        if scaled is not recipe:  # serving must judge ratings alike
            fresh["recipe"] = old.manifest.recipe | {"weights": scaled.shown()["weights"]}
        return BundleFacts(**facts | fresh)

    published = write_bundle(old.path.parent, fill, promotion.accept)
    times.rest("publish")
    reports = [log.events.report, *([] if judged.report is None else [judged.report])]
    return BuildReport(published, tuple(reports), times.seconds, promotion.verdict)


def _items_path(given: Path | None, recipe: Recipe) -> Path:
    if given is not None:
        return given
    if recipe.items.path is None:
        raise UsageError("no items to build from: give --items FILE, or items.path in the recipe")
    return Path(recipe.items.path)


def _read_log(given: Path | None, recipe: Recipe) -> Events:
    path = given or (Path(recipe.events.path) if recipe.events.path else None)
    return Events.none() if path is None else read_events(path, recipe)


def _read_people(given: Path | None, recipe: Recipe) -> Users:
    path = given or (Path(recipe.users.path) if recipe.users.path else None)
    return Users.none() if path is None else read_users(path, recipe)


def _read_judgements(given: Path | None, recipe: Recipe, ids: list[str]) -> Judgements:
    path = given or (Path(recipe.judgements.path) if recipe.judgements.path else None)
    return Judgements.none() if path is None else read_judgements(path, recipe, ids)


def _counts(
    items: ReadReport | None,
    events: ReadReport | None,
    users: ReadReport | None,
    judgements: ReadReport | None,
) -> dict[str, int]:
    """Return the counters of all files that were read."""
    of_kinds = {"item": items, "event": events, "user": users, "judgement": judgements}
    counts: dict[str, int] = {}
    for kind, report in of_kinds.items():
        counts |= {} if report is None else report.counts(kind)
    return counts


def _of_events(log: EventLog, known: EventLog) -> dict[str, Any]:
    """Return the facts of a manifest that come from events: all, and those learned from."""
    times = known.events.timestamp[~np.isnan(known.events.timestamp)]
    return {
        "n_users": len(log.events.users),
        "n_events": len(log.events),
        "trained_until": float(times.max()) if len(times) else None,
    }
