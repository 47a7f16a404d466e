"""From files to a published bundle: read, check, export the encoder, encode, count, publish.

`build` tells the story from top to bottom. This module does not know how rows are parsed
(`dataset`), what a signal is (`signals`) or how a bundle is made durable (`app.bundle_writer`).
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tqdm import tqdm

from app.bundle import Bundle, BundleFacts, EncoderFacts
from app.bundle_writer import write_bundle
from app.columns import Column, decode_column, encode_column
from app.errors import EngineError, UsageError
from app.offline.dataset import Items, read_items
from app.offline.events import Events, read_events
from app.offline.recipe import Recipe
from app.offline.signals import (
    item_numbers,
    popularity_of,
    positive_weights,
    prefixed,
    user_arrays,
)
from app.offline.tally import Tally
from app.offline.text import TextTemplate
from app.ports import Encoder

MakeEncoder: TypeAlias = Callable[[str, Path], Encoder]
"""(model name, empty folder to export into) -> the encoder that the folder now holds."""

_NUMERIC_ROLES = ("price", "rating", "runtime")
_BATCH_TEXTS = 128


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What a build came to. `seconds`: per stage. `tallies`: of the items, then of the events."""

    bundle: Bundle
    tallies: tuple[Tally, ...]
    seconds: dict[str, float]

    def __str__(self) -> str:
        manifest = self.bundle.manifest
        head = (
            f"{manifest.name}/{manifest.generation}: {manifest.n_items:,} items, "
            f"{manifest.n_users:,} users, {manifest.n_events:,} events, "
            f"encoder {manifest.encoder.id} ({manifest.encoder.dim})"
        )
        details = [line for tally in self.tallies for line in tally.lines()]
        times = ", ".join(f"{stage} {seconds:.1f} s" for stage, seconds in self.seconds.items())
        return "\n".join([head, *details, times])


def packed_encoder(model: str, folder: Path) -> Encoder:
    """Export a model into a folder and open it the way that serving does, on all our cores."""
    # Here, and not above: exporting takes torch, and nothing else of a build does.
    from app.engine.encoder import PackedEncoder  # noqa: PLC0415
    from app.offline.export import export_encoder  # noqa: PLC0415

    export_encoder(model, folder)
    return PackedEncoder(folder, threads=len(os.sched_getaffinity(0)))


def build(
    items: Path | None,
    events: Path | None,
    recipe: Recipe,
    out: Path,
    make_encoder: MakeEncoder = packed_encoder,
) -> BuildReport:
    """Build the bundle `out` (`models/NAME`) and publish it; on failure nothing changes.

    `items` and `events` override the paths of the recipe.

    Raises:
        UsageError: no items named, or the recipe does not fit the data.
        BadDataError: a file is unreadable, or more than half of its rows are unusable.
        EngineError: the encoder failed.
    """
    clock = _Clock()
    catalogue = read_items(_items_path(items, recipe), recipe)
    log = _read_log(events, recipe)
    texts = _texts(catalogue, recipe)
    roles = _roles(catalogue, recipe)
    clock.end("read")

    def fill(folder: Path) -> BundleFacts:
        (folder / "encoder").mkdir()
        encoder = make_encoder(recipe.encoder, folder / "encoder")
        clock.end("export")
        _write_vectors(folder / "vectors.npy", texts, encoder)
        clock.end("encode")
        _write_items(folder / "items.safetensors", catalogue)
        _write_behaviour(folder, catalogue, log, recipe)
        return _facts(catalogue, log, roles, encoder)

    bundle = write_bundle(out, fill)
    clock.end("publish")
    return BuildReport(bundle, (catalogue.tally, log.tally), clock.seconds)


