"""Checks who or what a sentence says is what: relations such as "directed by", and names.

A value alone says little; with a word such as "directed" it has to be a value of that field. A name
must have such a word.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from app.serving.telling.evidence import CATEGORIES, Support
from app.serving.telling.languages import fields_in
from app.serving.telling.reading import Mark, Reader, Sentence, UnprovenError
from app.serving.telling.subjects import Places

_NAMES: Final = ("cast", "maker", "source", "album")
_OWNERS: Final = ("maker", "brand", "source")
_NEAR: Final = 4
_ENDS: Final = frozenset({"title", "relation", "loose", "number", "text"})


class Relations:
    """Checks for one answer."""

    def __init__(self, reader: Reader) -> None:
        """Check against what the reader knows."""
        self._language = reader.language
        self._name_fields = fields_in(_NAMES)
        self._owners = fields_in(_OWNERS)

    def check(self, sentence: Sentence, place: int, of: Places) -> set[int]:
        """Check that the values of a relation are of its fields; return their places."""
        mark = sentence.marks[place]
        found = self._related(sentence, place, of)
        if mark.kind == "loose":
            found = [each for each in found if self._is_name(sentence.marks[each], of)]
        elif not (found or self._is_plain(sentence, mark) or self._number_follows(sentence, place)):
            raise UnprovenError(f"relation: {sentence.shown(mark)}")
        self._are_of(sentence, found, mark.fields, of)
        return set(found)

    def check_names(
        self, sentence: Sentence, subjects: Sequence[Places], governed: set[int]
    ) -> None:
        """Check that each name has a word that says what it is, and that none is made of two.

        `governed`: places of the values that a relation has.
        """
        told = set(governed)
        for place, mark in enumerate(sentence.marks):
            of = subjects[place]
            if mark.kind != "value":
                continue
            if self._follows_author(sentence, mark):
                self._are_of(sentence, [place], self._owners, of)
            if self._is_name(mark, of):
                self._check_whole(sentence.marks, place, of)
                told |= self._told(sentence, place, of)
                if place not in told:
                    raise UnprovenError(f"a name without a relation: {sentence.shown(mark)}")

    def _check_whole(self, marks: Sequence[Mark], place: int, of: Places) -> None:
        near = [*marks[max(0, place - 1) : place], *marks[place + 1 : place + 2]]
        if any(self._mixes(marks[place], each, of) for each in near):
            raise UnprovenError("a name of two")

    def _told(self, sentence: Sentence, place: int, of: Places) -> set[int]:
        """Return the places of the names that the words around a name tell of."""
        marks = sentence.marks
        after = marks[place + 1 : place + 2]
        if after and sentence.keys(after[0])[0] in self._language.possessive:
            self._are_of(sentence, [place], self._owners, of)
            return {place}
        groups = self._governor(sentence, place)
        if groups is None:
            return set()
        listed = self._list(sentence, place, 1, [place])
        told = [each for each in listed if not self._only_in(marks[each], of, CATEGORIES)]
        self._are_of(sentence, told, fields_in(groups), of)
        return set(told)

    def check_texts(self, sentence: Sentence) -> None:
        """Refuse phrases of a text that plain words tie together: they may say something else."""
        tied = False
        for place, mark in enumerate(sentence.marks):
            if mark.kind == "text":
                if tied or self._owns(sentence, place):
                    raise UnprovenError("a text in another order")
                tied = True
            elif mark.kind != "plain" or self._continues(sentence, mark):
                tied = False

    def _number_follows(self, sentence: Sentence, place: int) -> bool:
        following = sentence.marks[place + 1 : place + 1 + _NEAR]
        return any(each.kind == "number" for each in following)

    def _is_plain(self, sentence: Sentence, mark: Mark) -> bool:
        return sentence.keys(mark) in self._language.plain

    def _related(self, sentence: Sentence, place: int, of: Places) -> list[int]:
        """Return the places of the values that a relation ties to its fields."""
        marks = sentence.marks
        following = sentence.keys(marks[place + 1]) if place + 1 < len(marks) else ("",)
        language, last = self._language, sentence.keys(marks[place])[-1]
        # "made of" and "directed by" come before the value; "X directed" comes behind it.
        if following[0] not in language.forward and last not in language.through:
            back = [
                each
                for each in self._list(sentence, place, -1)
                if not self._only_in(marks[each], of, CATEGORIES)
            ]
            if back:
                return back
        found = self._list(sentence, place, 1)
        if found or following[0] not in language.through:
            return found
        near = range(place, min(place + _NEAR + 1, len(marks)))
        title = next((n for n in near if marks[n].kind == "title"), None)
        return [] if title is None else self._list(sentence, title, 1)

    def _list(
        self, sentence: Sentence, place: int, step: int, found: Sequence[int] = ()
    ) -> list[int]:
        """Return the list of values next to a mark, in one direction, up to the next title.

        `found`: values of the list that are known.
        """
        found = list(found)
        waited = 0
        at = place + step
        while 0 <= at < len(sentence.marks):
            mark = sentence.marks[at]
            if mark.kind == "value":
                found.append(at)
            elif mark.kind in _ENDS or (found and not self._continues(sentence, mark)):
                break
            elif not found:
                waited += 1
                comma = mark.kind == "punctuation" and step < 0
                if waited > _NEAR or comma:
                    break
            at += step
        return found

    def _continues(self, sentence: Sentence, mark: Mark) -> bool:
        return all(
            key in {",", "，", "、"} or key in self._language.joiners for key in sentence.keys(mark)
        )

    def _are_of(
        self, sentence: Sentence, places: Iterable[int], fields: frozenset[str], of: Places
    ) -> None:
        for place in places:
            mark = sentence.marks[place]
            for item in of:
                if not _fields(mark, item) & fields:
                    raise UnprovenError(f"relation of {sentence.shown(mark)}")

    def _only_in(self, mark: Mark, of: Places, field: str) -> bool:
        return all(_fields(mark, item) <= {field} for item in of)

    def _is_name(self, mark: Mark, of: Places) -> bool:
        """Tell whether a value is the name of somebody for one of some items."""
        return mark.kind == "value" and any(
            fields and fields <= self._name_fields
            for fields in (_fields(mark, item) for item in of)
        )

    def _governor(self, sentence: Sentence, place: int) -> frozenset[str] | None:
        """Return the groups that the word before a name asks for."""
        language = self._language
        for mark in reversed(sentence.marks[max(0, place - 2) : place]):
            keys = sentence.keys(mark)
            if keys in language.governors:
                return language.governors[keys]
            if not all(key in language.glue for key in keys):
                return None
        return None

    def _mixes(self, name: Mark, near: Mark, of: Places) -> bool:
        """Tell whether a name and the value beside it may be read as the name of somebody else."""
        if near.kind != "value" or not (near.start == name.end or near.end == name.start):
            return False
        if self._only_in(near, of, CATEGORIES):
            return False
        return any(not _support(name, item).whole or not _support(near, item).whole for item in of)

    def _owns(self, sentence: Sentence, place: int) -> bool:
        """Tell whether a phrase is said to have made something: "by …", "…'s"."""
        after = sentence.marks[place + 1 : place + 2]
        language = self._language
        possessive = language.possessive - language.glue
        return self._follows_author(sentence, sentence.marks[place]) or any(
            sentence.keys(mark)[0] in possessive for mark in after
        )

    def _follows_author(self, sentence: Sentence, mark: Mark) -> bool:
        """Tell whether a word such as "by" stands before a mark."""
        language = self._language
        before = [each.key for each in sentence.tokens[max(0, mark.start - 2) : mark.start]]
        while before and before[-1] in language.glue:
            before.pop()
        return bool(language.authors.intersection(before[-1:]))


def _support(mark: Mark, item: int) -> Support:
    return mark.holders.get(item) or Support()


def _fields(mark: Mark, item: int) -> set[str]:
    support = _support(mark, item)
    return support.whole or support.part
