"""From scored candidates to the answer of a request: its items, and where they came from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

from app.core.ranking import RankedItem, RankResult, SourceHit
from app.core.types import Matrix, Rows, Vector
from app.engine.arranging.diversity import POOL
from app.engine.arranging.posed import Posed
from app.engine.arranging.stages import Arranged, arranged, is_among_best, is_arranged
from app.engine.catalogue.catalogue import Catalogue
from app.engine.interpretation import NO_QUERY
from app.engine.kernels.topk import Exclusion, Hits, TopK
from app.engine.scoring.boosts import Boost
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.learned import LearnedScore

_NOTHING = Exclusion()


@dataclass(frozen=True, slots=True)
class ScoredCandidates:
    """The candidates of one request: int64[n] rows, float32[n] scores, and the hits they are of.

    `degraded`: see `RankResult`. `learned`: what the network gave; None = none scored them.
    `boosts`: what rules have added. The scores contain it, and are calibrated then.
    `terms`: float32[n] by name, what the blend added; only where the answer is explained.
    """

    rows: Rows
    scores: Vector
    hits: Mapping[str, Hits]
    degraded: tuple[str, ...] = ()
    learned: LearnedScore | None = None
    boosts: tuple[Boost, ...] = ()
    terms: Mapping[str, Vector] = field(default_factory=dict)

    @property
    def calibration(self) -> Calibration | None:
        """Of the scores without boosts; None = they have none."""
        return None if self.learned is None else self.learned.calibration

    def log_odds(self, scores: Vector) -> Vector:
        """Return some of the scores, float32[m], as the answer gives them."""
        if self.boosts or self.calibration is None:
            return scores
        return self.calibration.log_odds(scores)


def results_of(
    catalogue: Catalogue,
    topk: TopK,
    batch: Sequence[Posed],
    scored: Sequence[ScoredCandidates],
    *,
    vectors: Matrix,
) -> tuple[RankResult, ...]:
    """Return the first items of each request; of equal scores, the first candidate comes first.

    `vectors`: float32[n, dim], of the items of the catalogue.
    """
    rows, scores = [each.rows for each in scored], [each.scores for each in scored]
    for position, each in enumerate(batch):
        named_rows = each.resolved.named
        if named_rows is not None:
            # Sources bring more than the named candidates, and all are scored together.
            chosen = np.flatnonzero(np.isin(rows[position], named_rows))
            rows[position], scores[position] = rows[position][chosen], scores[position][chosen]
        if (least := each.asked.request.min_score) is not None:
            # As float64: a bound may lie beyond what float32 can hold.
            shown = scored[position].log_odds(scores[position])
            is_enough = shown >= np.float64(least)
            if (rules := each.resolved.rules) is not None:
                is_enough |= np.isin(rows[position], [pin.row for pin in rules.pins])
            enough = np.flatnonzero(is_enough)
            rows[position], scores[position] = rows[position][enough], scores[position][enough]
    sizes = [
        max(each.resolved.k, POOL) if is_among_best(each) else each.resolved.k for each in batch
    ]
    best = topk.best(scores, [_NOTHING] * len(scores), sizes)
    answers = [
        Arranged(Hits(some.take(hits.rows), candidates.log_odds(hits.scores)))
        for some, hits, candidates in zip(rows, best, scored, strict=True)
    ]
    for position, each in enumerate(batch):
        if not is_arranged(each, answers[position].hits):
            candidates = answers[position].hits
            if not is_among_best(each):
                # Sorted before: two scores may be one as the answer gives them.
                best_first = np.argsort(-scores[position], kind="stable")
                shown = scored[position].log_odds(scores[position][best_first])
                candidates = Hits(rows[position][best_first], shown)
            answers[position] = arranged(
                each,
                candidates,
                catalogue,
                vectors,
                is_log_odds=scored[position].calibration is not None,
            )
    positions = topk.positions(
        [answer.hits.rows for answer in answers], [each.hits for each in scored]
    )
    return tuple(
        _result(catalogue, each, answer, sources, candidates)
        for each, answer, sources, candidates in zip(batch, answers, positions, scored, strict=True)
    )


def _result(
    catalogue: Catalogue,
    posed: Posed,
    answer: Arranged,
    sources: Sequence[tuple[SourceHit, ...]],
    candidates: ScoredCandidates,
) -> RankResult:
    asked, wanted = posed.asked, posed.arrangement
    request, intent = asked.request, asked.intent
    rows = answer.hits.rows.tolist()
    ids = [*map(catalogue.id, rows)]
    # Every new query pays for its items: one by one with named fields, they cost a third more.
    items = map(
        RankedItem,
        ids,
        answer.hits.scores.tolist(),
        map(catalogue.title, rows),
        [catalogue.fields(row, request.fields) for row in rows] if request.fields else repeat({}),
        sources,
        map(request.seen.__contains__, ids),
        answer.propensities or repeat(None),
        answer.placed_by or repeat(""),
    )
    return RankResult(
        items=tuple(items),
        missing_ids=tuple(catalogue.unknown(request.named)),
        degraded=candidates.degraded,
        intent="" if intent is NO_QUERY else intent.text(),
        count=intent.count,
        weak=asked.weak,
        wordless=_is_wordless(posed, candidates),
        valid_until=intent.valid_until,
        depends_on_catalogue=(
            bool(request.max_per or request.exposure or intent.tone) or intent.has_demands
        ),
        exposure=(
            None
            if wanted is None or wanted.exposure is None
            else wanted.exposure.report(answer.hits.rows)
        ),
        rules=() if posed.resolved.rules is None else posed.resolved.rules.ids,
    )


def _is_wordless(posed: Posed, candidates: ScoredCandidates) -> bool:
    """Tell whether the words of the query brought nothing."""
    asked = posed.asked
    if not asked.intent.residual_text or asked.request.candidates is not None:
        return False
    words = candidates.hits.get("words")
    return words is None or not len(words.rows)
