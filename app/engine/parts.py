"""What an engine is made of, and how its parts are put together."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from app.core.ports import Encoder
from app.core.types import JsonValue, Matrix, Vector
from app.engine.catalogue.behaviour import Behaviour
from app.engine.catalogue.catalogue import Catalogue
from app.engine.interpretation import Parser
from app.engine.kernels.topk import TopK, topk_over
from app.engine.retrieval.index import VectorIndex
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.registry import FALLBACK_SOURCES, SourceParts, sources_of
from app.engine.retrieval.similar import Similarity
from app.engine.retrieval.sources import Source
from app.engine.scoring.blend import Blend
from app.engine.scoring.goals import GoalHeads
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.learned import LearnedScorer
from app.engine.scoring.modes import Mode
from app.engine.scoring.pair_features import PairFeatures, TextSide
from app.engine.scoring.scorer import Scorer
from app.engine.tones.item_tones import ItemTones


@dataclass(frozen=True, slots=True)
class TextParts:
    """The texts of n items: their vectors, and the two indexes that search them.

    Attributes:
        vectors: float32[n, dim], unit rows; zeros where an item has no vector.
        index: searches the vectors.
        words: searches the words.
        render: returns the text that an item is found by, from its fields by name.
    """

    vectors: Matrix
    index: VectorIndex
    words: LexicalSearch
    render: Callable[[Callable[[str], JsonValue]], str]


@dataclass(frozen=True, slots=True)
class LearnedParts:
    """What was learned from behaviour, and the features computed from it.

    `content_knn_share`: weight of likeness in words in the source *behaviour*.
    """

    behaviour: Behaviour
    content_knn_share: float
    features: HistoryFeatures

    @classmethod
    def of(cls, behaviour: Behaviour, content_knn_share: float) -> "LearnedParts":
        """Add what computes the features."""
        return cls(behaviour, content_knn_share, HistoryFeatures.over(behaviour))


@dataclass(frozen=True, slots=True)
class EngineParts:
    """What an engine is made of; all arrays are in catalogue row order.

    Attributes:
        signals: float32[n] by name: popularity, trending, freshness, in [0, 1]; and, where items
            have ratings, rated: the shrunken mean rating, NaN = none.
        sources: asked for every request.
        fallback: asked where those bring too few candidates.
        similarity: tells which items are similar.
        blend: the fixed part of the score.
        topk: chooses among the rows.
        learned: None where nothing was learned from behaviour.
        scorer: the networks that order candidates; it may have none.
        tones: tells which items have a tone.
        fast_encoder: encodes fast, in the space of the encoder; None where the bundle has none.
        parser: understands queries; None = they mean their own words only.
        roles: which attribute is the price, rating, brand, provider or runtime.
    """

    catalogue: Catalogue
    encoder: Encoder
    texts: TextParts
    signals: Mapping[str, Vector]
    sources: tuple[Source, ...]
    fallback: tuple[Source, ...]
    similarity: Similarity
    blend: Blend
    topk: TopK
    scorer: LearnedScorer
    tones: ItemTones
    learned: LearnedParts | None = None
    fast_encoder: Encoder | None = None
    parser: Parser | None = None
    roles: Mapping[str, str] = field(default_factory=dict)


def assemble(  # noqa: PLR0913 - each is another part
    catalogue: Catalogue,
    encoder: Encoder,
    texts: TextParts,
    signals: Mapping[str, Vector],
    *,
    learned: LearnedParts | None = None,
    networks: Mapping[Mode, Scorer] | None = None,
    goals: GoalHeads | None = None,
) -> EngineParts:
    """Return the parts of an engine, with the sources that can be made of them.

    `signals`: as in `EngineParts`. `networks`, `goals`: those of the scorer.
    """
    topk = topk_over(len(catalogue))
    behaviour = None if learned is None else learned.behaviour
    similarity = Similarity(texts.vectors, texts.index, behaviour)
    parts = SourceParts(
        topk=topk,
        vectors=texts.index,
        words=texts.words,
        similarity=similarity,
        signals=signals,
        behaviour=behaviour,
        content_knn_share=0.0 if learned is None else learned.content_knn_share,
    )
    return EngineParts(
        catalogue=catalogue,
        encoder=encoder,
        texts=texts,
        signals=signals,
        sources=sources_of(parts),
        fallback=fallback_of(signals, topk),
        similarity=similarity,
        blend=Blend(
            texts.vectors,
            texts.index.empty,
            texts.words,
            similarity=similarity,
            signals=signals,
            topk=topk,
        ),
        topk=topk,
        scorer=LearnedScorer(
            _pair_features(texts, signals, learned), networks or {}, len(catalogue), goals
        ),
        tones=ItemTones(catalogue, texts.words),
        learned=learned,
    )


def _pair_features(
    texts: TextParts, signals: Mapping[str, Vector], learned: LearnedParts | None
) -> PairFeatures:
    side = TextSide(texts.words, texts.vectors, texts.index.empty, signals["freshness"])
    if learned is None:
        return PairFeatures(side, None, None)
    return PairFeatures(side, learned.features, learned.behaviour.items)


def fallback_of(signals: Mapping[str, Vector], topk: TopK) -> tuple[Source, ...]:
    """Return the sources for requests that say too little, over these signals."""
    return sources_of(SourceParts(topk=topk, signals=signals), FALLBACK_SOURCES)
