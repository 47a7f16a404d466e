"""Negations: how far a "not" reaches, and what stands in front of an "excepted"."""

from datetime import date
from typing import Final

from app.engine.intent.conditions import (
    Choice,
    all_choices,
    any_of,
    bound_condition,
    choice_of,
    dates,
    opposite_of,
    span_of,
)
from app.engine.intent.cutting import is_single
from app.engine.intent.nodes import Node
from app.engine.intent.phrases import FIRST
from app.engine.intent.ranges import bound_at
from app.engine.intent.titles import take_title_until_end, take_titles
from app.engine.intent.walk import GONE, JOINTS, SILENT, SOFT, Walk, shown

_NO_END: Final = 1 << 30
_LONGEST_LIST: Final = 8
_EMPTY: Final = SILENT | {"generic"}
_WORDS: Final = frozenset(
    {"word", "plain", "quoted", "number", "amount", "tone", "soft_tone", "attribute"}
)


def negation(walk: Walk, at: int) -> int:
    """Negate what follows: values, words, a time or a bound; and what is joined to it."""
    start = walk.nodes[at]
    walk.flag(start, GONE)
    n_before = len(walk.demands.negated)
    at = walk.skip(at + 1)
    taken = _negated_again(walk, at) or take_title_until_end(walk, at)
    if taken is not None:
        return taken
    if start.kind == "not_before_value" and walk.kind(at) == "value":
        return _negate_values(walk, at, start, at + 1)  # "non-horror thrillers": only the next one
    if at >= len(walk.nodes) and walk.positive:
        return negated_before(walk, walk.nodes.index(start))  # "horror: no"
    end = _negate(walk, at, start)
    if end == at:
        walk.flag(start, SOFT)  # it negates nothing
        walk.demands.doubt *= 0.4
    while end > at:
        at = _past(walk, end, "generic")
        if walk.kind(at) == "only_end":
            return _turn(walk, at, n_before)
        at = _past(walk, _past(walk, at, "not_after"), "like_after")
        following = _joined(walk, at)
        if following is None:
            break
        walk.drop(at, following)
        at = following
        end = _negate(walk, at, start)
    return at


def _negated_again(walk: Walk, at: int) -> int | None:
    """Return the place behind a second negation, which takes the first one back; else None.

    What follows is then demanded: "nothing that isn't a comedy".
    """
    place = at
    while walk.kind(place) in SILENT | {"generic"}:
        place += 1
    if walk.kind(place) not in {"not_before", "not_before_value"}:
        return None
    walk.drop(at, place + 1)
    return place + 1


def _turn(walk: Walk, at: int, n_before: int) -> int:
    """Demand what was negated: "besides comedies, nothing" in the order of Chinese."""
    demands = walk.demands
    demands.values += demands.negated[n_before:]
    del demands.negated[n_before:]
    walk.flag(walk.nodes[at], GONE)
    return at + 1


def _past(walk: Walk, at: int, kind: str) -> int:
    """Return the place behind a node that says nothing more, if it is of a kind."""
    if walk.kind(at) != kind:
        return at
    walk.flag(walk.nodes[at], GONE)
    return at + 1


def _joined(walk: Walk, at: int) -> int | None:
    """Return where a negation goes on behind a joint; None where it does not."""
    joint = walk.kind(at)
    if joint not in JOINTS:
        return None
    following = at + 1
    while walk.kind(following) in SILENT | JOINTS:
        following += 1
    kind = walk.kind(following)
    if kind not in {"value", "word", "plain", "quoted"}:
        return None
    goes_on = _list_goes_on if kind == "value" else _words_go_on
    if joint == "comma" and not goes_on(walk, following):
        return None
    return following


def _list_goes_on(walk: Walk, at: int) -> bool:
    """Tell whether "and" or "or" ends the list that commas began."""
    while walk.kind(at) in {"value", "comma", "generic", "stop"}:
        at += 1
    return walk.kind(at) in {"and", "or", "not_before"}


def _words_go_on(walk: Walk, at: int) -> bool:
    """Tell whether "and" or "or" ends a list of one or two words between commas."""
    for _ in range(_LONGEST_LIST):
        first = at
        while walk.kind(at) == "word" and at < first + 2:
            at += 1
        if at == first or walk.kind(at) != "comma":
            break
        at += 1
    return walk.kind(at) in {"and", "or"} and walk.kind(at + 1) == "word"


def _negate(walk: Walk, at: int, start: Node) -> int:
    """Negate one thing, and return the place behind it; `at` itself if there is nothing."""
    while walk.kind(at) == "generic" and walk.kind(at + 1) in {"value", "date", "stop"}:
        walk.flag(walk.nodes[at], GONE)
        at = walk.skip(at + 1)
    match walk.kind(at):
        case "value":
            return _negate_values(walk, at, start)
        case "like" | "with_end" | "unlike":
            return take_titles(walk, at, dislike=walk.kind(at) != "unlike")
        case "date" | "bound":
            return _negate_range(walk, at)
        case "sort":
            walk.flag(walk.nodes[at], GONE)
            walk.demands.doubt *= 0.6
            return at + 1
        case _:
            return _negate_words(walk, at, start)


