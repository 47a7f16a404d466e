"""Fills up answers that came out short, by further passes for the rest.

    1. values that may come only so often (`max_per`) took the places of other items: look further
    2. the positive demands of the intent leave too few: give them up, never what is negated
    3. the caller's filter leaves too few: `on_empty` says what follows, unless a `min_score` is
       asked for: an answer may be short then

Each step asks for the items that are still missing, and nothing that is there already.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeAlias

import orjson

from app.core.rank_rules import RankRules
from app.core.ranking import RankRequest, RankResult, StageTimings
from app.core.types import Rows
from app.domain.filters import filter_text
from app.domain.intent import Intent
from app.engine.catalogue.catalogue import Catalogue
from app.engine.explaining.later_passes import behind


@dataclass(frozen=True, slots=True)
class Short:
    """An answer that may have too few items.

    Attributes:
        request, intent: what was asked in the first pass.
        result: all that has been found so far.
        candidates: int64[c] rows that the last pass had to choose from.
    """

    request: RankRequest
    intent: Intent
    result: RankResult
    candidates: Rows

    @property
    def named_by_intent(self) -> list[str]:
        """The ids of the items that the intent names: to resemble them, or not to."""
        if not self.result.intent:
            return []
        intent = orjson.loads(self.result.intent)
        return [*intent["like"], *intent["dislike"]]

    def rest(self, size: int) -> RankRequest:
        """Return the request for the items that are missing of `size`."""
        ids = [item.id for item in self.result.items]
        return self.request._replace(
            k=size - len(ids),
            k_is_default=False,
            exclude=self.request.exclude.union(ids),
            shown=(*self.request.shown, *ids),
            placed=(*self.request.placed, *ids) if self.request.exposure else (),
            rules=self._rules,
        )

    @property
    def _rules(self) -> RankRules:
        """The rules that applied in the first pass; pins have had their turn."""
        rules, applied = self.request.rules, self.result.rules
        if not rules:
            return rules
        return RankRules(
            f"{rules.key} {applied}",
            tuple(
                [
                    replace(rule, sort="", demands=())
                    for rule in rules.rules
                    if rule.id in applied and rule.action != "pin"
                ]
            ),
        )


def _each(demands: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the parts of a filter of which all are demanded."""
    parts: list[Mapping[str, Any]] = []
    for name, tests in demands.items():
        if name == "$and":
            parts += [part for group in tests for part in _each(group)]
        else:
            parts.append({name: tests})
    return parts


Step: TypeAlias = Callable[[Short, Catalogue, int], tuple[RankRequest, Intent] | None]
"""Returns what to ask next for an answer of the given size; None where the step has no part."""


def look_further(
    short: Short, catalogue: Catalogue, size: int
) -> tuple[RankRequest, Intent] | None:
    """Ask for the same again, without all that the last pass has looked at."""
    if not short.request.max_per or len(short.candidates) <= len(short.result.items):
        return None
    rest = short.rest(size)
    seen = map(catalogue.id, short.candidates.tolist())
    return rest._replace(exclude=rest.exclude.union(seen)), replace(short.intent, title=False)


def without_demands(
    short: Short, catalogue: Catalogue, size: int
) -> tuple[RankRequest, Intent] | None:
    """Give up the positive demands; items that meet some of them come first. The order stays."""
    del catalogue
    demands = short.intent.demands
    if not demands:
        return None
    each = _each(orjson.loads(demands))
    # Of a single demand nothing is left to prefer: whatever meets it is in the answer.
    some = filter_text({"$or": each}) if len(each) > 1 else ""
    return short.rest(size), replace(short.intent.relaxed(), prefers=some, title=False)


def without_filter(
    short: Short, catalogue: Catalogue, size: int
) -> tuple[RankRequest, Intent] | None:
    """Give up the caller's filter: other items that suit, or popular ones."""
    del catalogue
    request = short.request
    if not request.filter or request.on_empty == "none" or request.min_score is not None:
        return None
    rest = short.rest(size)._replace(filter="")
    if request.on_empty == "relax":
        return rest, replace(short.intent.relaxed(), sort="relevance", title=False)
    only_negations = Intent(filters=short.intent.negations, without=short.intent.without)
    return rest._replace(
        query="",
        history=(),
        like=(),
        dislike=(),
        exclude=rest.exclude if request.repeat else rest.exclude.union(short.named_by_intent),
    ), only_negations


STEPS: Final[tuple[Step, ...]] = (
    look_further,
    look_further,
    look_further,
    without_demands,
    without_filter,
)


def missing(
    shorts: Sequence[Short], sizes: Sequence[int], step: Step, catalogue: Catalogue
) -> dict[int, tuple[RankRequest, Intent]]:
    """Return position -> what a step asks for, for each answer with too few items."""
    asked = {
        position: step(short, catalogue, size)
        for position, (short, size) in enumerate(zip(shorts, sizes, strict=True))
        if len(short.result.items) < size
    }
    return {position: more for position, more in asked.items() if more is not None}


def joined(short: Short, rest: RankResult, candidates: Rows, step: Step) -> Short:
    """Return an answer with the items that a step has found behind its own."""
    result = short.result
    passing = result.passing
    if passing is None and step is not look_further:
        passing = len(result.items)
    items = rest.items
    if short.request.explain:
        items = behind(result, rest)
    result = replace(
        result,
        items=(*result.items, *items),
        degraded=tuple(dict.fromkeys((*result.degraded, *rest.degraded))),
        passing=passing,
        baseline=rest.baseline if result.baseline is None else result.baseline,
        exposure=result.exposure if rest.exposure is None else rest.exposure,
    )
    return replace(short, result=result, candidates=candidates)


def summed(one: StageTimings, other: StageTimings) -> StageTimings:
    """Return the time of two passes together."""
    return StageTimings(
        encode_ms=one.encode_ms + other.encode_ms,
        retrieve_ms=one.retrieve_ms + other.retrieve_ms,
        rerank_ms=one.rerank_ms + other.rerank_ms,
    )
