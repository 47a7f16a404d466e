"""Which rules apply to a query, by what it asks for.

Most rules ask nothing of a query here: its words were compared before (`app.serving.control`).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import orjson

from app.core.rank_rules import DemandedValue, RankRule, RankRules
from app.domain.intent import Intent

_REMEMBERED = 1024


@dataclass(slots=True)
class _ByDemand:
    """The places of rules in a set, by one thing that each asks of a query.

    Attributes:
        always: of rules that ask for nothing.
        sorts: by the order.
        values: by a field and a value; rules that ask for an order too are here.
    """

    always: list[int] = field(default_factory=list)
    sorts: dict[str, list[int]] = field(default_factory=dict)
    values: dict[tuple[str, DemandedValue], list[int]] = field(default_factory=dict)


def applying(rules: RankRules, intent: Intent) -> list[RankRule]:
    """Return the rules that apply to a query with this intent, the oldest first."""
    index = _indexed(rules)
    if not (index.sorts or index.values):
        return list(rules.rules)
    places = list(index.always)
    asked = _asked(intent.filters) | _asked(intent.prefers)
    places += index.sorts.get(intent.sort, ())
    for value in asked & index.values.keys():
        places += [
            place
            for place in index.values[value]
            if rules.rules[place].sort in {"", intent.sort}
            and asked.issuperset(map(_folded_pair, rules.rules[place].demands))
        ]
    return [rules.rules[place] for place in sorted(places)]


@lru_cache(_REMEMBERED)
def _indexed(rules: RankRules) -> _ByDemand:
    index = _ByDemand()
    for place, rule in enumerate(rules.rules):
        if rule.demands:
            index.values.setdefault(_folded_pair(rule.demands[0]), []).append(place)
        elif rule.sort:
            index.sorts.setdefault(rule.sort, []).append(place)
        else:
            index.always.append(place)
    return index


@lru_cache(_REMEMBERED)
def _asked(filter_text: str) -> frozenset[tuple[str, DemandedValue]]:
    """Return the values that a filter wants, with their fields."""
    return frozenset(_values_in(orjson.loads(filter_text))) if filter_text else frozenset()


def _values_in(raw: Mapping[str, Any]) -> Iterator[tuple[str, DemandedValue]]:
    for name, tests in raw.items():
        if name in {"$and", "$or"}:
            for part in tests:
                yield from _values_in(part)
        elif not name.startswith("$"):
            wanted = [*tests.get("any", ()), *tests.get("all", ())]
            wanted += [tests["eq"]] if "eq" in tests else []
            yield from ((name, _folded(value)) for value in wanted)


def _folded_pair(pair: tuple[str, DemandedValue]) -> tuple[str, DemandedValue]:
    return pair[0], _folded(pair[1])


def _folded(value: DemandedValue) -> DemandedValue:
    return value.casefold() if isinstance(value, str) else value
