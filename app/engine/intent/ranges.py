"""Times and bounds on numbers: which field they are about, and what they leave of it."""

from app.engine.intent.conditions import (
    Bound,
    bound_condition,
    bound_of,
    dates,
    field_for,
    span_of,
)
from app.engine.intent.fields import Fields, NumberField
from app.engine.intent.slots import Amount
from app.engine.intent.walk import GONE, JOINTS, KEPT, SILENT, Walk


def take_date(walk: Walk, at: int) -> int:
    """Demand a time."""
    node = walk.nodes[at]
    test, times = node.value
    span = span_of(test, [time.period for time in times])
    joint = walk.kind(at - 1) in JOINTS and walk.kind(at - 2) == "date"
    joint = joint or walk.kind(at - 1) == "date"
    spans = walk.demands.spans_of_dates
    if joint and test == "in" and spans:
        before = spans.pop()
        if before[1] == span[0]:  # one after the other
            spans.append((before[0], span[1]))
        else:
            walk.demands.other_dates.append({"$or": [dates([before]), dates([span])]})
    else:
        spans.append(span)
    walk.demands.clock |= any(time.period.clock for time in times)
    walk.flag(node, GONE)
    walk.note(node, "published_at")
    return at + 1


def take_bound(walk: Walk, at: int) -> int:
    """Demand a bound; words that no field fits stay text."""
    node = walk.nodes[at]
    bound, end = bound_at(walk, at)
    if bound is None:
        walk.flag(node, KEPT)
        walk.nodes[at] = node._replace(kind="amount")
        walk.demands.doubt *= 0.5
        return end
    walk.demands.bounds.append(bound_condition(bound))
    walk.flag(node, GONE)
    walk.note(node, bound.field)
    return end


def bound_at(walk: Walk, at: int) -> tuple[Bound | None, int]:
    """Return the bound of a node, and the node behind it and what it takes with it."""
    (test, role, weak), amounts = walk.nodes[at].value
    counted: Amount = next((one for one in amounts if one.counts), amounts[0])
    named = _number_field_beside(walk, at, counted)
    fields = walk.vocabulary.fields
    if named is not None:
        place, name = named
        walk.drop(min(at + 1, place), max(at, place + 1))
        walk.taken.add(place)
        found = fields.numbers[name]
        return bound_of(test, amounts, found, counted), max(at, place) + 1
    numbers = [one.number for one in amounts]
    if test == "least" and not counted.counts and _may_rate(max(numbers), fields):
        role = role or "rating"  # "above 8"
    found_field = field_for(counted, numbers, role, weak, fields)
    if found_field is None:
        return None, at + 1
    return bound_of(test, amounts, found_field, counted), at + 1


def _may_rate(number: float, fields: Fields) -> bool:
    """Tell whether a number alone may be a rating: no shop, and not above the highest."""
    rating = fields.numbers.get(fields.by_role.get("rating", ""))
    return "price" not in fields.by_role and rating is not None and number <= rating.high


def _fits(field: NumberField, counted: Amount) -> bool:
    """Tell whether a field may count what an amount does."""
    return not field.group or any(group == field.group for group, _ in counted.counts)


def _number_field_beside(walk: Walk, at: int, counted: Amount) -> tuple[int, str] | None:
    """Return the place and field of a number field's name next to a node, if one is there."""
    numbers = walk.vocabulary.fields.numbers
    for step in (-1, 1):
        place = at + step
        while walk.kind(place) in SILENT:
            place += step
        if walk.kind(place) not in {"attribute", "value"} or place in walk.taken:
            continue
        named = [
            name
            for name in walk.nodes[place].value.attributes
            if name in numbers and (not counted.counts or _fits(numbers[name], counted))
        ]
        if named:
            walk.positive = [one for one in walk.positive if one != place]
            return place, named[0]
    return None
