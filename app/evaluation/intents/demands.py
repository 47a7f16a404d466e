"""Turns intents and labels into the same simple form: a set of demands for each field.

An intent says its demands as a filter, which can be written in many ways. A label says them as
lists. Both become sets here, so that `app.evaluation.intents.scoring` can compare them.

- Dates are compared by day, and open bounds are taken like closed ones. An upper date that is not
  before `now` says nothing.
- Values count alike, whether they filter or only rank (`filters`, `prefers`).
- Ids of items become their titles.
- The residual text becomes a set of folded words, of characters in Chinese.
"""

import math
import re
import unicodedata
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, TypeAlias

from app.domain.filters import And, Filter, In, Nor, Or, Range, Ranges, filter_text, parse_filter
from app.evaluation.intents.labels import LabelIntent

FIELDS: Final = (
    "sort",
    "dates",
    "numbers",
    "values",
    "negated values",
    "without",
    "like",
    "dislike",
    "tone",
    "count",
    "residual",
)

_PUBLISHED: Final = "published_at"
_RESIDUAL: Final = "residual"
_MINUTE: Final = timedelta(minutes=1)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_DAY_S: Final = 86_400.0

_RUNS: Final = re.compile(r"[\u3400-\u9fff]+|[^\W_\u3400-\u9fff]+")
_PIECES: Final = re.compile(r"[\u3400-\u9fff]|[^\W_\u3400-\u9fff]+")


@dataclass(frozen=True, slots=True)
class Demands:
    """What a query asks for, by field.

    Attributes:
        sets: field -> demands; a field without any is left out. "residual" is not among them.
        residual: the folded words that are left.
        neutral: words that may be left or not.
        preferred: those of the values that only rank.
    """

    sets: Mapping[str, frozenset[Hashable]]
    residual: frozenset[str] = frozenset()
    neutral: frozenset[str] = frozenset()
    preferred: frozenset[Hashable] = frozenset()

    def of(self, name: str) -> frozenset[Hashable]:
        """Return the demands of one field of `FIELDS`."""
        return self.residual if name == _RESIDUAL else self.sets.get(name, frozenset())


@dataclass(frozen=True, slots=True)
class Reading:
    """What is needed to read an intent over one catalogue.

    Attributes:
        kinds: field -> kind of the catalogue.
        title_of: returns the title of an id; None = no such item.
        today: no upper date from this day on says anything.
        neutral: words that may be left over or not.
    """

    kinds: Mapping[str, str]
    title_of: Callable[[str], str | None]
    today: date
    neutral: frozenset[str] = frozenset()


def demands_of_label(label: LabelIntent, today: date, neutral: frozenset[str]) -> Demands:
    """Return the demands of one intent of a label; `today`, `neutral`: as in `Reading`."""
    found = _Found()
    for field_, low, high in label.get("ranges", ()):
        found.add_range(field_, *_bounds(field_, low, high, today), negated=False)
    for field_, low, high in label.get("not_ranges", ()):
        found.add_range(field_, *_bounds(field_, low, high, today), negated=True)
    for field_, *values in label.get("values", ()):
        found.add_values(field_, values, negated=False)
    for field_, *values in label.get("not_values", ()):
        found.add_values(field_, values, negated=True)
    found.add("sort", [label["sort"]] if "sort" in label else [])
    for name in ("like", "dislike"):
        found.add(name, map(_folded, label.get(name, ())))
    found.add("without", _runs_of(label.get("without", ())))
    found.add("tone", label.get("tone", ()))
    found.add("count", [label["count"]] if "count" in label else [])
    return Demands(found.frozen(), words_of(label.get("residual", "")), neutral)