class _Clock:
    """Seconds per stage: each runs from the end of the one before."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def end(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now


def _items_path(given: Path | None, recipe: Recipe) -> Path:
    if given is not None:
        return given
    if recipe.items.path is None:
        raise UsageError("no items to build from: give --items FILE, or items.path in the recipe")
    return Path(recipe.items.path)


def _read_log(given: Path | None, recipe: Recipe) -> Events:
    path = given or (Path(recipe.events.path) if recipe.events.path else None)
    return Events.none() if path is None else read_events(path, recipe)


def _texts(items: Items, recipe: Recipe) -> list[str]:
    """Return the text of each item; a template may use our names, attributes, or mapped columns."""
    template = TextTemplate(recipe.text)
    ours = recipe.items.model_dump(exclude={"path"})
    aliases = {theirs: name for name, theirs in ours.items()} | {name: name for name in items.kinds}
    used: dict[str, Column] = {}
    for name in template.names:
        if name not in aliases:
            known = ", ".join(sorted(items.kinds))
            raise UsageError(f"{recipe.file}: text: there is no column {name!r}; there are {known}")
        used[name] = decode_column(items.kinds[aliases[name]], _encoded(items, aliases[name]))
    return [
        template.render({name: column.value(row) for name, column in used.items()}.get)
        for row in range(len(items))
    ]


def _roles(items: Items, recipe: Recipe) -> dict[str, str]:
    """Return role -> attribute, having checked that the attributes are there and fit."""
    roles = recipe.roles.given()
    for role, name in roles.items():
        if name not in items.kinds:
            raise UsageError(f"{recipe.file}: roles.{role}: the items have no column {name!r}")
        if role in _NUMERIC_ROLES and items.kinds[name] != "number":
            raise UsageError(f"{recipe.file}: roles.{role}: the column {name!r} holds no numbers")
    return roles


def _write_vectors(path: Path, texts: list[str], encoder: Encoder) -> None:
    """Encode in batches of texts of like length, straight into a mapped float32[n, dim] file."""
    vectors = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float32, shape=(len(texts), encoder.dim)
    )
    order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
    with tqdm(total=len(texts), desc="encode", unit=" texts", disable=None) as bar:
        for start in range(0, len(order), _BATCH_TEXTS):
            rows = order[start : start + _BATCH_TEXTS]
            batch = encoder.encode([texts[row] for row in rows])
            if not np.allclose(np.linalg.norm(batch, axis=1), 1.0, atol=1e-3):
                raise EngineError("the encoder returned vectors that are not of unit length")
            vectors[rows] = batch
            bar.update(len(rows))
    vectors.flush()


def _encoded(items: Items, name: str) -> dict[str, npt.NDArray[Any]]:
    return encode_column(items.kinds[name], items.columns[name])


def _write_items(path: Path, items: Items) -> None:
    tensors: dict[str, npt.NDArray[Any]] = {}
    for name in items.columns:
        tensors |= prefixed(name, _encoded(items, name))
    save_file(tensors, path)


def _write_behaviour(folder: Path, items: Items, log: Events, recipe: Recipe) -> None:
    """Write popularity and histories, and count the events that add nothing yet."""
    numbers, unknown = item_numbers(log, items.ids)
    weights = positive_weights(log, recipe.weights)
    strange = np.array([kind not in recipe.weights for kind in log.kinds], dtype=bool)
    log.tally.noted["unknown_item"] = int(np.count_nonzero(numbers >= len(items)))
    log.tally.noted["unknown_event"] = int(np.count_nonzero(strange[log.event]))
    popularity = popularity_of(numbers, weights, len(items))
    save_file({"popularity": popularity}, folder / "signals.safetensors")
    save_file(user_arrays(log, numbers, weights, unknown), folder / "users.safetensors")


def _facts(items: Items, log: Events, roles: dict[str, str], encoder: Encoder) -> BundleFacts:
    times = log.timestamp[~np.isnan(log.timestamp)]
    return BundleFacts(
        encoder=EncoderFacts(id=encoder.id, dim=encoder.dim),
        n_items=len(items),
        n_users=len(log.users),
        n_events=len(log),
        attributes={k: v for k, v in items.kinds.items() if k not in {"id", "title"}},
        roles=roles,
        counts=items.tally.counts("item") | log.tally.counts("event"),
        trained_until=float(times.max()) if len(times) else None,
    )
