"""The stages that the scored candidates of one request go through, walked top to bottom.

    sort ▸ titles first ▸ max_per ▸ diversity ▸ explore, within exposure ▸ promoted share ▸ pins

Candidates below `min_score` are gone before (`app.engine.arranging.results`). A request that asks
for none of the stages does not come here: its best candidates by score are its answer. No stage
alters a score.
"""

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows
from app.domain.columns import Floats
from app.engine.arranging.diversity import POOL, Before, diverse
from app.engine.arranging.exploring import drawn, logits_of
from app.engine.arranging.exposing import PlacesByMix, chosen
from app.engine.arranging.ordering import Ordering, is_ordered, ordered
from app.engine.arranging.placing import Placed, in_places
from app.engine.arranging.posed import Arrangement, ExposureGoal, Posed
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Hits

EXPLORE: Final = "explore"
EXPOSURE: Final = "exposure"

_BY_SCORE: Final = Ordering(
    key=None, first=np.empty(0, np.int64), max_per=(), counted=np.empty(0, np.int64)
)


@dataclass(frozen=True, slots=True)
class Arranged:
    """The items of one answer, in their order.

    Attributes:
        hits: int64[k] rows and float32[k] scores.
        placed_by: `RankedItem.placed_by` of each; () = all stand there by their score.
        propensities: `RankedItem.propensity` of each; () = none has one.
    """

    hits: Hits
    placed_by: Sequence[str] = ()
    propensities: Sequence[float | None] = ()


def is_arranged(posed: Posed, best: Hits) -> bool:
    """Tell whether the best candidates by score, best first, are the answer as they are."""
    rules = posed.resolved.rules
    if posed.arrangement is not None or (rules is not None and rules.arranges):
        return False
    return posed.ordering is None or is_ordered(best, posed.ordering)


def is_among_best(posed: Posed) -> bool:
    """Tell whether the stages of a request see nothing but its `POOL` best candidates by score."""
    wanted, rules = posed.arrangement, posed.resolved.rules
    if wanted is None or wanted.exposure is not None or posed.ordering is not None:
        return False
    return rules is None or not rules.arranges


def arranged(
    posed: Posed, candidates: Hits, catalogue: Catalogue, vectors: Matrix, *, is_log_odds: bool
) -> Arranged:
    """Return the first k of the candidates, stage after stage.

    Args:
        posed: what is asked.
        candidates: best first, with their scores as the answer gives them.
        catalogue: of which they are.
        vectors: float32[n, dim], of its items.
        is_log_odds: what the scores are; they are a blend otherwise.
    """
    rules = posed.resolved.rules
    if rules is None or not rules.arranges:
        return _as_asked(posed, candidates, catalogue, vectors, is_log_odds=is_log_odds)
    # Promoted share and pins, last of all.
    rows, scores = candidates.rows, candidates.scores
    is_pinned = np.isin(rows, [pin.row for pin in rules.pins])
    others = Hits(rows[~is_pinned], scores[~is_pinned])
    items = _one_by_one(_as_asked(posed, others, catalogue, vectors, is_log_odds=is_log_odds))
    if rules.promotions:
        # A promoted item may stand anywhere behind them.
        order = posed.ordering or _BY_SCORE
        whole = ordered(others.rows, others.scores, len(others.rows), order, catalogue)
        there = {item.row for item in items}
        items += [item for item in _one_by_one(Arranged(whole)) if item.row not in there]
    own = dict(zip(rows[is_pinned].tolist(), scores[is_pinned].tolist(), strict=True))
    pins = {
        pin.place: Placed(pin.row, own[pin.row], f"pin:{pin.rule}")
        for pin in rules.pins
        if pin.row in own
    }
    items = in_places(items, posed.resolved.k, rules.promotions, pins)
    return Arranged(
        Hits(
            np.array([item.row for item in items], np.int64),
            np.array([item.score for item in items], np.float32),
        ),
        placed_by=[item.by for item in items],
        propensities=[item.propensity for item in items],
    )


