"""Checks what a language model says of a query, and keeps what can be used.

In two steps. `shaped` needs no catalogue: it keeps what has the shape of an intent, within bounds;
that is what is stored. If the model quotes which words of the query say what, demands whose quote
is not in the query are dropped: small models invent much.

`checked` holds it against a catalogue: unknown fields, values and titles, and bounds that no item
can meet, are dropped; values get the spelling of the catalogue. It is done again for each bundle.

A model names an item only by its title. It can say only what a caller could send as `intent` with
the same query.
"""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.core.errors import InvalidRequestError
from app.domain.filters import And, Filter, Range, filter_text, parse_filter
from app.domain.intent import SORTS, TONES, Intent, Span
from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
from app.domain.request_parts import MAX_K
from app.serving.intents.facts import CatalogueFacts

MOST_TEXTS: Final = 8
"""Most titles, and most words, that one list names."""

_MAX_TEXT: Final = 200
_MAX_FILTER_BYTES: Final = 4096
_MAX_VALUES: Final = 32
_MAX_DEPTH: Final = 4
_USUAL_CONFIDENCE: Final = 0.7
_LANGUAGE: Final = re.compile(r"[a-z]{2,3}(-[A-Za-z]{2,8}){0,2}")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ud800-\udfff]+")
_NOTHING_OF: Final[Mapping[str, Any]] = {"sort": "relevance", "tone": [], "count": None}
_GROUPS: Final = ("$and", "$or", "$not")
_POSITIVE: Final = frozenset({"any", "all", "eq"})
_BOUNDS: Final = frozenset({"gt", "gte", "lt", "lte"})


@dataclass(frozen=True, slots=True)
class Checked:
    """What is left of an intent.

    Attributes:
        text: JSON text of the intent; "" = nothing that helps.
        dropped: why parts of it were dropped, each time: unquoted, unknown_field, unknown_value,
            unknown_title, impossible, wrong_type; at last empty or plain for the whole.
    """

    text: str
    dropped: tuple[str, ...] = ()


def shaped(said: Mapping[str, Any], query: str) -> Checked:
    """Return what has the shape of an intent, as JSON text; "" = nothing beyond the query."""
    shape = {
        "sort": said.get("sort") if said.get("sort") in SORTS else "relevance",
        "filters": _object(said.get("filters")),
        "prefers": _object(said.get("prefers")),
        "without": _texts(said.get("without")),
        "like": _texts(said.get("like")),
        "dislike": _texts(said.get("dislike")),
        "tone": [tone for tone in _texts(said.get("tone")) if tone in TONES],
        "count": _count(said.get("count")),
        "residual_text": _text(said.get("residual_text"), MAX_QUERY_CHARACTERS),
        "language": _language(said.get("language")),
        "confidence": _confidence(said.get("confidence")),
        "spans": [],
    }
    dropped: list[str] = []
    if isinstance(said.get("quotes"), dict):
        dropped = _drop_unquoted(shape, said["quotes"], query)
    if _says_nothing(shape, query):
        return Checked("", (*dropped, "plain"))
    return Checked(orjson.dumps(shape, option=orjson.OPT_SORT_KEYS).decode(), tuple(dropped))


def _drop_unquoted(shape: dict[str, Any], quotes: Mapping[str, Any], query: str) -> list[str]:
    """Drop demands that no words of the query say, and keep which words say the others."""
    text, filters = query.casefold(), shape["filters"]
    demands = {name: name for name in filters if name not in _GROUPS}
    for name, nothing in _NOTHING_OF.items():
        if shape[name] != nothing:
            said = shape[name][0] if name == "tone" else shape[name]
            demands[name] = f"{name}:{said}"
    dropped: list[str] = []
    spans: list[dict[str, Any]] = []
    for name, means in demands.items():
        quote = _text(quotes.get(name), MAX_QUERY_CHARACTERS).casefold()
        if quote and quote in text:
            start = text.index(quote)
            spans.append({"start": start, "end": start + len(quote), "means": means})
            continue
        dropped.append("unquoted")
        if name in _NOTHING_OF:
            shape[name] = _NOTHING_OF[name]
        else:
            del filters[name]
    if len(text) == len(query):  # else the characters are not those of the query
        shape["spans"] = sorted(spans, key=lambda span: (span["start"], span["end"]))
    return dropped


