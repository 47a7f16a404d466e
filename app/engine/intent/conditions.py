"""Writes what a query demands as filters, always in one way: equal demands are equal text."""

from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, NamedTuple, TypeAlias

from app.engine.intent.fields import DATES, STARS, TIME, Fields, NumberField
from app.engine.intent.names import Named, Target
from app.engine.intent.periods import Period
from app.engine.intent.slots import Amount
from app.engine.intent.vocabulary import IntentVocabulary

Condition: TypeAlias = dict[str, Any]

_ABOUT: Final = 0.2
_AROUND_YEARS: Final = 2


class Choice(NamedTuple):
    """One named thing of a query: any of these values of a field."""

    field: str
    values: tuple[str | float | bool, ...]


class Bound(NamedTuple):
    """A number field between two numbers; None = open."""

    field: str
    low: float | None
    high: float | None


def choice_of(named: Named, vocabulary: IntentVocabulary) -> Choice:
    """Return the values that a name stands for, all of one field.

    That is the field in which the most items have them.
    """
    if len(named.best) == 1:
        return Choice(named.best[0].field, (named.best[0].value,))
    targets = named.best
    by_field: dict[str, list[Target]] = {}
    for target in targets:
        by_field.setdefault(target.field, []).append(target)
    best = list(targets)
    if len(by_field) > 1:
        best = max(
            by_field.values(),
            key=lambda some: sum(vocabulary.share(t.field, t.value) for t in some),
        )
    return Choice(best[0].field, tuple(sorted({target.value for target in best}, key=str)))


def all_choices(choices: Sequence[Choice], kinds: Mapping[str, str]) -> Condition:
    """Return the filter that demands all choices; of a field with one value, any of them."""
    by_field: dict[str, list[tuple[str | float | bool, ...]]] = {}
    for field, values in choices:
        known = by_field.setdefault(field, [])
        if values not in known:
            known.append(values)
    parts = [
        part for field, groups in by_field.items() for part in _field_parts(field, groups, kinds)
    ]
    return conjunction(parts)


def _field_parts(
    field: str, groups: list[tuple[str | float | bool, ...]], kinds: Mapping[str, str]
) -> list[Condition]:
    values = sorted({value for group in groups for value in group}, key=str)
    if kinds[field] == "boolean":
        return [{field: {"eq": True}}]
    if len(groups) == 1 or kinds[field] != "strings":
        return [{field: {"any": values}}]
    if all(len(group) == 1 for group in groups):
        return [{field: {"all": values}}]
    return [{field: {"any": list(group)}} for group in groups]


def any_of(alternatives: Sequence[Sequence[Choice]], kinds: Mapping[str, str]) -> Condition:
    """Return the filter that demands one of several sets of choices."""
    if len(alternatives) == 1:
        return all_choices(alternatives[0], kinds)
    fields = {choice.field for choices in alternatives for choice in choices}
    if all(len(choices) == 1 for choices in alternatives) and len(fields) == 1:
        values = {value for choices in alternatives for value in choices[0].values}
        return all_choices([Choice(fields.pop(), tuple(sorted(values, key=str)))], kinds)
    return {"$or": [all_choices(choices, kinds) for choices in alternatives]}


def conjunction(parts: Sequence[Condition]) -> Condition:
    """Return the filter that demands all parts: one object if no key is there twice."""
    some = [part for part in parts if part]
    if len(some) < 2:
        return some[0] if some else {}
    keys = [key for part in some for key in part]
    if len(set(keys)) == len(keys):
        return {key: value for part in some for key, value in part.items()}
    merged: Condition = {}
    left: list[Condition] = []
    for part in some:
        if any(key in merged for key in part):
            left.append(part)
        else:
            merged |= part
    return {"$and": [merged, *left]}


def nots(conditions: Sequence[Condition]) -> Condition:
    """Return the filter that demands that none holds; values of a field stand together."""
    merged: dict[str, list[str]] = {}
    others: list[Condition] = []
    for condition in conditions:
        ((field, test),) = condition.items() if len(condition) == 1 else (("", {}),)
        if isinstance(test, dict) and set(test) == {"any"}:
            merged[field] = sorted({*merged.get(field, []), *test["any"]})
        elif condition not in others:
            others.append(condition)
    parts = [{field: {"any": values}} for field, values in merged.items()] + others
    return {"$not": parts} if parts else {}


