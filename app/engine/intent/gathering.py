"""Values of the catalogue: which belong together, with which field, and whether they filter."""

from collections.abc import Sequence
from typing import Final

from app.engine.intent.conditions import Choice, all_choices, any_of, choice_of
from app.engine.intent.cutting import cut, is_single
from app.engine.intent.names import Named
from app.engine.intent.nodes import Node
from app.engine.intent.walk import GONE, JOINTS, KEPT, SILENT, Walk, shown

_CLOSE: Final = frozenset({"generic", *SILENT, *JOINTS})
_ABOUT_ONE: Final = 1.2
_CONTENT: Final = frozenset({"word", "plain", "quoted", "number", "amount", "attribute"})


def take_value(walk: Walk, at: int) -> int:
    """Note a value; how it joins others is decided at the end."""
    walk.positive.append(at)
    return at + 1


def take_attribute(walk: Walk, at: int) -> int:
    """Take the name of a field together with its value: "colour black", "size 42"."""
    node = walk.nodes[at]
    fields = node.value.attributes
    if at in walk.taken:
        return at + 1
    _name_orders(walk, walk.beside(at, 1), fields)
    for place in (walk.beside(at, 1), walk.beside(at, -1)):
        if walk.kind(place) == "value":
            named: Named = walk.nodes[place].value
            if any(target.field in fields for target in named.targets):
                walk.nodes[place] = walk.nodes[place]._replace(value=_narrowed(named, fields))
                walk.flag(node, GONE)
                walk.nodes[at] = node._replace(kind="stop")
                return at + 1
    for place in (walk.beside(at, 1), walk.beside(at, -1)):
        codes = _codes(walk, place, fields, listed=place > at)
        if codes:
            last = max(at, place) + 2 * (len(codes) - 1)
            _take_code(walk, codes, min(at, place), last)
            return last + 1
    return at + 1


def _name_orders(walk: Walk, at: int, fields: Sequence[str]) -> None:
    """Take an order behind the name of a field as a value of it, if it is one: "brand: best"."""
    if walk.kind(at) != "sort":
        return
    node = walk.nodes[at]
    name = " ".join(walk.slots.tokens[node.start : node.end])
    named = walk.vocabulary.names.by_name.get(name)
    if named is not None and any(target.field in fields for target in named.targets):
        walk.nodes[at] = node._replace(kind="value", value=named)


def _codes(walk: Walk, at: int, fields: Sequence[str], *, listed: bool) -> list[Choice]:
    """Return the values of a field that stand at a place, and those joined to it: "42 or 40"."""
    codes: list[Choice] = []
    while walk.kind(at) in {"number", "word"} or (codes and walk.kind(at) == "value"):
        code = _value_of_field(walk, walk.nodes[at], fields)
        if code is None:
            break
        codes.append(code)
        fields = [code.field]
        if not listed or walk.kind(at + 1) not in JOINTS:
            break
        at += 2
    return codes


def _take_code(walk: Walk, codes: Sequence[Choice], first: int, last: int) -> None:
    """Demand values that only the name of their field makes some: "size 42", "42 size"."""
    values = tuple(sorted({value for code in codes for value in code.values}, key=str))
    choice = Choice(codes[0].field, values)
    walk.demands.values.append(all_choices([choice], walk.vocabulary.fields.kinds))
    walk.note(walk.nodes[first], shown([choice]), walk.nodes[last])
    walk.drop(first, last + 1)
    for place in range(first, last + 1):
        walk.nodes[place] = walk.nodes[place]._replace(kind="stop")


def _value_of_field(walk: Walk, node: Node, fields: Sequence[str]) -> Choice | None:
    if node.kind == "value":
        targets = [target for target in node.value.best if target.field in fields]
        return Choice(targets[0].field, (targets[0].value,)) if targets else None
    folded = " ".join(cut(walk.text_of(node)).texts)
    for name in fields:
        value: str | float | None = walk.vocabulary.names.codes.get((name, folded))
        if value is None and node.kind == "number":
            value = _number_in(walk, name, node.value.number)
        if value is not None:
            return Choice(name, (value,))
    return None