def titles_in(text: str) -> tuple[str, ...]:
    """Return the titles that a shaped intent names."""
    said = orjson.loads(text)
    return tuple(dict.fromkeys((*said["like"], *said["dislike"])))


def checked(text: str, facts: CatalogueFacts, titled: Mapping[str, str]) -> Checked:
    """Return what of a shaped intent fits a catalogue, as the engine takes it.

    Args:
        text: as `shaped` returned it, not empty.
        facts: of the catalogue.
        titled: title -> id of its item, for the titles that are known.
    """
    said, check = orjson.loads(text), _Check(facts)
    filters, prefers = check.group(said["filters"], 0), check.group(said["prefers"], 0)
    like, dislike = check.items(said["like"], titled), check.items(said["dislike"], titled)
    # Words that name no value of the catalogue may still stand in the texts of its items.
    residual = _text(" ".join([said["residual_text"], *check.unmatched]), MAX_QUERY_CHARACTERS)
    intent = Intent(
        sort=said["sort"],
        filters=filter_text(filters),
        prefers=filter_text(prefers),
        without=tuple(said["without"]),
        like=like,
        dislike=dislike,
        tone=tuple(said["tone"]),
        count=said["count"],
        residual_text=residual,
        language=said["language"],
        confidence=said["confidence"],
        spans=tuple([Span(**span) for span in said["spans"]]),
    )
    dropped = tuple(check.dropped)
    if intent.is_plain and not intent.tone and not residual:
        return Checked("", (*dropped, "empty"))
    return Checked(intent.text(), dropped)


@dataclass
class _Check:
    """Checks one intent.

    Attributes:
        dropped: reasons so far.
        unmatched: positive values that the catalogue does not have.
    """

    facts: CatalogueFacts
    dropped: list[str] = field(default_factory=list)
    unmatched: list[str] = field(default_factory=list)

    def items(self, titles: Sequence[str], titled: Mapping[str, str]) -> tuple[str, ...]:
        found = [titled[title] for title in titles if title in titled]
        self.dropped += ["unknown_title"] * (len(titles) - len(found))
        return tuple(dict.fromkeys(found))

    def group(self, raw: Mapping[str, Any], depth: int, *, negated: bool = False) -> dict[str, Any]:
        """Return the entries of a filter that can be used."""
        kept: dict[str, Any] = {}
        for name, value in raw.items():
            if name in _GROUPS:
                parts = value if isinstance(value, list) and depth < _MAX_DEPTH else []
                groups = [
                    self.group(part, depth + 1, negated=negated or name == "$not")
                    for part in parts
                    if isinstance(part, dict)
                ]
                if some := [group for group in groups if group]:
                    kept[name] = some
                continue
            known = self.facts.field(name)
            if known is None:
                self._drop("unknown_field")
            elif tests := self._tests(known, value, negated=negated):
                kept[known] = tests
            elif negated:
                return {}  # no item meets all of it, so it rules none out
        return kept

    def _tests(self, name: str, raw: object, *, negated: bool) -> dict[str, Any]:
        """Return the tests of one field that can be used."""
        kind = self.facts.kinds[name]
        if not isinstance(raw, dict):
            raw = {"any" if kind != "boolean" else "eq": raw}
        tests: dict[str, Any] = {}
        for test, operand in raw.items():
            kept = self._operand(name, kind, test, operand, negated=negated)
            if kept is not None:
                tests[test] = kept
        if bounds := {test: tests[test] for test in tests if test in _BOUNDS}:
            lows_highs = list(_ranges(self._parsed(name, bounds)))
            low, high = self.facts.range(name)
            first = max([low, *[each.low for each in lows_highs]])
            if first > min([high, *[each.high for each in lows_highs]]):
                self._drop("impossible")
                tests = {test: tests[test] for test in tests if test not in bounds}
        return tests

    def _operand(self, name: str, kind: str, test: str, operand: object, *, negated: bool) -> Any:  # noqa: ANN401 - JSON
        """Return what a field is compared with, as far as it can be used; None = not at all."""
        if test == "exists" and isinstance(operand, bool):
            return operand
        if test in _BOUNDS or kind == "boolean":
            value = _number(operand) if kind == "number" else operand
            return value if self._fits(name, {test: value}) else None
        values = operand if isinstance(operand, list) else [operand]
        positive = test in _POSITIVE and not negated
        kept = [self._value(name, value, positive=positive) for value in values[:_MAX_VALUES]]
        found = list(dict.fromkeys(value for value in kept if value is not None))
        if not found or not self._fits(name, {test: found[0] if test == "eq" else found}):
            return None
        return found[0] if test == "eq" else found

    def _value(self, name: str, value: object, *, positive: bool) -> Any:  # noqa: ANN401 - JSON
        """Return a value as the catalogue spells it; None if no item can have it."""
        kind = self.facts.kinds[name]
        if kind in {"number", "time"}:
            number = _number(value) if kind == "number" else value
            usable = self._fits(name, {"eq": number}) and self._in_range(name, number)
            return number if usable else None
        if not isinstance(value, str):
            self._drop("wrong_type")
            return None
        known = self.facts.spelling(name, value.strip())
        if known is None:
            self._drop("unknown_value", [value] if positive else [])
        return known

    def _in_range(self, name: str, value: object) -> bool:
        low, high = self.facts.range(name)
        meant = list(_ranges(self._parsed(name, {"gte": value, "lte": value})))
        inside = all(each.low <= high and each.high >= low for each in meant)
        if not inside:
            self._drop("impossible")
        return inside

    def _fits(self, name: str, tests: Mapping[str, Any]) -> bool:
        try:
            self._parsed(name, tests)
        except InvalidRequestError:
            self._drop("wrong_type")
            return False
        return True

    def _parsed(self, name: str, tests: Mapping[str, Any]) -> Filter:
        return parse_filter(filter_text({name: tests}), self.facts.kinds)

    def _drop(self, reason: str, words: Iterable[str] = ()) -> None:
        self.dropped.append(reason)
        self.unmatched += words


