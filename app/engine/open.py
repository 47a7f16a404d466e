"""Open a bundle as an engine: the one way in, for serving and offline work alike."""

from pathlib import Path

import numpy as np

from app.bundle import Bundle, load_arrays, load_vectors, open_bundle
from app.columns import Column, Floats, decode_column
from app.engine.candidates import popular_order
from app.engine.catalogue import Catalogue
from app.engine.encoder import PackedEncoder
from app.engine.engine import Parts, RankEngine
from app.engine.index import FlatIndex
from app.errors import BundleError
from app.types import EngineInfo


def open_engine(path: Path, threads: int) -> RankEngine:
    """Verify and load a bundle (`models/NAME` or `models/NAME/GENERATION`).

    Raises:
        BundleError: damaged, incomplete or unfit; nothing of it has been used then.
    """
    return engine_of(open_bundle(path), threads)


def engine_of(bundle: Bundle, threads: int) -> RankEngine:
    """Load the parts of a verified bundle; see `open_engine`."""
    manifest = bundle.manifest
    encoder = PackedEncoder(bundle.path / "encoder", threads)
    if (encoder.id, encoder.dim) != (manifest.encoder.id, manifest.encoder.dim):
        raise BundleError("the encoder of the bundle is not the one its manifest names")
    columns = _columns(bundle)
    vectors = load_vectors(bundle)
    popularity = load_arrays(bundle, "signals.safetensors")["popularity"]
    n_items = len(columns["id"])
    if not n_items == len(vectors) == len(popularity) == manifest.n_items:
        raise BundleError("the parts of the bundle disagree on the number of items")
    parts = Parts(
        catalogue=Catalogue(columns, manifest.attributes),
        encoder=encoder,
        index=FlatIndex(vectors, threads),
        vectors=vectors,
        popularity=popularity,
        popular=popular_order(popularity, _published(columns)),
    )
    return RankEngine(parts, _info(bundle))


def _columns(bundle: Bundle) -> dict[str, Column]:
    """Group the tensors `<column>/<part>` of items.safetensors into columns."""
    grouped: dict[str, dict[str, np.ndarray]] = {}
    for name, array in load_arrays(bundle, "items.safetensors").items():
        column, _, part = name.rpartition("/")
        grouped.setdefault(column, {})[part] = array
    kinds = {"id": "string", "title": "string", **bundle.manifest.attributes}
    if set(grouped) != set(kinds):
        raise BundleError("the item columns of the bundle are not those its manifest names")
    return {name: decode_column(kind, grouped[name]) for name, kind in kinds.items()}


def _published(columns: dict[str, Column]) -> Floats:
    return columns["published_at"].numbers()


def _info(bundle: Bundle) -> EngineInfo:
    manifest = bundle.manifest
    return EngineInfo(
        bundle=manifest.generation,
        bundle_name=manifest.name,
        catalogue=manifest.journal_seq,
        n_items=manifest.n_items,
        n_users=manifest.n_users,
        n_events=manifest.n_events,
        dim=manifest.encoder.dim,
        encoder=manifest.encoder.id,
        index=FlatIndex.kind,
        attributes={k: v for k, v in manifest.attributes.items() if k not in {"id", "title"}},
    )
