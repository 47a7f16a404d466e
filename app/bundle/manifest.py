"""The content of `manifest.json`, as types that validate it.

The manifest lists all files of a bundle with size and checksum, and says how the bundle was made.
This module reads no file: `app.bundle.reader` verifies and reads, `app.bundle.writer` writes.
"""

import re
from datetime import datetime
from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, NonNegativeInt

from app.domain.columns import Kind, TimeUnit

MANIFEST = "manifest.json"
GENERATION = re.compile(r"\d{8}T\d{12}Z-[0-9a-f]{8}")


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _relative(name: str) -> str:
    """Accept only plain relative paths: no `..`, no absolute path, one spelling for each file."""
    path = PurePosixPath(name)
    plain = path.parts and ".." not in path.parts and not path.is_absolute()
    if not plain or str(path) != name or "\\" in name or "\0" in name or name == MANIFEST:
        raise ValueError("not a plain relative path")
    return name


class FastEncodingFacts(_Strict):
    """How close fast encoding comes to the encoder, on texts that it was not fitted to.

    Attributes:
        cosine: mean cosine of both vectors of a text.
        overlap: mean share of a text's ten nearest items that are among the hundred nearest by
            fast encoding.
    """

    cosine: float
    overlap: float


class EncoderFacts(_Strict):
    """The encoder that made the vectors; its files are in `encoder/`.

    `fast_encoding`: None if the bundle has no table for it.
    """

    id: str
    dim: int = Field(ge=1)
    fast_encoding: FastEncodingFacts | None = None


class IndexFacts(_Strict):
    """The vector index.

    Attributes:
        kind: `flat` is filled from `vectors.npy` when the bundle is loaded; `lists` is a file.
        probes: how many lists a search reads.
        recall: share of the true nearest vectors that a search finds.
    """

    kind: Literal["flat", "lists"] = "flat"
    probes: NonNegativeInt = 0
    recall: float = 1.0


class FileFacts(_Strict):
    """Size and checksum of one file."""

    bytes: NonNegativeInt
    sha256: str = Field(pattern="^[0-9a-f]{64}$")


class LearnedFacts(_Strict):
    """What was learned from behaviour and from the words of the catalogue.

    Attributes:
        features: mode -> the names of the features, in the order in which its network takes them.
        decays: for each neighbour table, the most important first: the weight of a recent item
            relative to the next newer one; none where nothing was learned from behaviour.
        content_knn_share: the weight of *content_knn* in the source *behaviour*.
        metrics: of the learned parts on held-back events, and counts.
        notes: what was chosen for each mode of a request, as lines to read.
        goals: the kinds of events for which each network has a head, in the order of the heads.
    """

    features: dict[Literal["words", "history", "both"], tuple[str, ...]]
    decays: dict[str, float]
    content_knn_share: float
    metrics: dict[str, float] = {}
    notes: tuple[str, ...] = ()
    goals: tuple[str, ...] = ()


class BundleFacts(_Strict):
    """What the builder says about the content.

    Attributes:
        attributes: the kind of each field that callers may ask for.
        user_attributes: the kind of each attribute of users.
        roles: which attribute is the price, rating, brand, provider or runtime.
        units: the unit of time of attributes; a runtime without one is in minutes.
        counts: the counters of the read reports.
        trained_until: unix seconds of the newest event; None without events.
        learned: None if there were too few events, or if learning was left out.
        recipe: the recipe that the bundle was built by.
        journal_seq: number of the newest change of the catalogue that the items include.
        word_cutting_version, features_version: of the code that cuts words and computes features.
            Serving refuses a bundle of other versions than its own.
    """

    encoder: EncoderFacts
    index: IndexFacts = IndexFacts()
    n_items: NonNegativeInt
    n_users: NonNegativeInt
    n_events: NonNegativeInt
    attributes: dict[str, Kind]
    user_attributes: dict[str, Kind] = {}
    roles: dict[str, str] = {}
    units: dict[str, TimeUnit] = {}
    counts: dict[str, NonNegativeInt] = {}
    trained_until: float | None = None
    learned: LearnedFacts | None = None
    recipe: dict[str, Any] = {}
    journal_seq: NonNegativeInt = 0
    word_cutting_version: NonNegativeInt
    features_version: NonNegativeInt


class Manifest(BundleFacts):
    """The whole manifest.

    `manifest_sha256`: checksum of the manifest's file, in which this value is written as zeros.
    """

    format_version: int
    name: str
    generation: str = Field(pattern=f"^{GENERATION.pattern}$")
    created_at: datetime
    recserve: str
    files: dict[Annotated[str, AfterValidator(_relative)], FileFacts]
    manifest_sha256: str = Field(pattern="^[0-9a-f]{64}$")
