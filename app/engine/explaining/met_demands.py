"""What an item meets of what was asked beside words: clauses of a filter, spans of a query."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from app.core.types import JsonValue
from app.domain.filters import filter_text, matches, parse_filter
from app.domain.intent import Intent, Span
from app.engine.catalogue.catalogue import Catalogue
from app.engine.parts import EngineParts

_NUMBERS = frozenset({"number", "time"})
_LOGIC = "$"


def clauses_of(filter_: str) -> list[dict[str, Any]]:
    """Return the parts of a filter's text all of which an item must meet.

    >>> clauses_of('{"$and":[{"a":{"eq":1}},{"b":{"gt":2,"lt":5}}]}')
    [{'a': {'eq': 1}}, {'b': {'gt': 2}}, {'b': {'lt': 5}}]
    """
    return list(_clauses(orjson.loads(filter_))) if filter_ else []


def _clauses(raw: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    for name, tests in raw.items():
        if name == "$and":
            for part in tests:
                yield from _clauses(part)
        elif name.startswith(_LOGIC):
            yield {name: tests}
        else:
            for operator, operand in tests.items():
                yield {name: {operator: operand}}


def meets(catalogue: Catalogue, row: int, clause: Mapping[str, Any]) -> bool:
    """Tell whether a row passes one clause. Raises `InvalidRequestError` if it does not fit."""
    test = parse_filter(filter_text(clause), catalogue.attributes, limited=False)
    return matches(test, _RowValues(catalogue, row))


class _RowValues(Mapping[str, JsonValue]):
    """The values of a row as filters read them: times as unix seconds."""

    def __init__(self, catalogue: Catalogue, row: int) -> None:
        self._catalogue, self._row = catalogue, row

    def __getitem__(self, field: str) -> JsonValue:
        if self._catalogue.attributes.get(field) in _NUMBERS:
            number = float(self._catalogue.numbers(field)[self._row])
            return None if number != number else number  # noqa: PLR0124 - NaN = missing
        return self._catalogue.value(self._row, field)

    def __iter__(self) -> Iterator[str]:
        return iter(self._catalogue.attributes)

    def __len__(self) -> int:
        return len(self._catalogue.attributes)


def met_spans(parts: EngineParts, intent: Intent, query: str, row: int) -> list[dict[str, Any]]:
    """Return the spans of a query that ask for a value, a range or a tone that a row has."""
    asked = [*clauses_of(intent.filters), *clauses_of(intent.prefers)]
    return [
        {**span._asdict(), "words": query[span.start : span.end]}
        for span in intent.spans
        if span.end <= len(query) and _is_met(parts, asked, span, row)
    ]


def _is_met(parts: EngineParts, asked: Sequence[Mapping[str, Any]], span: Span, row: int) -> bool:
    kind, _, rest = span.means.partition(":")
    if kind == "tone":
        shares = parts.tones.shares((rest,))
        return shares is not None and bool(shares[row] > 0.0)
    if "=" in span.means:
        return any(_has(parts.catalogue, row, choice) for choice in span.means.split(","))
    tests = [clause for clause in asked if span.means in clause]
    return bool(tests) and all(meets(parts.catalogue, row, clause) for clause in tests)


def _has(catalogue: Catalogue, row: int, choice: str) -> bool:
    """Tell whether a row has one of the values of a choice such as "categories=Crime|Thriller"."""
    field, _, values = choice.partition("=")
    if field not in catalogue.attributes:
        return False
    value = catalogue.value(row, field)
    own = {value} if isinstance(value, str | int | float | None) else set(value)
    return not {str(each) for each in own - {None}}.isdisjoint(values.split("|"))
