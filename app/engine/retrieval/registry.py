"""The one place where candidate sources are registered.

A `SourceSpec` names a source, bounds how many candidates it brings, and makes it of the parts that
it needs; where the engine lacks those parts, there is no such source. Serving
(`app.engine.parts.assemble`), learning and evaluation derive their sources from the lists below.

To add a source, write its class (`app.engine.retrieval.sources`) and register it here. One that
is learned reads a table of neighbours or a space of `Behaviour`. A new table needs no code for
opening, saving or describing: every table of a bundle gets the features of
`app.engine.kernels.features.feature_names`, under its name, and its own decay. It needs only the
function that learns it, which `app.offline.learning.learn` calls.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.types import Vector
from app.engine.catalogue.behaviour import Behaviour
from app.engine.kernels.topk import TopK, topk_over
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.similar import Similarity
from app.engine.retrieval.sources import (
    SOURCE_SIZE,
    FixedSource,
    HolderSource,
    MeaningSource,
    NeighbourSource,
    PeopleLikeSource,
    SimilarSource,
    Source,
    TasteSource,
    VectorSource,
    WeightedTable,
    WordSource,
    best_first,
)


@dataclass(frozen=True, slots=True)
class SourceParts:
    """The parts of an engine that sources read; None = the engine does not have it.

    Attributes:
        topk: chooses among the rows.
        vectors, words: the indexes of the items' texts.
        similarity: tells which items are similar.
        signals: float32[n] in [0, 1] by name: popularity, trending, freshness.
        behaviour: what was learned.
        content_knn_share: weight of likeness in words in the source *behaviour*.
    """

    topk: TopK
    vectors: VectorIndex | None = None
    words: LexicalSearch | None = None
    similarity: Similarity | None = None
    signals: Mapping[str, Vector] | None = None
    behaviour: Behaviour | None = None
    content_knn_share: float = 0.0


@dataclass(frozen=True, slots=True)
class SourceSpec:
    """A source: its name in answers, how many candidates it brings at most, and how it is made.

    `make` returns None where the engine lacks the parts that the source needs.
    """

    name: str
    size: int
    make: Callable[["SourceSpec", SourceParts], Source | None]


def _meaning(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.vectors is None:
        return None
    return MeaningSource(spec.name, parts.vectors, parts.topk)


def _words(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.words is None:
        return None
    return WordSource(spec.name, parts.words, parts.topk)


def _holders(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.words is None or parts.signals is None:
        return None
    table = None
    if parts.behaviour is not None:
        first = next(iter(parts.behaviour.tables))
        table = WeightedTable(parts.behaviour.strongest, parts.behaviour.decays[first], 1.0)
    popularity = parts.signals["popularity"]
    return HolderSource(
        spec.name,
        parts.words,
        popularity=popularity,
        table=table,
        size=spec.size,
        topk=parts.topk,
    )


def _similar(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.similarity is None:
        return None
    return SimilarSource(spec.name, parts.similarity, spec.size)


def _taste_by_text(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.vectors is None or parts.behaviour is not None:
        return None
    return VectorSource(spec.name, parts.vectors, lambda request: request.taste_vector)


def _behaviour(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.behaviour is None:
        return None
    tables, decays = parts.behaviour.tables, parts.behaviour.decays
    first = next(iter(tables))
    summed = [WeightedTable(tables[first], decays[first], 1.0)]
    if first != "content_knn":
        summed.append(
            WeightedTable(tables["content_knn"], decays["content_knn"], parts.content_knn_share)
        )
    return NeighbourSource(spec.name, summed, spec.size, parts.topk)


def _alike(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.behaviour is None:
        return None
    near, decay = parts.behaviour.tables["content_knn"], parts.behaviour.decays["content_knn"]
    return NeighbourSource(spec.name, [WeightedTable(near, decay, 1.0)], spec.size, parts.topk)


def _taste(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.behaviour is None:
        return None
    return TasteSource(spec.name, parts.behaviour.taste, spec.size, parts.topk)


def _people_like(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.behaviour is None or parts.behaviour.sides is None:
        return None
    return PeopleLikeSource(
        spec.name,
        parts.behaviour.sides,
        parts.behaviour.items[0],
        size=spec.size,
        topk=parts.topk,
    )


def _popular(spec: SourceSpec, parts: SourceParts) -> Source | None:
    if parts.signals is None:
        return None
    values = parts.signals["popularity"]
    order = best_first(values, parts.signals["freshness"])
    return FixedSource(spec.name, order, values, spec.size)


def _fixed_by(signal: str) -> Callable[[SourceSpec, SourceParts], Source | None]:
    def make(spec: SourceSpec, parts: SourceParts) -> Source | None:
        if parts.signals is None or not parts.signals[signal].any():
            return None
        values = parts.signals[signal]
        order = best_first(values, parts.signals["popularity"])
        return FixedSource(spec.name, order, values, spec.size)

    return make


SOURCES: Final = (
    SourceSpec("meaning", SOURCE_SIZE, _meaning),
    SourceSpec("words", SOURCE_SIZE, _words),
    SourceSpec("holders", SOURCE_SIZE, _holders),
    SourceSpec("similar", SOURCE_SIZE, _similar),
    SourceSpec("taste", SOURCE_SIZE, _taste_by_text),
    # The sizes of the learned sources were chosen on validation items of `amazon-beauty`. Together
    # they bring about 470 candidates.
    SourceSpec("behaviour", 200, _behaviour),
    SourceSpec("alike", 100, _alike),
    SourceSpec("taste", 350, _taste),
    SourceSpec("people_like", SOURCE_SIZE, _people_like),
)
"""Asked for every request, in this order; the order decides between equal scores."""

FALLBACK_SOURCES: Final = (
    SourceSpec("popular", SOURCE_SIZE, _popular),
    SourceSpec("trending", 50, _fixed_by("trending")),
    SourceSpec("newest", 50, _fixed_by("freshness")),
)
"""Asked where the others bring fewer candidates than a request asks for."""


def sources_of(parts: SourceParts, specs: Sequence[SourceSpec] = SOURCES) -> tuple[Source, ...]:
    """Return the sources of a list that can be made of these parts."""
    made = [spec.make(spec, parts) for spec in specs]
    return tuple([source for source in made if source is not None])


def behaviour_sources(behaviour: Behaviour, content_knn_share: float) -> tuple[Source, ...]:
    """Return the sources that need nothing but what was learned: those of people, without words."""
    topk = topk_over(behaviour.items.shape[1])
    return sources_of(
        SourceParts(topk=topk, behaviour=behaviour, content_knn_share=content_knn_share)
    )
