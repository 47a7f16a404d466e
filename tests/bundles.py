"""Small data and bundles for tests, with a fake encoder."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from app.bundle.manifest import BundleFacts, EncoderFacts
from app.core.ports import Encoder
from app.engine.kernels.features import FEATURES_VERSION
from app.engine.retrieval.word_cutting import WORD_CUTTING_VERSION
from app.offline.build import BuildReport, build
from app.offline.input.recipe import Recipe
from app.testing.encoder import HashEncoder

ITEMS = [
    {"id": 1, "title": "Heat", "categories": "Crime|Drama", "published_at": 1995, "price": 9.5},
    {"id": 2, "title": "Alien", "categories": ["Horror"], "text": "In space.", "price": 7},
    {"id": "drei", "title": None, "published_at": "2016-01-02T03:04:05Z", "price": None},
]
EVENTS = [
    {"user_id": 7, "item_id": 1, "timestamp": 300},
    {"user_id": 7, "item_id": "gone", "timestamp": 100},
    {"user_id": 7, "item_id": 2, "timestamp": 200},
    {"session_id": 7, "item_id": 2, "event": "dislike", "timestamp": 400},
]


def fake_encoder(model: str, folder: Path) -> Encoder:
    """Export nothing but a name."""
    (folder / "model.txt").write_text(model)
    return HashEncoder(dim=8)


def fake_opened(bundle):
    """Open the encoder of a bundle that was built by the fake one."""
    return HashEncoder(bundle.manifest.encoder.dim)


def write_jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def build_small(folder: Path, out: Path, recipe: Recipe | None = None) -> BuildReport:
    """Build ITEMS and EVENTS into the bundle `out`; the files go into `folder`."""
    items = write_jsonl(folder / "items.jsonl", ITEMS)
    events = write_jsonl(folder / "events.jsonl", EVENTS)
    return build(items, events, recipe or Recipe(), out, fake_encoder)


SMALL_FACTS = BundleFacts(
    encoder=EncoderFacts(id="fake", dim=4),
    n_items=3,
    n_users=0,
    n_events=0,
    attributes={"text": "string"},
    word_cutting_version=WORD_CUTTING_VERSION,
    features_version=FEATURES_VERSION,
)


def fill_small(folder: Path) -> BundleFacts:
    """Fill a bundle by hand, without a build."""
    np.save(folder / "vectors.npy", np.eye(3, 4, dtype=np.float32))
    save_file(
        {"a/values": np.arange(5.0), "b": np.zeros(0, np.int32)}, folder / "items.safetensors"
    )
    (folder / "encoder").mkdir()
    (folder / "encoder/model.bin").write_bytes(bytes(range(256)))
    (folder / "encoder/empty").write_bytes(b"")
    return SMALL_FACTS
