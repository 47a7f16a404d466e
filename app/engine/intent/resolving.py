"""Puts the nodes of a query together: how far a negation reaches, which values belong together.

The rules are about kinds of nodes only, and know no words. `resolve` goes through the nodes once
and collects demands; what no rule takes stays as the text to search by.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Final

from app.domain.intent import Sort, Span
from app.engine.intent.conditions import (
    Bound,
    Choice,
    Condition,
    all_choices,
    any_of,
    bound_condition,
    bound_of,
    choice_of,
    conjunction,
    dates,
    field_for,
    nots,
    opposite_of,
    span_of,
)
from app.engine.intent.cutting import cut, is_single
from app.engine.intent.names import Named
from app.engine.intent.packs import packs
from app.engine.intent.reading import Node, Reading
from app.engine.intent.slots import Amount, Time
from app.engine.intent.vocabulary import IntentVocabulary

GONE: Final = 0
SOFT: Final = 1
KEPT: Final = 2

_WORDS: Final = frozenset({"word", "plain", "quoted", "number", "amount", "tone", "soft_tone"})
_CONTENT: Final = frozenset({"word", "plain", "quoted", "number", "amount", "attribute"})
_SILENT: Final = frozenset({"stop", "filler", "lead"})
_JOINTS: Final = frozenset({"and", "or", "comma"})
_MOST_COUNT: Final = 100
_LISTED_AFTER_COUNT: Final = 5


@dataclass(slots=True)
class Demands:
    """What was collected from a query; see `app.domain.intent.Intent`."""

    sort: Sort = "relevance"
    values: list[Condition] = field(default_factory=list)
    spans_of_dates: list[tuple[date | None, date | None]] = field(default_factory=list)
    other_dates: list[Condition] = field(default_factory=list)
    bounds: list[Condition] = field(default_factory=list)
    negated: list[Condition] = field(default_factory=list)
    prefers: list[Condition] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    like: list[str] = field(default_factory=list)
    dislike: list[str] = field(default_factory=list)
    tone: list[str] = field(default_factory=list)
    count: int | None = None
    clock: bool = False
    doubt: float = 1.0
    n: int = 0

    @property
    def filters(self) -> Condition:
        """What items must be and must not be."""
        positive = [*self.values, dates(self.spans_of_dates), *self.other_dates, *self.bounds]
        return conjunction([*_merged_bounds(positive), nots(self.negated)])


class Resolver:
    """Goes through the nodes of one query."""

    def __init__(self, query: str, reading: Reading, nodes: list[Node]) -> None:
        """Take a query, and its nodes as `reading` found them."""
        self.query, self.nodes = query, nodes
        self.demands = Demands()
        self.spans: list[Span] = []
        self.flags = [KEPT] * reading.n
        """For each token: kept as text, kept between kept ones only, or gone."""
        self._slots = reading.slots
        self._vocabulary: IntentVocabulary = reading.vocabulary
        self._taken: set[int] = set()
        self._positive: list[int] = []
        self._rules: Mapping[str, Callable[[int], int]] = {
            "generic": self._generic,
            "sort": self._sort,
            "tone": self._tone,
            "soft_tone": self._tone,
            "not_before": self._negation,
            "not_before_value": self._negation,
            "not_before_known": self._negation,
            "not_after": self._negated_before,
            "like": self._like,
            "with_end": self._like,
            "unlike": self._like,
            "date": self._date,
            "bound": self._bound,
            "count": self._count,
            "number": self._number,
            "value": self._value,
            "attribute": self._attribute,
        }

    def resolve(self) -> Demands:
        """Return what the query demands."""
        at = 0
        while at < len(self.nodes):
            node = self.nodes[at]
            rule = self._rules.get(node.kind)
            if rule is not None:
                at = rule(at)
                continue
            if node.kind in {"filler", "lead", "like_end", "but"}:
                self._flag(node, GONE)
            elif node.kind in {"stop", "and", "or", "comma", "connective"}:
                self._flag(node, SOFT)
            at += 1
        self._settle_values()
        demands = self.demands
        demands.prefers = [part for part in demands.prefers if part not in demands.negated]
        return demands

    def text_of(self, first: Node, last: Node | None = None) -> str:
        """Return the characters of nodes as typed."""
        start, end = first.start, (last or first).end
        if first.kind in {"quoted", "title"} and last is None and not self._alnum(start):
            start, end = start + 1, end - 1
        return self.query[self._slots.starts[start] : self._slots.ends[end - 1]]

    def token(self, at: int) -> str:
        """Return a folded token."""
        return self._slots.tokens[at]

    def characters(self, first: int, last: int) -> str:
        """Return the characters of the query from one token to another, that one included."""
        return self.query[self._slots.starts[first] : self._slots.ends[last]]

    def _alnum(self, token: int) -> bool:
        return self._slots.tokens[token].isalnum() or token == 0

    def _flag(self, node: Node, flag: int) -> None:
        for token in range(node.start, node.end):
            self.flags[token] = flag

    def _note(self, node: Node, means: str, last: Node | None = None) -> None:
        slots = self._slots
        self.spans.append(Span(slots.starts[node.start], slots.ends[(last or node).end - 1], means))
        self.demands.n += 1

    def _kind(self, at: int) -> str:
        return self.nodes[at].kind if 0 <= at < len(self.nodes) else ""

    def _skip(self, at: int, kinds: frozenset[str] = _SILENT) -> int:
        while self._kind(at) in kinds:
            self._flag(self.nodes[at], SOFT)
            at += 1
        return at

    # What is said of all items.

    def _generic(self, at: int) -> int:
        node = self.nodes[at]
        following = self._kind(at + 1)
        joined = not node.value and following in {"word", "number", "plain"}
        self._flag(node, KEPT if joined else GONE)
        if joined:
            self.nodes[at] = node._replace(kind="word")
        return at + 1

    def _sort(self, at: int) -> int:
        node = self.nodes[at]
        self._use_sort(node.value)
        self._flag(node, GONE)
        self._note(node, f"sort:{node.value}")
        return at + 1

    def _use_sort(self, sort: Sort) -> None:
        if self.demands.sort == "relevance":
            self.demands.sort = sort
        elif self.demands.sort != sort:
            self.demands.doubt *= 0.8

    def _count(self, at: int) -> int:
        node = self.nodes[at]
        sort, values = node.value
        if values:
            self.demands.count = self.demands.count or int(values[0])
            self._note(node, f"count:{int(values[0])}")
        if sort != "relevance":
            self._use_sort(sort)
            self._note(node, f"sort:{sort}")
        self._flag(node, GONE)
        return at + 1

    def _number(self, at: int) -> int:
        node = self.nodes[at]
        number = node.value.number
        if self.demands.count is None and number == int(number) and 0 < number <= _MOST_COUNT:
            if self._counts(at):
                self.demands.count = int(number)
                self._flag(node, GONE)
                self._note(node, f"count:{int(number)}")
        return at + 1

    def _counts(self, at: int) -> bool:
        """Tell whether a number says how many: in front of a plural, and behind nothing else."""
        if any(node.kind not in {"filler", "lead", "stop", "sort"} for node in self.nodes[:at]):
            return False
        number = self.nodes[at].value.number
        token = self._slots.tokens[self.nodes[at].start]
        loose = not token[0].isdigit() or number % 5 == 0
        for node in self.nodes[at + 1 : at + 1 + _LISTED_AFTER_COUNT]:
            if node.kind == "generic":
                return bool(node.value)
            if node.kind == "value" and node.value.plural:
                return True
            if node.kind == "word" and loose:
                continue
            if node.kind not in {"sort", "tone", "soft_tone", "value", "filler"}:
                return False
            loose = loose and node.kind != "value"
        return False

    def _tone(self, at: int) -> int:
        node = self.nodes[at]
        if node.value not in self.demands.tone:
            self.demands.tone.append(node.value)
        fitting = self._fitting(node.value)
        if fitting:
            self.demands.prefers.append(fitting)
        self._flag(node, GONE if fitting else KEPT)
        if not fitting:
            self._soften(node)
        self._note(node, f"tone:{node.value}")
        return at + 1

    def _soften(self, node: Node) -> None:
        """Flag the little words of a phrase that stays, so that they fall away at its edges."""
        phrases = self._slots.book.phrases
        for token in range(node.start, node.end):
            meaning = phrases.get(self._slots.tokens[token], {}).get("")
            if meaning is not None and meaning.kind in {"stop", "filler"} and node.end > node.start + 1:
                self.flags[token] = SOFT

    def _fitting(self, tone: str) -> Condition:
        """Return the filter for the values that a tone fits; {} where there are none."""
        for name in _fitting_names().get(tone, ()):
            named = self._vocabulary.names.by_name.get(name)
            if named is not None and named.targets:
                choice = choice_of(named, self._vocabulary)
                return all_choices([choice], self._vocabulary.fields.kinds)
        return {}

    # Titles.

    def _like(self, at: int) -> int:
        return self._titles(at, dislike=self.nodes[at].kind == "unlike")

    def _titles(self, at: int, *, dislike: bool) -> int:
        titles = self.demands.dislike if dislike else self.demands.like
        self._flag(self.nodes[at], GONE)
        at += 1
        while self._kind(at) == "title" or (
            self._kind(at) in _JOINTS and self._kind(at + 1) in {"title", "and"}
        ):
            node = self.nodes[at]
            self._flag(node, GONE)
            if node.kind == "title":
                text = self.text_of(node)
                titles.append(text)
                self._note(node, f"{'dislike' if dislike else 'like'}:{text}")
                self.demands.doubt *= 1.0 if node.value else 0.9
            at += 1
        return at

    # Negations.

    def _negation(self, at: int) -> int:
        """Negate what follows: values, words, a time or a bound; and what is joined to it."""
        start = self.nodes[at]
        self._flag(start, GONE)
        at = self._skip(at + 1)
        done = False
        while True:
            end = self._negate(at, start)
            if end == at:
                break
            done = True
            if self._kind(end) == "generic":
                self._flag(self.nodes[end], GONE)
                end += 1
            at = end
            if self._kind(at) == "not_after":
                self._flag(self.nodes[at], GONE)
                at += 1
            following = self._joined(at)
            if following is None:
                break
            for joint in range(at, following):
                self._flag(self.nodes[joint], GONE)
            at = following
        if not done:
            self.demands.doubt *= 0.4
        return at

    def _joined(self, at: int) -> int | None:
        """Return where a negation goes on behind a joint; None where it does not."""
        joint = self._kind(at)
        if joint not in _JOINTS:
            return None
        following = at + 1
        while self._kind(following) in _SILENT | _JOINTS:
            following += 1
        kind = self._kind(following)
        if kind != "value" and (kind not in {"word", "plain", "quoted"} or joint == "comma"):
            return None
        if joint == "comma" and not self._list_goes_on(following):
            return None
        return following

    def _list_goes_on(self, at: int) -> bool:
        """Tell whether "and" or "or" ends the list that commas began."""
        while self._kind(at) in {"value", "comma", "generic", "stop"}:
            at += 1
        return self._kind(at) in {"and", "or"}

    def _negate(self, at: int, start: Node) -> int:
        """Negate one thing, and return the node behind it; `at` itself if there is nothing."""
        while self._kind(at) == "generic" and self._kind(at + 1) in {"value", "date", "stop"}:
            self._flag(self.nodes[at], GONE)
            at = self._skip(at + 1)
        kind = self._kind(at)
        if kind == "value":
            return self._negate_values(at, start)
        if kind in {"like", "with_end", "unlike"}:
            return self._titles(at, dislike=kind != "unlike")
        if kind in {"date", "bound"}:
            return self._negate_range(at)
        if kind == "sort":
            self._flag(self.nodes[at], GONE)
            self.demands.doubt *= 0.6
            return at + 1
        end = at
        while self._kind(end) in _WORDS | {"attribute"}:
            end += 1
        if end > at:
            first, last = self.nodes[at], self.nodes[end - 1]
            text = self.text_of(first, last if end > at + 1 else None).lower()
            self.demands.without.append(text)
            for node in self.nodes[at:end]:
                self._flag(node, GONE)
            self._note(start, f"without:{text}", last)
        return end

    def _negate_values(self, at: int, start: Node) -> int:
        end = at
        while self._kind(end) == "value":
            end += 1
        nodes = self.nodes[at:end]
        choices = [choice_of(node.value, self._vocabulary) for node in nodes]
        self.demands.negated.append(all_choices(choices, self._vocabulary.fields.kinds))
        for node in nodes:
            self._flag(node, GONE)
        self._note(start, f"not:{_shown(choices)}", nodes[-1])
        return end

    def _negate_range(self, at: int) -> int:
        node = self.nodes[at]
        self._flag(node, GONE)
        if node.kind == "date":
            test, times = node.value
            span = span_of(test, [time.period for time in times])
            self.demands.negated.append(dates([span]))
            self.demands.clock |= any(time.period.clock for time in times)
            self._note(node, "not:published_at")
            return at + 1
        bound, end = self._bound_at(at)
        if bound is None:
            return end
        opposite = opposite_of(bound)
        if opposite:
            self.demands.bounds.append(opposite)
        else:
            self.demands.negated.append(bound_condition(bound))
        self._note(node, f"not:{bound.field}")
        return end

    def _negated_before(self, at: int) -> int:
        """Negate what stands in front of an "excepted"."""
        node = self.nodes[at]
        self._flag(node, GONE)
        first = at
        while first and self._kind(first - 1) in {"value", "generic", "stop", *_JOINTS}:
            first -= 1
        values = [place for place in range(first, at) if place in self._positive]
        if values:
            choices = [[choice_of(self.nodes[p].value, self._vocabulary)] for p in values]
            self.demands.negated.append(any_of(choices, self._vocabulary.fields.kinds))
            self._positive = [place for place in self._positive if place not in values]
            for place in range(first, at):
                self._flag(self.nodes[place], GONE)
            self._note(self.nodes[first], f"not:{_shown([c for (c,) in choices])}", node)
            return at + 1
        while first and self._kind(first - 1) == "word":
            first -= 1
        if first < at and self._kind(first) == "word":
            text = self.text_of(self.nodes[first], self.nodes[at - 1]).lower()
            self.demands.without.append(text)
            for place in range(first, at):
                self._flag(self.nodes[place], GONE)
            self._note(self.nodes[first], f"without:{text}", node)
        else:
            self.demands.doubt *= 0.5
        return at + 1

    # Times and numbers.

    def _date(self, at: int) -> int:
        node = self.nodes[at]
        test, times = node.value
        span = span_of(test, [time.period for time in times])
        joint = self._kind(at - 1) in _JOINTS and self._kind(at - 2) == "date"
        if joint and test == "in" and self.demands.spans_of_dates:
            before = self.demands.spans_of_dates.pop()
            self.demands.other_dates.append({"$or": [dates([before]), dates([span])]})
        else:
            self.demands.spans_of_dates.append(span)
        self.demands.clock |= any(time.period.clock for time in times)
        self._flag(node, GONE)
        self._note(node, "published_at")
        return at + 1

    def _bound(self, at: int) -> int:
        node = self.nodes[at]
        bound, end = self._bound_at(at)
        if bound is None:
            self._flag(node, KEPT)
            self.nodes[at] = node._replace(kind="amount")
            self.demands.doubt *= 0.5
            return end
        self.demands.bounds.append(bound_condition(bound))
        self._flag(node, GONE)
        self._note(node, bound.field)
        return end

    def _bound_at(self, at: int) -> tuple[Bound | None, int]:
        """Return the bound of a node, and the node behind it and what it takes with it."""
        (test, role, weak), amounts = self.nodes[at].value
        counted: Amount = next((one for one in amounts if one.counts), amounts[0])
        named = self._number_field_beside(at)
        fields = self._vocabulary.fields
        if named is not None:
            place, name = named
            self._flag(self.nodes[place], GONE)
            self._taken.add(place)
            found = fields.numbers[name]
            return bound_of(test, amounts, found, counted), max(at, place) + 1
        found_field = field_for(counted, [one.number for one in amounts], role, weak, fields)
        if found_field is None:
            return None, at + 1
        return bound_of(test, amounts, found_field, counted), at + 1

    def _number_field_beside(self, at: int) -> tuple[int, str] | None:
        """Return the place and field of a number field's name next to a node, if one is there."""
        for step in (-1, 1):
            place = at + step
            while self._kind(place) in _SILENT:
                place += step
            if self._kind(place) not in {"attribute", "value"} or place in self._taken:
                continue
            numbers = [
                name
                for name in self.nodes[place].value.attributes
                if name in self._vocabulary.fields.numbers
            ]
            if numbers:
                self._positive = [one for one in self._positive if one != place]
                return place, numbers[0]
        return None

    # Values of the catalogue.

    def _value(self, at: int) -> int:
        self._positive.append(at)
        return at + 1

    def _attribute(self, at: int) -> int:
        """Take the name of a field together with its value: "colour black", "size 42"."""
        node = self.nodes[at]
        fields = node.value.attributes
        if at in self._taken:
            return at + 1
        for place in (self._beside(at, 1), self._beside(at, -1)):
            if self._kind(place) == "value":
                named: Named = self.nodes[place].value
                if any(target.field in fields for target in named.targets):
                    self.nodes[place] = self.nodes[place]._replace(value=_narrowed(named, fields))
                    self._flag(node, GONE)
                    self.nodes[at] = node._replace(kind="stop")
                    return at + 1
        place = at + 1
        if self._kind(place) in {"number", "word"}:
            value = self._value_of_field(self.text_of(self.nodes[place]), fields)
            if value is not None:
                condition = all_choices([value], self._vocabulary.fields.kinds)
                self.demands.values.append(condition)
                self._flag(node, GONE)
                self._flag(self.nodes[place], GONE)
                self._note(node, _shown([value]), self.nodes[place])
                self.nodes[at] = node._replace(kind="stop")
                self.nodes[place] = self.nodes[place]._replace(kind="stop")
                return place + 1
        return at + 1

    def _beside(self, at: int, step: int) -> int:
        at += step
        while self._kind(at) in _SILENT:
            at += step
        return at

    def _value_of_field(self, text: str, fields: Sequence[str]) -> Choice | None:
        folded = cut(text).texts
        for name in fields:
            for value in self._vocabulary.counts.get(name, ()):
                if isinstance(value, str) and cut(value).texts == folded:
                    return Choice(name, (value,))
        return None

    def _settle_values(self) -> None:
        """Put the values that are left together, and decide whether they filter or prefer."""
        if not self._positive:
            return
        kinds = self._vocabulary.fields.kinds
        content = any(
            node.kind in _CONTENT and self.flags[node.start] == KEPT for node in self.nodes
        )
        for cluster in self._clusters():
            alternatives: list[list[Choice]] = []
            for place, joint in cluster:
                node = self.nodes[place]
                choice = choice_of(node.value, self._vocabulary)
                if joint == "or" or not alternatives:
                    alternatives.append([choice])
                else:
                    alternatives[-1].append(choice)
                self._note(node, _shown([choice]))
            choices = [choice for some in alternatives for choice in some]
            condition = any_of(alternatives, kinds)
            strict = not content and all(self._vocabulary.filters(one.field) for one in choices)
            (self.demands.values if strict else self.demands.prefers).append(condition)
            for place, _ in cluster if strict else ():
                self._flag(self.nodes[place], GONE)

    def _clusters(self) -> list[list[tuple[int, str]]]:
        """Return the values in groups that nothing else stands between, each with how it joins."""
        clusters: list[list[tuple[int, str]]] = []
        before = -1
        for place in self._positive:
            between = {self._kind(at) for at in range(before + 1, place)} if before >= 0 else {"far"}
            if between - {"generic", *_SILENT, *_JOINTS}:
                clusters.append([(place, "")])
            else:
                clusters[-1].append((place, self._joint(before, place, between)))
            before = place
        return clusters

    def _joint(self, before: int, place: int, between: set[str]) -> str:
        if "or" in between:
            return "or"
        if between & {"and", "comma"} and self._listed(before) and self._listed(place):
            return "or"
        return "and"

    def _listed(self, place: int) -> bool:
        """Tell whether a value stands in a list of kinds of things, not in a description."""
        node = self.nodes[place]
        return node.value.plural or is_single(self._slots.tokens[node.start])


