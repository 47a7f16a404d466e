"""What `manifest.json` says of a bundle, as types.

This module reads no file; `app.bundle.reader` verifies and reads, `app.bundle.writer` writes.
"""

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt

from app.domain.columns import Kind

MANIFEST = "manifest.json"
GENERATION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{8}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _relative(name: str) -> str:
    """Let only plain paths below the bundle through: no `..`, no absolute one, no odd spelling."""
    path = PurePosixPath(name)
    plain = path.parts and ".." not in path.parts and not path.is_absolute()
    if not plain or str(path) != name or "\\" in name or "\0" in name or name == MANIFEST:
        raise ValueError("not a plain relative path")
    return name


class FastEncodingFacts(_Strict):
    """How near fast encoding comes to the encoder, on texts that it was not fitted to.

    `cosine`: mean, to the encoder's own vectors. `overlap`: mean share of the ten nearest items of
    a text that are among the hundred nearest by fast encoding.
    """

    cosine: float
    overlap: float


class EncoderFacts(_Strict):
    """Which encoder made the vectors and ships in `encoder/`.

    `fast_encoding`: None where the bundle has no table for it.
    """

    id: str
    dim: int = Field(ge=1)
    fast_encoding: FastEncodingFacts | None = None


class IndexFacts(_Strict):
    """`flat`: filled from vectors.npy at load; else how many lists a search reads, its recall."""

    kind: Literal["flat", "lists"] = "flat"
    probes: NonNegativeInt = 0
    recall: float = 1.0


class FileFacts(_Strict):
    """Size and checksum of one file."""

    bytes: NonNegativeInt
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class LearnedFacts(_Strict):
    """What was learned from behaviour.

    `features`: names, in the order that the scorer takes. `decays`: per table of neighbours, the
    strongest first, the weight of an older item relative to the next newer one.
    `content_knn_share`: the weight of *content_knn* in the source *behaviour*. `metrics`: on
    validation examples; counts.
    """

    features: tuple[str, ...]
    decays: dict[str, float]
    content_knn_share: float
    metrics: dict[str, float] = {}


class BundleFacts(_Strict):
    """What the builder says of the contents.

    `attributes`: each field that callers may ask for and its kind. `roles`: which attribute is the
    price, rating, brand, provider, runtime. `counts`: the readers' counters. `trained_until`: unix
    seconds of the newest event, None without any. `learned`: None where events were too few.
    `recipe`: what it was built by. `word_cutting_version`, `features_version`: of the code that
    cut the words and names the scorer's features; serving refuses a bundle of other versions.
    """

    encoder: EncoderFacts
    index: IndexFacts = IndexFacts()
    n_items: NonNegativeInt
    n_users: NonNegativeInt
    n_events: NonNegativeInt
    attributes: dict[str, Kind]
    roles: dict[str, str] = {}
    counts: dict[str, NonNegativeInt] = {}
    trained_until: float | None = None
    learned: LearnedFacts | None = None
    recipe: dict[str, Any] = {}
    journal_seq: NonNegativeInt = 0
    word_cutting_version: NonNegativeInt
    features_version: NonNegativeInt


class Manifest(BundleFacts):
    """The whole of manifest.json.

    `manifest_sha256`: checksum of the file itself with this value written as zeros.
    """

    format_version: int
    name: str
    generation: str = Field(pattern=f"^{GENERATION.pattern}$")
    created_at: datetime
    recserve: str
    files: dict[Annotated[str, AfterValidator(_relative)], FileFacts]
    manifest_sha256: str = Field(pattern="^[0-9a-f]{64}$")