def _negate_words(walk: Walk, at: int, start: Node) -> int:
    end = at
    while walk.kind(end) in _WORDS:
        end += 1
    if start.value == FIRST and end > at + 1 and _says_nothing_else(walk, start, end):
        end -= 1
    if end > at:
        first, last = walk.nodes[at], walk.nodes[end - 1]
        text = walk.text_of(first, last if end > at + 1 else None).lower()
        walk.demands.without.append(text)
        walk.drop(at, end)
        walk.note(start, f"without:{text}", last)
    return end


def _says_nothing_else(walk: Walk, start: Node, end: int) -> bool:
    """Tell whether a query has nothing but a negation and its words up to a place."""
    behind = all(node.kind in _EMPTY for node in walk.nodes[end:])
    return behind and all(node.kind in _EMPTY for node in walk.nodes[: walk.nodes.index(start)])


def _negate_values(walk: Walk, at: int, start: Node, most: int = _NO_END) -> int:
    end = at
    choices: list[Choice] = []
    while walk.kind(end) == "value" and end < most:
        choice = choice_of(walk.nodes[end].value, walk.vocabulary)
        if choices and (choice.field != choices[0].field or walk.begins_softly(end)):
            break  # "no leather sofas": these are sofas; "no war for kids": these are for kids
        choices.append(choice)
        end += 1
    nodes = walk.nodes[at:end]
    _drop_rest_of_word(walk, end)
    before = walk.beside(walk.nodes.index(start), -1)
    if walk.kind(before) == "attribute" and choices[0].field in walk.nodes[before].value.attributes:
        walk.flag(walk.nodes[before], GONE)  # "any colour except red"
    walk.demands.negated.append(all_choices(choices, walk.vocabulary.fields.kinds))
    for node in nodes:
        walk.flag(node, GONE)
    walk.note(start, f"not:{shown(choices)}", nodes[-1])
    return end


def _drop_rest_of_word(walk: Walk, at: int) -> None:
    """Drop a character that makes one word with the value in front: a "love line" is a romance."""
    if walk.kind(at) != "word" or walk.kind(at + 1) != "stop":
        return
    node = walk.nodes[at]
    if is_single(walk.token(node.start)) and walk.slots.glued(node.start):
        walk.flag(node, GONE)
        walk.nodes[at] = node._replace(kind="stop")


def _negate_range(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    walk.flag(node, GONE)
    if node.kind == "date":
        test, times = node.value
        span = span_of(test, [time.period for time in times])
        _negate_span(walk, span)
        walk.demands.clock |= any(time.period.clock for time in times)
        walk.note(node, "not:published_at")
        return at + 1
    bound, end = bound_at(walk, at)
    if bound is None:
        return end
    opposite = opposite_of(bound)
    if opposite:
        walk.demands.bounds.append(opposite)
    else:
        walk.demands.negated.append(bound_condition(bound))
    walk.note(node, f"not:{bound.field}")
    return end


def _negate_span(walk: Walk, span: tuple[date | None, date | None]) -> None:
    """Demand that dates lie outside a span: on the other side, if it has one end."""
    first, end = span
    if first is not None and end is not None:
        walk.demands.negated.append(dates([span]))
    else:
        walk.demands.spans_of_dates.append((end, first))


def negated_value_before(walk: Walk, at: int) -> int:
    """Negate the value right in front of a "free"; behind anything else it is a word."""
    if walk.kind(at - 1) != "value":
        walk.nodes[at] = walk.nodes[at]._replace(kind="word")
        return at + 1
    if at - 1 not in walk.positive:
        walk.flag(walk.nodes[at], GONE)  # it is negated already
        return at + 1
    walk.positive.remove(at - 1)
    _negate_values(walk, at - 1, walk.nodes[at - 1], at)
    walk.flag(walk.nodes[at], GONE)
    return at + 1


def negated_before(walk: Walk, at: int) -> int:
    """Negate what stands in front of an "excepted"."""
    node = walk.nodes[at]
    walk.flag(node, GONE)
    first = at
    while first and walk.kind(first - 1) in {"value", "generic", "stop", *JOINTS}:
        first -= 1
    values = [place for place in range(first, at) if place in walk.positive]
    if values:
        choices = [[choice_of(walk.nodes[p].value, walk.vocabulary)] for p in values]
        walk.demands.negated.append(any_of(choices, walk.vocabulary.fields.kinds))
        walk.positive = [place for place in walk.positive if place not in values]
        for place in range(first, at):
            walk.flag(walk.nodes[place], GONE)
        walk.note(walk.nodes[first], f"not:{shown([c for (c,) in choices])}", node)
        return at + 1
    while first and walk.kind(first - 1) == "word":
        first -= 1
    if first < at and walk.kind(first) == "word":
        text = walk.text_of(walk.nodes[first], walk.nodes[at - 1]).lower()
        walk.demands.without.append(text)
        for place in range(first, at):
            walk.flag(walk.nodes[place], GONE)
        walk.note(walk.nodes[first], f"without:{text}", node)
    else:
        walk.demands.doubt *= 0.5
    return at + 1
