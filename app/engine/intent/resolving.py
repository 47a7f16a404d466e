"""Puts the nodes of a query together: each kind of node has a rule that says what it demands.

The rules are about kinds of nodes only, and know no words. `resolve` goes through the nodes once;
what no rule takes stays as the text to search by.
"""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Final

from app.domain.intent import Sort
from app.engine.intent import gathering, negating, ranges, titles
from app.engine.intent.conditions import Condition, all_choices, choice_of
from app.engine.intent.cutting import cut
from app.engine.intent.nodes import Node
from app.engine.intent.packs import packs
from app.engine.intent.walk import GONE, KEPT, SOFT, Walk

_MOST_COUNT: Final = 100
_FEW: Final = 20
_LISTED_AFTER_COUNT: Final = 5
_TAKEN: Final = frozenset({"filler", "lead", "like_end", "but", "only_end"})
_SOFT: Final = frozenset({"stop", "sign", "and", "or", "comma", "connective"})


def resolve(walk: Walk) -> None:
    """Collect what the query of a walk demands, and flag the words that are left."""
    at = 0
    while at < len(walk.nodes):
        node = walk.nodes[at]
        rule = _RULES.get(node.kind)
        if rule is not None:
            at = rule(walk, at)
            continue
        if node.kind in _TAKEN:
            # A single little word may as well belong to what is looked for: "great expectations".
            walk.flag(node, SOFT if node.kind == "filler" and _is_little(walk, node) else GONE)
        elif node.kind in _SOFT:
            walk.flag(node, SOFT)
        at += 1
    gathering.settle_values(walk)
    demands = walk.demands
    said = [*demands.negated, *demands.values]
    demands.prefers = [part for part in demands.prefers if part not in said]


def _is_little(walk: Walk, node: Node) -> bool:
    return node.end == node.start + 1 and walk.token(node.start).isascii()


def _generic(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    following = walk.kind(at + 1)
    joined = following in {"word", "number", "plain"} and (
        not node.value or (following == "number" and walk.kind(at - 1) == "word")
    )
    if following == "stop" and not node.value and at == 0:
        # "song to remember", but "song about rain"
        token = walk.token(walk.nodes[at + 1].start)
        joined = token.isascii() and token not in walk.slots.book.openers
    walk.flag(node, KEPT if joined else GONE)
    if joined:
        walk.nodes[at] = node._replace(kind="word")
    return at + 1


def _sort(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    _use_sort(walk, node.value)
    walk.flag(node, GONE)
    walk.note(node, f"sort:{node.value}")
    return at + 1


def _use_sort(walk: Walk, sort: Sort) -> None:
    if walk.demands.sort == "relevance":
        walk.demands.sort = sort
    elif walk.demands.sort != sort:
        walk.demands.doubt *= 0.8


def _count(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    sort, values = node.value
    if walk.kind(walk.beside(at, 1)) == "sort":
        sort = "relevance"  # "top 10 cheapest": the order that stands behind
    if values:
        walk.demands.count = walk.demands.count or int(values[0])
        walk.note(node, f"count:{int(values[0])}")
    if sort != "relevance":
        _use_sort(walk, sort)
        walk.note(node, f"sort:{sort}")
    walk.flag(node, GONE)
    return at + 1


def _number(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    number = node.value.number
    possible = number == int(number) and 0 < number <= _MOST_COUNT
    if possible and walk.demands.count is None and _counts(walk, at):
        walk.demands.count = int(number)
        walk.flag(node, GONE)
        walk.note(node, f"count:{int(number)}")
    return at + 1


def _counts(walk: Walk, at: int) -> bool:
    """Tell whether a number says how many: in front of a plural, and behind nothing else."""
    if any(node.kind not in {"filler", "lead", "stop", "sort"} for node in walk.nodes[:at]):
        return False
    number = walk.nodes[at].value.number
    token = walk.slots.tokens[walk.nodes[at].start]
    loose = not token[0].isdecimal() or number % 5 == 0
    few = number <= _FEW and walk.kind(at - 1) in {"filler", "lead"}
    if few and _is_last_plural(walk, at + 1):
        return True  # "play two lullabies"
    for node in walk.nodes[at + 1 : at + 1 + _LISTED_AFTER_COUNT]:
        if node.kind == "generic":
            return bool(node.value) or number == 1
        if node.kind == "value" and (node.value.plural or number == 1):
            return True
        if node.kind == "word" and loose:
            continue
        if node.kind not in {"sort", "tone", "soft_tone", "value", "filler"}:
            return False
        loose = loose and node.kind != "value"
    return False


def _is_last_plural(walk: Walk, at: int) -> bool:
    """Tell whether a place has the last word of the query, and it is a plural."""
    if walk.kind(at) != "word" or at != len(walk.nodes) - 1:
        return False
    token = walk.token(walk.nodes[at].start)
    return any(pack.default and pack.plurals and pack.is_plural(token) for pack in packs())


def _tone(walk: Walk, at: int) -> int:
    node = walk.nodes[at]
    if node.value not in walk.demands.tone:
        walk.demands.tone.append(node.value)
    fitting = _fitting(walk, node.value)
    if fitting:
        walk.demands.prefers.append(fitting)
    walk.flag(node, GONE if fitting else KEPT)
    if not fitting:
        _soften(walk, node)
    walk.note(node, f"tone:{node.value}")
    return at + 1


def _soften(walk: Walk, node: Node) -> None:
    """Flag the little words of a phrase that stays, so that they fall away at its edges."""
    phrases = walk.slots.book.phrases
    for token in range(node.start, node.end):
        meaning = phrases.get(walk.slots.tokens[token], {}).get("")
        if meaning is not None and meaning.kind in {"stop", "filler"} and node.end > node.start + 1:
            walk.flags[token] = SOFT


def _fitting(walk: Walk, tone: str) -> Condition:
    """Return the filter for the values that a tone fits; {} where there are none."""
    for name in _fitting_names().get(tone, ()):
        named = walk.vocabulary.names.by_name.get(name)
        if named is not None and named.targets:
            choice = choice_of(named, walk.vocabulary)
            return all_choices([choice], walk.vocabulary.fields.kinds)
    return {}


@cache
def _fitting_names() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for pack in packs():
        for tone, names in pack.section("fitting").items():
            found.setdefault(tone, []).extend(" ".join(cut(name).texts) for name in names)
    return {tone: tuple(names) for tone, names in found.items()}


_RULES: Final[Mapping[str, Callable[[Walk, int], int]]] = {
    "generic": _generic,
    "sort": _sort,
    "tone": _tone,
    "soft_tone": _tone,
    "not_before": negating.negation,
    "not_before_value": negating.negation,
    "not_before_known": negating.negation,
    "not_after": negating.negated_before,
    "not_after_value": negating.negated_value_before,
    "like": titles.take_like,
    "with_end": titles.take_like,
    "unlike": titles.take_like,
    "like_after": titles.take_title_before,
    "date": ranges.take_date,
    "bound": ranges.take_bound,
    "count": _count,
    "number": _number,
    "value": gathering.take_value,
    "attribute": gathering.take_attribute,
}
