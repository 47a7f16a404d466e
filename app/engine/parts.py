"""What an engine is made of, and how its parts are put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from app.core.ports import Encoder
from app.core.types import JsonValue, Matrix, Vector
from app.engine.catalogue.behaviour import Behaviour
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.features import Features, features_over
from app.engine.kernels.topk import TopK, topk_over
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import Words
from app.engine.retrieval.sources import (
    FixedSource,
    MeaningSource,
    Source,
    VectorSource,
    WordSource,
    behaviour_sources,
    best_first,
)
from app.engine.scoring.blend import Blend
from app.engine.scoring.scorer import Scorer

_FEW = 50
"""How many trending and new items stand beside the popular ones where nothing is known."""


@dataclass(frozen=True, slots=True)
class Learned:
    """What was learned from behaviour: its tables, what reads them, and the scorer.

    `content_knn_share`: weight of likeness in words in the source *behaviour*.
    """

    behaviour: Behaviour
    content_knn_share: float
    sources: tuple[Source, ...]
    features: Features
    scorer: Scorer

    @classmethod
    def of(cls, behaviour: Behaviour, content_knn_share: float, scorer: Scorer) -> "Learned":
        """Put the readers of tables on top of them."""
        sources = behaviour_sources(behaviour, content_knn_share)
        return cls(behaviour, content_knn_share, sources, features_over(behaviour), scorer)


@dataclass(frozen=True, slots=True)
class Texts:
    """The texts of n items: float32[n, dim] unit vectors, those in an index, and the words.

    `render`: the text that an item is found by, of its fields by name.
    """

    vectors: Matrix
    index: VectorIndex
    words: Words
    render: Callable[[Callable[[str], JsonValue]], str]


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of; all arrays are in catalogue row order.

    Attributes:
        signals: float32[n] in [0, 1] by name: popularity, trending, freshness.
        sources, fallback: always asked, and asked where those bring too little.
        blend: the fixed part of the score.
        selection: chooses among the rows.
        learned: None where nothing was learned from behaviour.
        fast_encoder: fast encoding, in the same space; None where the bundle has none.
    """

    catalogue: Catalogue
    encoder: Encoder
    texts: Texts
    signals: Mapping[str, Vector]
    sources: tuple[Source, ...]
    fallback: tuple[Source, ...]
    blend: Blend
    topk: TopK
    learned: Learned | None = None
    fast_encoder: Encoder | None = None


def assemble(
    catalogue: Catalogue,
    encoder: Encoder,
    texts: Texts,
    signals: Mapping[str, Vector],
    learned: Learned | None = None,
) -> Parts:
    """Return the parts of an engine; without anything learned, *taste* is nearness of texts.

    `signals`: float32[n] in [0, 1] by name: popularity, trending, freshness.
    """
    topk = topk_over(len(catalogue))
    near_texts = VectorSource("taste", texts.index, lambda want: want.taste_vector)
    return Parts(
        catalogue=catalogue,
        encoder=encoder,
        texts=texts,
        signals=signals,
        sources=(
            MeaningSource(texts.index, topk),
            WordSource(texts.words, topk),
            *((near_texts,) if learned is None else learned.sources),
        ),
        fallback=fallback_of(signals),
        blend=Blend(texts.vectors, texts.words, signals, topk),
        topk=topk,
        learned=learned,
    )


def fallback_of(signals: Mapping[str, Vector]) -> tuple[Source, ...]:
    """Return what is asked where a request says too little: popular, trending, newest."""
    order = best_first(signals["popularity"], signals["freshness"])
    found: list[Source] = [FixedSource("popular", order, signals["popularity"])]
    for name, signal in (("trending", "trending"), ("newest", "freshness")):
        values = signals[signal]
        if values.any():
            found.append(FixedSource(name, best_first(values, signals["popularity"]), values, _FEW))
    return tuple(found)