def _number_in(walk: Walk, field: str, number: float) -> float | None:
    """Return a number that items may have in a field, as "size 42"; no price or rating is exact."""
    known = walk.vocabulary.fields.numbers.get(field)
    if known is None or field in walk.vocabulary.fields.by_role.values():
        return None
    if not known.low <= number <= known.high:
        return None
    return int(number) if number == int(number) else number


def settle_values(walk: Walk) -> None:
    """Put the values that are left together, and decide whether they filter or prefer."""
    if not walk.positive:
        return
    vocabulary = walk.vocabulary
    content = _has_content(walk)
    kinds = vocabulary.fields.kinds
    wanted: list[Choice] = []
    preferred: list[Choice] = []
    for cluster in _clusters(walk):
        alternatives: list[list[Choice]] = []
        for place, joint in cluster:
            choice = choice_of(walk.nodes[place].value, vocabulary)
            _join(alternatives, choice, joint)
            walk.note(walk.nodes[place], shown([choice]))
        strict = not content and all(
            vocabulary.filters(choice.field) for some in alternatives for choice in some
        )
        if len(alternatives) == 1:
            (wanted if strict else preferred).extend(alternatives[0])
        else:
            goal = walk.demands.values if strict else walk.demands.prefers
            goal.append(any_of(alternatives, kinds))
        for place, _ in cluster if strict else ():
            walk.flag(walk.nodes[place], GONE)
    if wanted:
        walk.demands.values.append(all_choices(wanted, kinds))
    if preferred:
        walk.demands.prefers.append(all_choices(preferred, kinds))


def _has_content(walk: Walk) -> bool:
    """Tell whether words are left that are no demands, apart from values."""
    flags = walk.flags
    for node in walk.nodes:  # noqa: SIM110 - a generator costs more than the loop
        if node.kind in _CONTENT and flags[node.start] == KEPT:
            return True
    return False


def _join(alternatives: list[list[Choice]], choice: Choice, joint: str) -> None:
    """Add a choice: "red or black headphones" are headphones of either colour."""
    before = alternatives[-1][-1] if alternatives else None
    if before is None or (joint == "or" and before.field != choice.field):
        alternatives.append([choice])
    elif joint == "or":
        values = tuple(sorted({*before.values, *choice.values}, key=str))
        alternatives[-1][-1] = Choice(choice.field, values)
    else:
        alternatives[-1].append(choice)


def _clusters(walk: Walk) -> list[list[tuple[int, str]]]:
    """Return the values in groups that nothing else stands between, each with how it joins."""
    clusters: list[list[tuple[int, str]]] = []
    before = -1
    for place in walk.positive:
        between = {node.kind for node in walk.nodes[before + 1 : place]}
        if not clusters or not between <= _CLOSE:
            clusters.append([(place, "")])
        else:
            clusters[-1].append((place, _joint(walk, before, place, between)))
        before = place
    return clusters


def _joint(walk: Walk, before: int, place: int, between: set[str]) -> str:
    if "or" in between:
        return "or"
    fields = [walk.nodes[at].value.best[0].field for at in (before, place)]
    if not between & {"and", "comma"} or fields[0] != fields[1]:
        return "and"
    listed = _listed(walk, before) and _listed(walk, place)
    return "or" if listed or _single_valued(walk, place) else "and"


def _single_valued(walk: Walk, place: int) -> bool:
    """Tell whether items have about one value of a field, so that two are a choice."""
    vocabulary = walk.vocabulary
    field = walk.nodes[place].value.best[0].field
    values = sum(vocabulary.counts.get(field, {}).values())
    return values <= _ABOUT_ONE * vocabulary.present.get(field, 0)


def _listed(walk: Walk, place: int) -> bool:
    """Tell whether a value stands in a list of kinds of things, not in a description."""
    node = walk.nodes[place]
    return node.value.plural or is_single(walk.slots.tokens[node.start])


def _narrowed(named: Named, fields: Sequence[str]) -> Named:
    targets = tuple(target for target in named.targets if target.field in fields)
    return named._replace(targets=targets, best=targets)
