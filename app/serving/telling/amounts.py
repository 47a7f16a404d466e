"""Checks the numbers, years and dates of a sentence against the fields of items."""

from typing import Final

from app.serving.telling.languages import fields_in
from app.serving.telling.reading import Mark, Reader, Sentence, UnprovenError
from app.serving.telling.subjects import Places

_NEAR: Final = 4
_PHRASE: Final = 4
_PREPOSITION: Final = 3
_YEAR_DIGITS: Final = 4


class Amounts:
    """Checks for one answer."""

    def __init__(self, reader: Reader) -> None:
        """Check against what the reader knows."""
        self._reader = reader
        self._language = reader.language

    def check(self, sentence: Sentence, place: int, of: Places, named: Places) -> None:
        """Raise `UnprovenError` unless a number, a decade or a date holds for some items.

        `named`: all items that the sentence names.
        """
        mark = sentence.marks[place]
        if mark.kind == "number":
            self._number(sentence, place, of, named)
        elif mark.kind == "date":
            self._date(mark, of)
        else:
            for item in of:
                years = self._reader.evidence[item].years
                if not any(year // 10 * 10 == mark.number for year in years):
                    raise UnprovenError("decade")

    def _date(self, mark: Mark, of: Places) -> None:
        year, month, day = mark.day
        for item in of:
            dates = [
                date
                for _, date in self._reader.evidence[item].dates
                if year in (None, date.year)
                and month in (None, date.month)
                and day in (None, date.day)
            ]
            only_year = month is None and day is None and year in self._reader.evidence[item].years
            if not dates and not only_year:
                raise UnprovenError("date")

    def _number(self, sentence: Sentence, place: int, of: Places, named: Places) -> None:
        mark = sentence.marks[place]
        keys = sentence.keys(mark)
        fields = self._amount(sentence, place)
        language = self._language
        if fields is None and (self._is_count(sentence, mark) or keys in language.all):
            if not self._counts(sentence, place, named):
                raise UnprovenError("count")
            return
        for item in of:
            evidence = self._reader.evidence[item]
            if fields is None:
                holds = (
                    mark.number in evidence.years and len(sentence.keys(mark)[0]) == _YEAR_DIGITS
                )
            else:
                holds = any(n == mark.number and f in fields for f, n in evidence.numbers)
            if not holds:
                raise UnprovenError(f"number: {keys[0]}")

    def _counts(self, sentence: Sentence, place: int, named: Places) -> bool:
        """Tell whether a number is that of the items named, or, before all names, of the list."""
        number = sentence.marks[place].number
        if len(named) > 1 and number == len(named):
            return True
        titles = any(mark.kind == "title" for mark in sentence.marks[:place])
        return not titles and number == self._reader.facts.n_items

    def _amount(self, sentence: Sentence, place: int) -> frozenset[str] | None:
        """Return the fields of which a number may be, by the words around it; None = it is bare."""
        language, mark = self._language, sentence.marks[place]
        keys = [token.key for token in sentence.tokens]
        found = [
            fields_in(groups)
            for size in range(_PHRASE, 0, -1)
            if (groups := language.units.get(tuple(keys[mark.end : mark.end + size])))
        ][:1]
        for back in range(1, min(_NEAR, place) + 1):
            cue = sentence.marks[place - back]
            if cue.kind in {"title", "punctuation"}:
                break
            groups = language.amounts.get(sentence.keys(cue))
            if groups and (back == 1 or not _is_preposition(sentence.keys(cue))):
                # "for 95 minutes": a preposition alone says little.
                if not (found and _is_preposition(sentence.keys(cue))):
                    found.append(fields_in(groups))
                break
            if cue.kind == "relation":
                found.append(cue.fields)
                break
        return frozenset.intersection(*found) if found else None

    def _is_count(self, sentence: Sentence, mark: Mark) -> bool:
        """Tell whether a number counts items: a name of items follows."""
        language = self._language
        keys = tuple(token.key for token in sentence.tokens)
        for start in range(mark.end, min(mark.end + 2, len(keys))):
            for size in range(_PHRASE, 0, -1):
                phrase = keys[start : start + size]
                if phrase in language.counted or phrase in language.kinds:
                    return True
            if keys[start : start + 1] not in language.plain:
                return False
        return False


def _is_preposition(keys: tuple[str, ...]) -> bool:
    return len(keys) == 1 and len(keys[0]) <= _PREPOSITION
