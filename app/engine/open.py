"""Opens a bundle as an engine, for serving and for offline work alike."""

from collections.abc import Callable, Collection
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from app.bundle.reader import (
    Bundle,
    file_of,
    load_arrays,
    load_vectors,
    open_bundle,
    rebuild_command,
)
from app.core.bounds import are_finite, is_plain
from app.core.errors import BundleError
from app.core.types import Device, EngineInfo, JsonValue, Matrix, Vector
from app.domain.columns import Column, decode_column, parts_of
from app.domain.item_text import DEFAULT_TEXT, TextTemplate
from app.engine.catalogue.behaviour import behaviour_of
from app.engine.catalogue.catalogue import Catalogue
from app.engine.encoding.device import require
from app.engine.encoding.encoder import PackedEncoder, RuntimeName
from app.engine.encoding.fast_encoding import FAST_ENCODING_FILE, FastEncoder
from app.engine.encoding.query_cache import MOST
from app.engine.engine import RankEngine
from app.engine.intent.parser import intent_parser_of
from app.engine.kernels.cosines import packed
from app.engine.kernels.features import FEATURES_VERSION
from app.engine.parts import EngineParts, LearnedParts, TextParts, assemble
from app.engine.retrieval.index import INDEX_FILE, FlatIndex, ListIndex, VectorIndex
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.word_cutting import WORD_CUTTING_VERSION
from app.engine.scoring.goals import GOALS_FILE, GoalHeads
from app.engine.scoring.modes import MODES, Mode
from app.engine.scoring.scorer import Scorer

ENCODER_FOLDER: Final = "encoder"

_SIGNALS: Final = ("popularity", "trending", "freshness")
"""What every item has."""


def open_engine(path: Path, threads: int) -> RankEngine:
    """Verify and load a bundle (`models/NAME` or `models/NAME/GENERATION`).

    Raises:
        BundleError: damaged, incomplete or unfit; nothing of it has been used then.
    """
    return engine_of(open_bundle(path), threads)


def encoder_of(bundle: Bundle, threads: int, device: Device = "cpu") -> PackedEncoder:
    """Load the encoder of a verified bundle.

    Raises:
        BundleError, DeviceError, EngineError: as `engine_of`.
    """
    require(device)
    runtime: RuntimeName | None = "torch-cuda" if device == "cuda" else None
    return PackedEncoder(bundle.path / ENCODER_FOLDER, threads, runtime)


def encoder_files(bundle: Bundle) -> dict[str, str]:
    """Return the checksums of what `encoder_of` reads: where they are equal, so are encoders."""
    return {
        name: facts.sha256
        for name, facts in bundle.manifest.files.items()
        if name.startswith(f"{ENCODER_FOLDER}/") and name != FAST_ENCODING_FILE
    }


def engine_of(  # noqa: PLR0913 - each by its name
    bundle: Bundle,
    threads: int,
    *,
    remembered: int = MOST,
    device: Device = "cpu",
    encoder: PackedEncoder | None = None,
    modes: Collection[Mode] = MODES,
) -> RankEngine:
    """Load the parts of a verified bundle; see `open_engine`.

    Args:
        bundle: what to load.
        threads: of the model work on CPU.
        remembered: queries whose vectors are kept.
        device: encodes, and searches a large catalogue.
        encoder: the bundle's, if it is loaded already.
        modes: whose networks are used, where there are some. An evaluation leaves some out.

    Raises:
        BundleError: as `open_engine`.
        DeviceError: the device cannot be used.
        EngineError: it failed, or has no room.
    """
    manifest = bundle.manifest
    check_versions(bundle)
    encoder = encoder or encoder_of(bundle, threads, device)
    if (encoder.id, encoder.dim) != (manifest.encoder.id, manifest.encoder.dim):
        raise BundleError("the encoder of the bundle is not the one its manifest names")
    columns = columns_of(bundle)
    # A plain array: every view of a memmap costs microseconds more.
    vectors = np.asarray(load_vectors(bundle))
    if not are_finite(vectors):
        raise BundleError("the bundle has a vector with numbers that are none")
    signals = signals_of(bundle)
    words = LexicalIndex(load_arrays(bundle, "words.safetensors"))
    if {len(words), *map(len, columns.values())} != {manifest.n_items}:
        raise BundleError("the parts of the bundle disagree on the number of items")
    catalogue = Catalogue(columns, manifest.attributes)
    index = index_of(bundle, vectors, threads, device)
    texts = TextParts(vectors, index, words, render_of(bundle))
    networks = {mode: each for mode, each in networks_of(bundle).items() if mode in modes}
    parts = assemble(
        catalogue,
        encoder,
        texts,
        signals,
        learned=learned_of(bundle),
        networks=networks,
        goals=goals_of(bundle),
    )
    check_features(bundle, parts)
    parser = intent_parser_of(catalogue, manifest.roles, manifest.units)
    parts = replace(parts, parser=parser, roles=manifest.roles)
    if manifest.encoder.fast_encoding is not None:
        parts = replace(
            parts, fast_encoder=FastEncoder(encoder, load_arrays(bundle, FAST_ENCODING_FILE))
        )
    return RankEngine(parts, replace(info_of(bundle), index=index.kind), remembered)


def check_versions(bundle: Bundle) -> None:
    """Refuse a lexical index or a scorer that another version of the code made.

    Raises:
        BundleError: word cutting or features have changed since the bundle was built.
    """
    manifest = bundle.manifest
    versions = {
        "word cutting": (manifest.word_cutting_version, WORD_CUTTING_VERSION),
        "features": (manifest.features_version, FEATURES_VERSION),
    }
    for name, (theirs, ours) in versions.items():
        if theirs != ours:
            raise BundleError(
                f"the bundle has version {theirs} of {name}, not {ours}: build it again with "
                f"`{rebuild_command(bundle.path)}`"
            )


