"""Explanations of items that a later pass has brought, behind those of the first pass.

A later pass compares its items with its own candidates, so it has a baseline of its own. The
difference of the two baselines is a contribution, `filling`. So all items of an answer are counted
from one baseline.
"""

from dataclasses import replace

from app.core.explanation import MOST_EXPLAINED
from app.core.ranking import RankedItem, RankResult
from app.engine.explaining.grouped_score import adding_up


def behind(first: RankResult, rest: RankResult) -> tuple[RankedItem, ...]:
    """Return the items of a later pass as they are explained behind those of the first one."""
    places = range(len(first.items), len(first.items) + len(rest.items))
    pairs = zip(places, rest.items, strict=True)
    return tuple([_moved(item, place, first, rest) for place, item in pairs])


def _moved(item: RankedItem, place: int, first: RankResult, rest: RankResult) -> RankedItem:
    explanation = item.explanation
    if explanation is None or place >= MOST_EXPLAINED:
        return item._replace(explanation=None)
    if first.baseline is None or rest.baseline is None or not explanation.contributions:
        return item
    filling = rest.baseline - first.baseline
    contributions = adding_up(
        first.baseline, {**explanation.contributions, "filling": filling}, item.score
    )
    return item._replace(explanation=replace(explanation, contributions=contributions))
