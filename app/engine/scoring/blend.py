"""The fixed part of the score, a documented blend: the query, dislikes, and what is popular.

    score      = learned + 10 · nearness, where a network has scored the query
               = learned + 10 · match, where a network has scored only the history
    match      = cos(query, item) + 0.3 · coverage(query, title) + exactness / 10 + nearness
    nearness   = l · similarity(liked, item) − 0.4 · max(0, cos(disliked, item))
               + 20, where the whole query is an id or another code of the item
               + 0.5 · preference(item) + 0.03 · cos(tones taken lately, tones of the item)
    unlearned  = match + 0.5 · cos(taste, item)
               + 0.15 · popularity(item) + 0.1 · trending(item) + 0.05 · freshness(item)

Where likes and dislikes are all that a request says, popularity, trending and freshness only decide
between items that are equally near: they count a hundred-thousandth of that.

The weight l of likes is 0.3 beside a query, 2 beside what was learned from a history, else 1: the
query decides first, then the likes, then the history.

Cosines are in [-1, 1], all other parts in [0, 1], but the similarity of the most similar items may
be above 1 (`app.engine.retrieval.similar`), and a preference up to 2: 1 for the values, 1 for the
tones that the query names. A missing part adds nothing, the cosine of a text
without a vector too. Where the query or the item has no vector, coverage counts 1: nothing else
says that they fit, and a popular item must not come before one that does. Exactness
(`app.engine.scoring.exactness`) is more than all the others together. The weight of coverage was
chosen on queries with human grades, that of similarity on films that are alike (docs/accuracy.md).
The others are not tuned on any data: taste changes the order of similar matches, and what is
popular, trending or new decides between nearly equal ones.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows, Vector
from app.engine.kernels.topk import Gather, TopK
from app.engine.retrieval.index import EmptyRows
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.similar import Similarity
from app.engine.scoring.exactness import exactness
from app.engine.scoring.learned import LearnedScore

COVERAGE_WEIGHT = 0.3
COVERAGE_ALONE_WEIGHT = 1.0
CODE_WEIGHT = 20.0
"""More than a whole title counts (`app.engine.scoring.exactness`)."""

TASTE_WEIGHT = 0.5
LIKE_WEIGHT = 1.0
LIKE_WEIGHT_BESIDE_QUERY = 0.3
LIKE_WEIGHT_BESIDE_LEARNED = 2.0
DISLIKE_WEIGHT = 0.4
SIGNAL_WEIGHTS = {"popularity": 0.15, "trending": 0.1, "freshness": 0.05}

TIE_WEIGHT = 1e-5
"""Share of the signals that is left where the score is the similarity to liked items."""

PREFERENCE_WEIGHT = 0.5
"""What an item gains that has a value which the query names, where that value is no filter; and as
much again for all the tones that it asks for."""

TONE_TASTE_WEIGHT = 0.03
"""What an item gains whose tones are those of what somebody took lately: little, 0.3 beside the
learned score."""
_NO_TERMS: Final[Mapping[int, dict[str, Vector]]] = {}

LEARNED_MATCH_WEIGHT = 10.0
"""Weight of a match beside the learned score, a logarithm of odds: the query decides first."""


class Blend:
    """The fixed blend over one catalogue."""

    def __init__(  # noqa: PLR0913 - each is another part of an engine
        self,
        vectors: Matrix,
        empty: EmptyRows,
        words: LexicalSearch,
        *,
        similarity: Similarity,
        signals: Mapping[str, Vector],
        topk: TopK,
    ) -> None:
        """Take float32[n, dim] unit rows, which rows are empty, the words, and n of each signal."""
        self._empty = empty
        self._vectors, self._words, self._topk = vectors, words, topk
        self._similarity = similarity
        self._signals: Vector = np.zeros(len(vectors), np.float32)
        self.change(np.arange(len(vectors)), signals)

    def change(self, rows: Rows, signals: Mapping[str, Vector]) -> None:
        """Read the signals of some rows (int64[c]) again, of float32[n] for each signal."""
        self._signals[rows] = 0.0
        for name, weight in SIGNAL_WEIGHTS.items():
            self._signals[rows] += weight * signals[name][rows]

    def scores(
        self,
        requests: Sequence[ResolvedRequest],
        candidates: Sequence[Rows],
        learned: Sequence[LearnedScore | None],
        terms: Mapping[int, dict[str, Vector]] = _NO_TERMS,
    ) -> list[Vector]:
        """Return float32[c] for each request: the score of each candidate.

        Args:
            requests: of a batch.
            candidates: int64[c] for each request.
            learned: of each request; None where no network has scored it.
            terms: position of a request -> where its terms are kept, float32[c] by name: match,
                code, likes, dislikes, preferences, tones, taste, but not the signals. A learned
                score counts them `LEARNED_MATCH_WEIGHT` times.
        """
        open_words = [*map(_is_open, requests, learned)]
        signals = [self._signals if known is None else None for known in learned]
        scores = self._matches(requests, candidates, open_words, signals)
        for position, (request, rows, known) in enumerate(
            zip(requests, candidates, learned, strict=True)
        ):
            score, kept = scores[position], terms.get(position)
            if request.similar_only:
                score *= np.float32(TIE_WEIGHT)
            if kept is not None and open_words[position]:
                (kept["match"],) = self._matches([request], [rows], [True], [None])
            for name, values in self._named(request, rows, learned=known is not None):
                score += values
                if kept is not None:
                    kept[name] = values
            if known is not None:
                scores[position] = known.values + LEARNED_MATCH_WEIGHT * score
        return scores

    def _matches(
        self,
        requests: Sequence[ResolvedRequest],
        candidates: Sequence[Rows],
        open_words: Sequence[bool],
        signals: Sequence[Vector | None],
    ) -> list[Vector]:
        """Return float32[c] of each request: how its open words match, and the signals."""
        gathers = [
            Gather(
                rows=rows,
                base=request.cosines if is_open else None,
                summands=self._words.titles(request.query) if is_open else (),
                more=more,
            )
            for request, rows, is_open, more in zip(
                requests, candidates, open_words, signals, strict=True
            )
        ]
        scores = self._gathered(requests, gathers, open_words)
        self._add_exactness(scores, requests, candidates, open_words)
        for position, (request, rows) in enumerate(zip(requests, candidates, strict=True)):
            vector = request.query_vector
            if open_words[position] and vector is not None and request.cosines is None:
                scores[position] += self._cosines(rows, vector)
        return scores

    def _add_exactness(
        self,
        scores: Sequence[Vector],
        requests: Sequence[ResolvedRequest],
        candidates: Sequence[Rows],
        open_words: Sequence[bool],
    ) -> None:
        """Add what exact words count to float32[c] of each request whose words are open."""
        asked = [position for position, is_open in enumerate(open_words) if is_open]
        if not asked:
            return
        rows = [candidates[position] for position in asked]
        lexical = self._words.features([requests[position].query for position in asked], rows)
        terms = exactness(lexical, len(self._vectors)) / np.float32(LEARNED_MATCH_WEIGHT)
        ends = np.cumsum([len(each) for each in rows])
        for position, term in zip(asked, np.split(terms, ends[:-1]), strict=True):
            scores[position] += term

    def _named(
        self, request: ResolvedRequest, rows: Rows, *, learned: bool
    ) -> Iterator[tuple[str, Vector]]:
        """Yield float32[c] by name: what the request names adds to the match of its words."""
        if request.query and (coded := self._words.coded(request.query)).size:
            yield "code", np.where(np.isin(rows, coded), np.float32(CODE_WEIGHT), np.float32(0))
        if request.liked is not None:
            weight = _like_weight(request, learned=learned)
            yield "likes", weight * self._similarity.scores(request.liked, rows, request.by)
        if request.disliked is not None:
            near = np.maximum(self._cosines(rows, request.disliked), 0.0)
            yield "dislikes", np.float32(-DISLIKE_WEIGHT) * near
        if request.preferred is not None:
            weights = np.float32(PREFERENCE_WEIGHT) * request.preferred[rows]
            yield "preferences", weights.astype(np.float32, copy=False)
        if request.tone_taste is not None:
            yield "tones", np.float32(TONE_TASTE_WEIGHT) * request.tone_taste.likeness(rows)
        if not learned and request.taste_vector is not None:
            yield "taste", TASTE_WEIGHT * self._cosines(rows, request.taste_vector)

    def _gathered(
        self,
        requests: Sequence[ResolvedRequest],
        gathers: Sequence[Gather],
        open_words: Sequence[bool],
    ) -> list[Vector]:
        """Return what the queries' words, their known cosines, and the signals give."""
        scores = self._topk.gather(gathers, COVERAGE_WEIGHT)
        alone = [
            n for n, each in enumerate(requests) if open_words[n] and each.query_vector is None
        ]
        if alone:
            again = self._topk.gather([gathers[n] for n in alone], COVERAGE_ALONE_WEIGHT)
            for position, score in zip(alone, again, strict=True):
                scores[position] = score
        for request, gather, score, is_open in zip(
            requests, gathers, scores, open_words, strict=True
        ):
            reads = is_open and request.query_vector is not None
            empty = self._empty.among(gather.rows) if reads else None
            if empty is not None:
                again = self._topk.gather(
                    [Gather(gather.rows[empty], None, gather.summands, None)],
                    COVERAGE_ALONE_WEIGHT - COVERAGE_WEIGHT,
                )
                score[empty] += again[0]
        return scores

    def _cosines(self, rows: Rows, vector: Vector) -> Vector:
        cosines: Vector = self._vectors.take(rows, axis=0) @ vector
        return cosines


def _is_open(request: ResolvedRequest, known: LearnedScore | None) -> bool:
    """Tell whether the query counts here: where a network has read it, it does not count again."""
    return bool(request.query) and not (known is not None and known.reads_words)


def _like_weight(request: ResolvedRequest, *, learned: bool) -> float:
    if request.query:
        return LIKE_WEIGHT_BESIDE_QUERY
    return LIKE_WEIGHT_BESIDE_LEARNED if learned else LIKE_WEIGHT