def _narrowed(named: Named, fields: Sequence[str]) -> Named:
    targets = tuple(target for target in named.targets if target.field in fields)
    return named._replace(targets=targets, best=targets)


def _shown(choices: Sequence[Choice]) -> str:
    return ",".join(f"{field}={'|'.join(map(str, values))}" for field, values in choices)


def _merged_bounds(parts: Sequence[Condition]) -> list[Condition]:
    """Return the parts, with bounds on one field as one: at least 10 and at most 20."""
    merged: list[Condition] = []
    by_field: dict[str, Condition] = {}
    for part in parts:
        ((name, test),) = part.items() if len(part) == 1 else (("", None),)
        ranged = isinstance(test, dict) and bool(test) and set(test) <= {"gt", "gte", "lt", "lte"}
        if ranged and name in by_field and not set(test) & set(by_field[name][name]):
            by_field[name][name] |= test
        else:
            merged.append({name: dict(test)} if ranged else part)
            if ranged:
                by_field.setdefault(name, merged[-1])
    return merged


@cache
def _fitting_names() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, list[str]] = {}
    for pack in packs():
        for tone, names in pack.section("fitting").items():
            found.setdefault(tone, []).extend(" ".join(cut(name).texts) for name in names)
    return {tone: tuple(names) for tone, names in found.items()}