def demands_of_intent(intent: Mapping[str, Any], query: str, reading: Reading) -> Demands:
    """Return the demands of an intent as `Intent.shown` shows it.

    Words of the query that a span says the meaning of may also be left over: a genre, for instance,
    is read as a value and encoded as well.

    Raises:
        InvalidRequestError: its filters do not fit the catalogue.
    """
    found = _Found()
    for name in ("filters", "prefers"):
        filtered = found.values  # the last time: of the filters
        if text := filter_text(intent.get(name)):
            _walk(parse_filter(text, reading.kinds), found, reading.today, negated=False)
    sort = intent.get("sort", "relevance")
    found.add("sort", [] if sort == "relevance" else [sort])
    for name in ("like", "dislike"):
        titles = [reading.title_of(item) or item for item in intent.get(name) or ()]
        found.add(name, map(_folded, titles))
    found.add("without", _runs_of(intent.get("without") or ()))
    found.add("tone", intent.get("tone") or ())
    found.add("count", [intent["count"]] if intent.get("count") else [])
    spans = " ".join(query[span["start"] : span["end"]] for span in intent.get("spans") or ())
    residual = words_of(intent.get("residual_text") or "")
    neutral = reading.neutral | words_of(spans)
    return Demands(found.frozen(), residual, neutral, found.values - filtered)


def words_of(text: str) -> frozenset[str]:
    """Return the folded words of a text; every Chinese character is a word.

    >>> sorted(words_of("Café １２ 科幻"))
    ['12', 'cafe', '幻', '科']
    """
    return frozenset(_PIECES.findall(_folded(text)))


def _runs_of(texts: Iterable[str]) -> frozenset[str]:
    """Return the folded words of texts; Chinese characters in a row are one word."""
    return frozenset(_RUNS.findall(_folded(" ".join(texts))))


def _folded(text: str) -> str:
    apart = unicodedata.normalize("NFKD", text.casefold())
    return "".join(letter for letter in apart if not unicodedata.combining(letter))


_Bound: TypeAlias = date | float | None


class _Found:
    """Collects demands; ranges of one field that must all hold become one range."""

    def __init__(self) -> None:
        self._sets: dict[str, set[Hashable]] = {}
        self._ranges: dict[str, tuple[_Bound, _Bound]] = {}

    @property
    def values(self) -> frozenset[Hashable]:
        return frozenset(self._sets.get("values", ()))

    def add(self, name: str, demands: Iterable[Hashable]) -> None:
        self._sets.setdefault(name, set()).update(demands)

    def add_values(self, field_: str, values: Iterable[Any], *, negated: bool) -> None:
        name = "negated values" if negated else "values"
        self.add(name, [(field_, _folded(str(value))) for value in values])

    def add_range(self, field_: str, low: _Bound, high: _Bound, *, negated: bool) -> None:
        if negated and (low is None) != (high is None):  # not before 2000 = from 2000 on
            low, high, negated = _after(high), _before(low), False
        if negated:
            self.add(_kind_of(field_), [("not", field_, low, high)])
        elif (low, high) != (None, None):
            old_low, old_high = self._ranges.get(field_, (None, None))
            self._ranges[field_] = (_most(max, old_low, low), _most(min, old_high, high))

    def frozen(self) -> dict[str, frozenset[Hashable]]:
        for field_, (low, high) in self._ranges.items():
            self.add(_kind_of(field_), [(field_, low, high)])
        return {name: frozenset(some) for name, some in self._sets.items() if some}


def _walk(node: Filter, found: _Found, today: date, *, negated: bool) -> None:
    if isinstance(node, Or | Ranges):
        node = Or(tuple(_choices(node)))
    if (whole := _as_range(node)) is not None:
        found.add_range(whole.field, *_own_bounds(whole, today), negated=negated)
    elif isinstance(node, In):
        _walk_values(node, found, negated=negated)
    elif isinstance(node, Or) and (ranges := _ranges_of(node.parts)):
        for low, high, outside in _unions(ranges, today):
            found.add_range(ranges[0].field, low, high, negated=negated != outside)
    elif isinstance(node, And | Or | Nor):
        for part in node.parts:
            _walk(part, found, today, negated=negated != isinstance(node, Nor))