def render_of(bundle: Bundle) -> Callable[[Callable[[str], JsonValue]], str]:
    """Return the function that makes the text of an item, by the recipe of the bundle."""
    recipe = bundle.manifest.recipe
    template = TextTemplate(recipe.get("text", DEFAULT_TEXT))
    # A template may name the columns of the file, which a recipe maps to our own names.
    ours = {theirs: name for name, theirs in recipe.get("items", {}).items()}
    ours |= {name: name for name in ("id", "title", *bundle.manifest.attributes)}
    return lambda value_of: template.render(lambda name: value_of(ours.get(name, name)))


def index_of(bundle: Bundle, vectors: Matrix, threads: int, device: Device = "cpu") -> VectorIndex:
    """Open the index that the bundle was built for; on a GPU, `DeviceIndex` replaces its lists.

    Raises:
        BundleError: there is none that fits.
        DeviceError, EngineError: as `engine_of`.
    """
    facts = bundle.manifest.index
    if facts.kind == FlatIndex.kind:
        return FlatIndex(vectors, packed(vectors))
    if device == "cuda":
        from app.engine.retrieval.gpu_index import DeviceIndex  # noqa: PLC0415 - loads torch

        return DeviceIndex(vectors, device)
    return ListIndex.open(file_of(bundle, INDEX_FILE), vectors, facts.probes, threads)


def signals_of(bundle: Bundle) -> dict[str, Vector]:
    """Return the signals of items by name: float32[n], finite but for ratings that there are not.

    Raises:
        BundleError: one is missing, or does not fit the items.
    """
    signals = load_arrays(bundle, "signals.safetensors")
    n_items = bundle.manifest.n_items
    for name in (*_SIGNALS, *signals):
        signal = signals.get(name)
        if signal is None or not is_plain(signal, np.float32, n_items):
            raise BundleError("the parts of the bundle disagree on the number of items")
        if name in _SIGNALS and not are_finite(signal):
            raise BundleError(f"the bundle has an item whose {name} is no number")
    return signals


def learned_of(bundle: Bundle) -> LearnedParts | None:
    """Return what was learned from behaviour, if anything was. Raises `BundleError`."""
    facts = bundle.manifest.learned
    if facts is None or not facts.decays:
        return None
    arrays = load_arrays(bundle, "behaviour.safetensors")
    behaviour = behaviour_of(arrays, facts.decays, bundle.manifest.n_items)
    return LearnedParts.of(behaviour, facts.content_knn_share)


def networks_of(bundle: Bundle) -> dict[Mode, Scorer]:
    """Return the networks of the scorer by mode, if there are any. Raises `BundleError`."""
    facts = bundle.manifest.learned
    if facts is None or not facts.features:
        return {}
    arrays = load_arrays(bundle, "scorer.safetensors")
    return {
        mode: Scorer(parts_of(arrays, mode), len(names)) for mode, names in facts.features.items()
    }


def goals_of(bundle: Bundle) -> GoalHeads | None:
    """Return the heads of the networks, if there are any. Raises `BundleError`."""
    facts = bundle.manifest.learned
    if facts is None or not facts.goals:
        return None
    arrays = load_arrays(bundle, GOALS_FILE)
    if arrays.get("shares", np.empty(0)).shape != (len(facts.goals), bundle.manifest.n_items + 1):
        raise BundleError("the goals of the bundle do not fit its items")
    return GoalHeads.of(facts.goals, arrays, tuple(facts.features))


def check_features(bundle: Bundle, parts: EngineParts) -> None:
    """Refuse networks that were fitted to other features than are computed here.

    Raises:
        BundleError: the names of the features differ, or their order.
    """
    facts, features = bundle.manifest.learned, parts.scorer.features
    if facts is not None and facts.features != {n: features.names(n) for n in facts.features}:
        raise BundleError("what the bundle has learned does not fit its items or its features")


def columns_of(bundle: Bundle) -> dict[str, Column]:
    """Return the item columns of a bundle by name: `<column>/<part>` of items.safetensors.

    Raises:
        BundleError: malformed, or not the columns that the manifest names.
    """
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, array in load_arrays(bundle, "items.safetensors").items():
        column, _, part = name.rpartition("/")
        grouped.setdefault(column, {})[part] = array
    kinds = {"id": "string", "title": "string", **bundle.manifest.attributes}
    if set(grouped) != set(kinds):
        raise BundleError("the item columns of the bundle are not those its manifest names")
    return {name: decode_column(kind, grouped[name]) for name, kind in kinds.items()}


def info_of(bundle: Bundle) -> EngineInfo:
    """Return the facts of a manifest that describe the engine over its bundle."""
    manifest = bundle.manifest
    goals = () if manifest.learned is None else manifest.learned.goals
    return EngineInfo(
        bundle=manifest.generation,
        bundle_name=manifest.name,
        catalogue=manifest.journal_seq,
        visible_since_seq=manifest.journal_seq,
        n_items=manifest.n_items,
        n_users=manifest.n_users,
        n_events=manifest.n_events,
        dim=manifest.encoder.dim,
        encoder=manifest.encoder.id,
        index=manifest.index.kind,
        scorer="blend" if manifest.learned is None else "learned",
        attributes={k: v for k, v in manifest.attributes.items() if k not in {"id", "title"}},
        user_attributes=manifest.user_attributes,
        roles=manifest.roles,
        max_per=tuple(sorted(manifest.recipe.get("defaults", {}).get("max_per", {}).items())),
        goals=goals,
        goal_weights=tuple(
            (name, weight)
            for name, weight in sorted(manifest.recipe.get("goals", {}).items())
            if name in goals
        ),
    )