def dates(spans: Sequence[tuple[date | None, date | None]]) -> Condition:
    """Return the filter for dates in all of these spans [first, end); {} if there are none."""
    firsts = [first for first, _ in spans if first is not None]
    ends = [end for _, end in spans if end is not None]
    test: Condition = {}
    if firsts:
        test["gte"] = max(firsts).isoformat()
    if ends:
        test["lt"] = min(ends).isoformat()
    return {DATES: test} if test else {}


def span_of(test: str, periods: Sequence[Period]) -> tuple[date | None, date | None]:
    """Return the days [first, end) that "before" and the like leave of a period; None = open."""
    first, end, _ = min(periods)
    last = max(periods).end
    spans: dict[str, tuple[date | None, date | None]] = {
        "before": (None, first),
        "after": (end, None),
        "since": (first, None),
        "until": (None, end),
        "between": (first, last),
    }
    if test == "around":
        return _years_off(first, -_AROUND_YEARS), _years_off(end, _AROUND_YEARS)
    return spans.get(test, (first, end))


def _years_off(day: date, years: int) -> date:
    return day.replace(year=day.year + years, day=min(day.day, 28))


def bound_of(
    test: str, amounts: Sequence[Amount], field: NumberField, amount_counts: Amount
) -> Bound:
    """Return the bound that amounts put on a field, in the unit of the field."""
    numbers = sorted(_in_unit(amount, amount_counts, field) for amount in amounts)
    match test:
        case "most":
            return Bound(field.name, None, numbers[-1])
        case "least":
            return Bound(field.name, numbers[0], None)
        case "about":
            low, high = numbers[0] * (1 - _ABOUT), numbers[0] * (1 + _ABOUT)
            return Bound(field.name, round(low, 6), round(high, 6))
        case _:
            return Bound(field.name, numbers[0], numbers[-1])


def bound_condition(bound: Bound) -> Condition:
    """Return the filter of a bound."""
    test = {"gte": bound.low, "lte": bound.high}
    return {bound.field: {key: _number(value) for key, value in test.items() if value is not None}}


def opposite_of(bound: Bound) -> Condition:
    """Return the filter for the numbers outside a bound that has one end; {} if it has two."""
    if bound.low is not None and bound.high is not None:
        return {}
    if bound.high is not None:
        return {bound.field: {"gt": _number(bound.high)}}
    return {bound.field: {"lt": _number(bound.low or 0.0)}}


def field_for(
    counted: Amount, numbers: Sequence[float], role: str, weak: bool, fields: Fields
) -> NumberField | None:
    """Return the number field that a bound is about; None if the query does not say it.

    Args:
        counted: an amount of the bound, with its unit if there is one.
        numbers: the numbers of the bound.
        role: "price" and the like, where the words say it ("cheaper than").
        weak: the words are no bound without a unit.
        fields: of the catalogue.
    """
    if role:
        return fields.numbers.get(fields.by_role.get(role, ""))
    for group, _ in counted.counts:
        found = _field_of_group(group, numbers, fields)
        if found is not None:
            return found
    if counted.counts or (weak and not _look_like_prices(numbers)):
        return None
    return fields.numbers.get(fields.by_role.get("price", ""))


def _look_like_prices(numbers: Sequence[float]) -> bool:
    """Tell whether the ends of "200-400" look like prices, not like sizes or ages."""
    return len(numbers) > 1 and min(numbers) >= 20 and not any(number % 10 for number in numbers)


def _field_of_group(group: str, numbers: Sequence[float], fields: Fields) -> NumberField | None:
    roles = {"money": "price", STARS: "rating", TIME: "runtime"}
    if group in roles and roles[group] in fields.by_role:
        return fields.numbers.get(fields.by_role[roles[group]])
    fitting = [field for field in fields.numbers.values() if field.group == group]
    inside = [f for f in fitting if all(f.low <= number <= f.high for number in numbers)]
    return min(inside or fitting, key=lambda field: field.high - field.low, default=None)


def _in_unit(amount: Amount, counted: Amount, field: NumberField) -> float:
    """Return an amount in the unit of a field; one without a unit has that of `counted`."""
    for group, unit in counted.counts:
        if group == TIME and unit is not None:
            # Durations are in minutes already.
            minutes = amount.number if amount.counts else amount.number * unit.factor
            factor = field.unit.factor if field.unit is not None and field.group == TIME else 1.0
            return round(minutes / factor, 6)
        if unit is not None and field.unit is not None and group == field.unit.group:
            return round(amount.number * unit.factor / field.unit.factor, 6)
    return amount.number


def _number(value: float) -> int | float:
    return int(value) if value == int(value) else value