def _walk_values(node: In, found: _Found, *, negated: bool) -> None:
    for value in node.values:
        if isinstance(value, float):
            found.add_range(node.field, value, value, negated=negated)
        else:
            found.add_values(node.field, [value], negated=negated)


def _choices(node: Filter) -> Iterator[Filter]:
    """Yield the parts of an `$or`; a test for several ranges is one of them."""
    match node:
        case Or(parts):
            for part in parts:
                yield from _choices(part) if isinstance(part, Ranges) else (part,)
        case Ranges(field_, lows, highs):
            for low, high in zip(lows, highs, strict=True):
                yield Range(field_, low, high)


def _ranges_of(parts: Sequence[Filter]) -> list[Range]:
    """Return the ranges of one field that an `$or` is made of; empty if it is something else."""
    ranges = [_as_range(part) for part in parts]
    some = [each for each in ranges if each is not None]
    return some if len(some) == len(parts) and len({each.field for each in some}) == 1 else []


def _as_range(node: Filter) -> Range | None:
    match node:
        case Range():
            return node
        case Or((part,)):
            return _as_range(part)
        case And(parts):
            inner = _ranges_of(parts)
            if not inner:
                return None
            low, high = max(part.low for part in inner), min(part.high for part in inner)
            return Range(inner[0].field, low, high)
    return None


def _unions(ranges: Sequence[Range], today: date) -> list[tuple[_Bound, _Bound, bool]]:
    """Join ranges of an `$or`: (low, high, whether what lies outside is meant).

    Everything before and everything after a gap is the same as not the gap.
    """
    first, *rest = sorted(ranges, key=lambda each: each.low)
    joined = [first]
    slack = _DAY_S if first.field == _PUBLISHED else 0.0
    for each in rest:
        last = joined[-1]
        if each.low <= last.high + slack:
            joined[-1] = Range(last.field, last.low, max(last.high, each.high))
        else:
            joined.append(each)
    ends = [_own_bounds(each, today) for each in joined]
    if len(joined) > 1 and (ends[0][0], ends[-1][1]) == (None, None):
        return [(_after(one[1]), _before(other[0]), True) for one, other in pairwise(ends)]
    return [(low, high, False) for low, high in ends]


def _own_bounds(node: Range, today: date) -> tuple[_Bound, _Bound]:
    if node.field != _PUBLISHED:
        low = None if math.isinf(node.low) else _rounded(node.low)
        return low, None if math.isinf(node.high) else _rounded(node.high)
    # A minute before midnight, as a lower bound, means the next day.
    low_day = None if math.isinf(node.low) else (_instant(node.low) + _MINUTE).date()
    high_day = None if math.isinf(node.high) else _instant(math.floor(node.high)).date()
    return low_day, high_day if high_day and high_day < today else None


def _bounds(field_: str, low: Any, high: Any, today: date) -> tuple[_Bound, _Bound]:  # noqa: ANN401
    if field_ != _PUBLISHED:
        return None if low is None else float(low), None if high is None else float(high)
    low, high = (None if day is None else date.fromisoformat(day) for day in (low, high))
    return low, high if high and high < today else None


def _instant(seconds: float) -> datetime:
    return _EPOCH + timedelta(seconds=seconds)


def _rounded(number: float) -> float:
    """Undo the smallest step by which an open bound differs from a closed one."""
    return float(f"{number:.9g}")


def _after(bound: _Bound) -> _Bound:
    return bound + timedelta(days=1) if isinstance(bound, date) else bound


def _before(bound: _Bound) -> _Bound:
    return bound - timedelta(days=1) if isinstance(bound, date) else bound


def _most(choose: Callable[..., Any], one: _Bound, other: _Bound) -> _Bound:
    some = [bound for bound in (one, other) if bound is not None]
    chosen: _Bound = choose(some) if some else None
    return chosen


def _kind_of(field_: str) -> str:
    return "dates" if field_ == _PUBLISHED else "numbers"
