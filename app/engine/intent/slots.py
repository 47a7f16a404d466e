"""Reads phrases over the tokens of one query, and what their slots stand for: numbers, times.

"under 2 hours" is the phrase "under {amount}", whose slot is the number 2 with the unit hour. This
module finds which phrases begin at a token. `app.engine.intent.reading` chooses among them.
"""

from datetime import date
from typing import Any, Final, NamedTuple

from app.engine.intent.cutting import Cut
from app.engine.intent.fields import MONEY, TIME
from app.engine.intent.periods import Period, period_of
from app.engine.intent.phrases import SLOTS_KEY, PhraseBook, PhraseMeaning, Trie, Unit

_HOUR: Final = 60
HUNDRED: Final = 100
"""From here on, a multiplier alone is no number: "a hundred", but "dozen"."""

_LARGEST: Final = 1e12
_BARE: Final = {"year": "year", "month_only": "month", "weekday": "month"}
_TIMES: Final = 6
"""Of how many parts a duration may be made: two hours and ten minutes."""


class Filled(NamedTuple):
    """What fills a slot: tokens up to `end`, and their value."""

    end: int
    value: Any


class Found(NamedTuple):
    """A phrase that was found: tokens up to `end`, what it means, and the values of its slots."""

    end: int
    meaning: PhraseMeaning
    values: tuple[Any, ...]


class Amount(NamedTuple):
    """A number, and what it may count: pairs of a group and a unit. None = the number alone."""

    number: float
    counts: tuple[tuple[str, Unit | None], ...]


class Time(NamedTuple):
    """A period, and where the query says nothing else "year" (1995), "short" (95), "month"."""

    period: Period
    bare: str