def _one_by_one(answer: Arranged) -> list[Placed]:
    """Return the items of an answer."""
    hits = answer.hits
    return list(
        map(
            Placed,
            hits.rows.tolist(),
            hits.scores.tolist(),
            answer.placed_by or repeat(""),
            answer.propensities or repeat(None),
        )
    )


def _as_asked(
    posed: Posed, candidates: Hits, catalogue: Catalogue, vectors: Matrix, *, is_log_odds: bool
) -> Arranged:
    """Return the first k candidates after all stages but the last two, those of rules."""
    k, wanted = posed.resolved.k, posed.arrangement
    order = posed.ordering or _BY_SCORE
    rows, scores = candidates.rows, candidates.scores
    # Sort, titles first, max_per.
    if wanted is None:
        answer = Arranged(ordered(rows, scores, k, order, catalogue))
    else:
        size = max(k, POOL) if wanted.exposure is None else len(rows)
        hits = ordered(rows, scores, size, order, catalogue)
        n_titles = int(np.isin(hits.rows[: len(order.first)], order.first).sum())
        # Diversity.
        is_by_score = order.key is None and not n_titles
        if wanted.diversity and order.key is None:
            before = Before(wanted.shown, n_titles)
            hits = diverse(hits, k, wanted.diversity, vectors, before)
            is_by_score = False
        # Explore, within exposure.
        within = None
        if wanted.exposure is not None:
            within = _within(hits, k, wanted.exposure, is_by_score=is_by_score)
        if wanted.explore:
            logits = logits_of(hits.scores, is_log_odds=is_log_odds)
            answer = _drawn(hits, k, wanted, logits, fixed=n_titles, within=within)
        else:
            answer = _answer(hits, k, _first(hits, k) if within is None else within.positions)
    return answer


def _drawn(  # noqa: PLR0913 - each by its name
    hits: Hits,
    k: int,
    wanted: Arrangement,
    logits: Floats,
    *,
    fixed: int,
    within: PlacesByMix | None,
) -> Arranged:
    """Fill k places by draws among the best candidates, and those that `within` has chosen.

    Args:
        hits: the candidates in their order.
        k: the number of places.
        wanted: how it is drawn.
        logits: float64[c], of the probabilities of the candidates.
        fixed: so many of the first candidates have the query as their title.
        within: how many places each mix of groups has; None = mixes do not matter.
    """
    pool = _first(hits, max(k, POOL))
    if within is not None:
        pool = np.union1d(pool, within.positions)
        fixed = int(np.isin(np.arange(fixed), within.positions).sum())
        within = replace(within, mixes=within.mixes[pool])
    draws = drawn(
        logits[pool],
        k,
        explore=wanted.explore,
        # Each page, and each further pass that fills an answer up, has draws of its own.
        source=random.Random(f"{wanted.seed} {len(wanted.shown)}"),  # noqa: S311 - no secret
        fixed=fixed,
        within=within,
    )
    answer = _answer(hits, k, pool[draws.positions])
    placed_by = [
        EXPLORE if by_draw else by
        for by_draw, by in zip(draws.by_draw, answer.placed_by, strict=True)
    ]
    return replace(answer, placed_by=placed_by, propensities=draws.propensities)


def _first(hits: Hits, n: int) -> Rows:
    """Return the positions of the first n candidates, or of all."""
    return np.arange(min(n, len(hits.rows)))


def _answer(hits: Hits, k: int, positions: Rows) -> Arranged:
    """Return the candidates at some positions; those from the k-th on are there by exposure."""
    return Arranged(
        Hits(hits.rows[positions], hits.scores[positions]),
        placed_by=["" if position < k else EXPOSURE for position in positions.tolist()],
    )


def _within(hits: Hits, k: int, goal: ExposureGoal, *, is_by_score: bool) -> PlacesByMix:
    """Choose k candidates that give the groups their shares, at the least loss.

    What is lost is counted in scores; in places, where the candidates are in another order.
    """
    values = hits.scores.astype(np.float64)
    if not is_by_score:
        values = -np.arange(len(values), dtype=np.float64)
    members = np.stack([each[hits.rows] for each in goal.members])
    return chosen(values, members, goal.bounds(), k)