def _ranges(test: Filter) -> Iterable[Range]:
    if isinstance(test, Range):
        return [test]
    if isinstance(test, And):
        return [part for part in test.parts if isinstance(part, Range)]
    return []


def _number(value: object) -> object:
    """Return a number that is written as text as a number; anything else as it is."""
    if isinstance(value, str):
        try:
            number = float(value)
        except ValueError:
            return value
        value = int(number) if number.is_integer() else number
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _object(value: object) -> dict[str, Any]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        return {}
    try:
        small = len(orjson.dumps(value)) <= _MAX_FILTER_BYTES
    except TypeError:
        return {}
    return value if small else {}


def _texts(value: object) -> list[str]:
    listed = value if isinstance(value, list) else [value]
    texts = [_text(text, _MAX_TEXT) for text in listed[:MOST_TEXTS]]
    return list(dict.fromkeys(text for text in texts if text))


def _text(value: object, most: int) -> str:
    """Return a text without control characters, on one line, of at most so many characters."""
    if not isinstance(value, str):
        return ""
    return normalised_query(_CONTROL.sub(" ", value[: 4 * most]))[:most].strip()


def _count(value: object) -> int | None:
    return value if type(value) is int and 1 <= value <= MAX_K else None


def _language(value: object) -> str:
    return value if isinstance(value, str) and _LANGUAGE.fullmatch(value) else ""


def _confidence(value: object) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1:
        return float(value)
    return _USUAL_CONFIDENCE


def _says_nothing(shape: Mapping[str, Any], query: str) -> bool:
    """Tell whether it asks for nothing, or for nothing but the words of the query."""
    beside = {"residual_text", "language", "confidence", "sort", "spans"}
    if shape["sort"] != "relevance" or any(shape[name] for name in shape.keys() - beside):
        return False
    residual: str = shape["residual_text"].casefold()
    return residual in {"", query.casefold()}