class Slots:
    """The tokens of one query, read with one phrase book."""

    def __init__(self, cut: Cut, book: PhraseBook, today: date) -> None:
        """Take the query, the phrases, and the day that "last week" starts from."""
        self.tokens, self.starts, self.ends = cut
        self.n = len(self.tokens)
        self.book, self.today = book, today
        self._filled: dict[tuple[str, int], Filled | None] = {}

    def found(self, trie: Trie, at: int) -> list[Found]:
        """Return all phrases of a trie that begin at a token."""
        found: list[Found] = []
        self._walk(trie, at, (), found)
        return found

    def longest(self, trie: Trie, at: int) -> Found | None:
        """Return the longest of them; None if there is none."""
        if at >= self.n or (self.tokens[at] not in trie and SLOTS_KEY not in trie):
            return None
        return max(self.found(trie, at), key=lambda found: found.end, default=None)

    def slot(self, name: str, at: int) -> Filled | None:
        """Return what fills a slot from a token on; None if nothing does."""
        key = (name, at)
        if key not in self._filled:
            self._filled[key] = None  # a slot that needs itself is not filled
            self._filled[key] = self._fill(name, at)
        return self._filled[key]

    def may_fill(self, at: int) -> bool:
        """Tell whether a number, an amount or a time may begin at a token."""
        token = self.tokens[at]
        return token in self.book.fillers or token[0].isdecimal()

    def glued(self, at: int) -> bool:
        """Tell whether no blank stands in front of a token."""
        return 0 < at < self.n and self.ends[at - 1] == self.starts[at]

    def _walk(self, trie: Trie, at: int, values: tuple[Any, ...], found: list[Found]) -> None:
        meaning = trie.get("")
        if meaning is not None:
            found.append(Found(at, meaning, values))
        if at >= self.n:
            return
        token = self.tokens[at]
        behind = trie.get(token)
        if behind is not None:
            self._walk(behind, at + 1, values, found)
        for name, rest in trie.get(SLOTS_KEY, {}).items():
            if token not in self.book.firsts[name] and not token[0].isdecimal():
                continue
            filled = self.slot(name, at)
            if filled is not None:
                self._walk(rest, filled.end, (*values, filled.value), found)

    def _fill(self, name: str, at: int) -> Filled | None:
        # No attribute holds these methods: such an object would wait for the garbage collector.
        match name:
            case "number":
                return self._number(at)
            case "amount":
                return self._amount(at)
            case "open_amount":
                return self._open_amount(at)
            case "period":
                return self._period(at)
        return self._listed(name, at)

    def _listed(self, name: str, at: int) -> Filled | None:
        found = self.longest(self.book.slots[name], at)
        if found is None:
            return None
        meaning = found.meaning.value
        return Filled(found.end, found.values[0] if meaning is None else meaning)

    def _number(self, at: int) -> Filled | None:
        if at >= self.n:
            return None
        if self.tokens[at][0].isdecimal():
            return self._digits(at)
        return self._number_words(at)

    def _digits(self, at: int) -> Filled | None:
        """Return a number in digits; None where it belongs to a name, as in "wh-1000xm4"."""
        behind = self.tokens[at + 1] if at + 1 < self.n and self.glued(at + 1) else ""
        if self._belongs_to_word(at) or (behind.isalpha() and self._strange(behind)):
            return None
        number = number_of(self.tokens[at])
        if number is None:
            return None
        end = at + 1
        if end < self.n and self.tokens[end] in self.book.multipliers:
            number *= self.book.multipliers[self.tokens[end]]
            end += 1
        return Filled(end, number) if number <= _LARGEST else None

    def _strange(self, behind: str) -> bool:
        return behind.isascii() and behind not in self.book.glued

    def _belongs_to_word(self, at: int) -> bool:
        while self.glued(at):
            before = self.tokens[at - 1]
            if before.isalpha() and before.isascii():
                # "pre-2000" is a phrase, "wh-1000" is a name.
                tries = self.book.phrases.get(before, {}), self.book.periods.get(before, {})
                said = any("-" in trie or SLOTS_KEY in trie for trie in tries)  # "top10" as well
                return before not in self.book.money_before and not said
            if before != "-":
                return False
            at -= 1
        return False

    def _number_words(self, at: int) -> Filled | None:
        values, multipliers = self.book.numbers, self.book.multipliers
        total, last, digits = 0.0, None, True
        start = at
        if self.tokens[at] in self.book.ones and self.tokens[at + 1 : at + 2]:
            # "a hundred"
            at += multipliers.get(self.tokens[at + 1], 0) >= HUNDRED
        while at < self.n:
            token = self.tokens[at]
            if token in values:
                value = values[token]
                last = _joined(last, value, spelled=digits)
                if last is None:
                    break
                digits = digits and value < 10
            elif token in multipliers and (at > start or multipliers[token] < HUNDRED):
                total = _multiplied(total, last, multipliers[token])
                last, digits = None, False
            else:
                break
            at += 1
            if total > _LARGEST or (last or 0) > _LARGEST:
                return None
        return Filled(at, total + (last or 0.0)) if at > start else None

    def _amount(self, at: int) -> Filled | None:
        currency = self.longest(self.book.money_before, at)
        if currency is not None:
            number = self.slot("number", currency.end)
            if number is None:
                return None
            behind = self.longest(self.book.money, number.end)
            end = behind.end if behind else number.end
            return Filled(end, Amount(number.value, ((MONEY, None),)))
        return self._measure(at)

    def _open_amount(self, at: int) -> Filled | None:
        """Return a number with a plus between it and its unit: "20+ hours"."""
        number = self.slot("number", at)
        if number is None or number.end + 1 >= self.n:
            return None
        found = self._unit(number.end + 1) if self.tokens[number.end] in self.book.pluses else None
        if found is None:
            return None
        value, counts = _in_minutes(number.value, found[1])
        return Filled(found[0], Amount(value, counts))

    def _measure(self, at: int) -> Filled | None:
        """Return a number with its unit or currency, or alone: "2 hours 10 minutes", "50 €"."""
        first = self._part(at)
        if first is None:
            return None
        number, counts, end = first
        if counts and counts[0][0] == TIME:
            for _ in range(_TIMES):
                more = self._part(end)
                if more is None or not more[1] or more[1][0][0] != TIME:
                    break
                number, end = number + more[0], more[2]
            # "1h30": minutes that are glued to hours need no unit.
            if self.glued(end) and self.tokens[end].isdecimal() and int(self.tokens[end]) < _HOUR:
                number, end = number + int(self.tokens[end]), end + 1
        return Filled(end, Amount(number, counts))

    def _part(self, at: int) -> tuple[float, tuple[tuple[str, Unit | None], ...], int] | None:
        half = self.longest(self.book.halves, at)
        number = self.slot("number", at)
        if half is not None:
            value, end = 0.5, half.end
            alone = False
        elif number is not None:
            value, end = number.value, number.end
            alone = True
        elif at < self.n and self.tokens[at] in self.book.ones:
            value, end = 1.0, at + 1
            alone = False
        else:
            return None
        more = self.longest(self.book.and_halves, end)
        if more is not None and self._unit(more.end):
            value, end = value + 0.5, more.end
        found = self._unit(end)
        if not found:
            return (value, (), end) if alone else None
        end, counts = found
        more = self.longest(self.book.and_halves, end)
        unit = counts[-1][1]
        if more is not None and unit is not None and unit.group == TIME:
            value, end = value + 0.5, more.end
        return *_in_minutes(value, counts), end

    def _unit(self, at: int) -> tuple[int, tuple[tuple[str, Unit | None], ...]] | None:
        money, unit = self.longest(self.book.money, at), self.longest(self.book.units, at)
        if unit is not None and not self.glued(at) and self._is_common(at):
            unit = None  # "top 5 in 2020"
        end = max(money.end if money else 0, unit.end if unit else 0)
        counts: list[tuple[str, Unit | None]] = []
        if money is not None and money.end == end:
            counts.append((MONEY, None))
        if unit is not None and unit.end == end:
            counts += [(one.group, one) for one in unit.meaning.value]
        return (end, tuple(counts)) if counts else None

    def _is_common(self, at: int) -> bool:
        meaning = self.book.phrases.get(self.tokens[at], {}).get("")
        return meaning is not None and meaning.kind in {"stop", "and", "or"}

    def _period(self, at: int) -> Filled | None:
        if at >= self.n or not self.may_fill(at):
            return None
        for found in sorted(self.found(self.book.periods, at), key=lambda one: -one.end):
            meaning = found.meaning
            period = period_of(meaning.kind, meaning.value, found.values, self.today)
            if period is not None:
                bare = _BARE.get(meaning.kind, "") if found.end == at + 1 else ""
                if bare == "year" and found.values[0] < HUNDRED:
                    bare = "short"
                return Filled(found.end, Time(period, bare))
        return None


def number_of(token: str) -> float | None:
    """Return the number that digits spell; None if they spell several.

    >>> [number_of(token) for token in ("1,000", "9,5", "3.5", "1.2.3")]
    [1000.0, 9.5, 3.5, None]
    """
    if "," in token:
        parts = token.split(",")
        thousands = len(parts[0]) <= 3 and all(len(part.split(".")[0]) == 3 for part in parts[1:])
        token = "".join(parts) if thousands else token.replace(",", ".")
    if token.count(".") > 1 or len(token) > 15:
        return None
    return float(token)


def _in_minutes(
    value: float, counts: tuple[tuple[str, Unit | None], ...]
) -> tuple[float, tuple[tuple[str, Unit | None], ...]]:
    """Return a duration in minutes, so that its parts can be added; others stay."""
    unit = counts[-1][1]
    if unit is None or unit.group != TIME:
        return value, counts
    return value * unit.factor, ((TIME, unit),)


def _joined(last: float | None, value: float, *, spelled: bool) -> float | None:
    """Return twenty and five as 25, and two, zero, one, two in single digits as 2012."""
    if last is None:
        return value
    if value < 10 and spelled and last < 1000:
        return last * 10 + value
    return last + value if last >= 20 and last % 10 == 0 and 0 < value < 10 else None


def _multiplied(total: float, last: float | None, by: float) -> float:
    if last is None and not total:
        return by
    if last is None:
        return total * by
    return total + last * by if total >= by else (total + last) * by
