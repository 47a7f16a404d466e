"""Finds out of which items each part of a sentence speaks.

A sentence that names one item, or a list of items, speaks of all of these. Where several are named
apart, each part between two of them belongs to the first, if it is plain that it does: "A is …, B
is …". A sentence that ties titles in another way ("A is like B") is `tied`: what it says of them is
not known.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from app.serving.telling.languages import Language
from app.serving.telling.reading import Mark, Sentence

Places = frozenset[int]

CLAIMS: Final = frozenset({"value", "text", "number", "date", "decade", "relation", "loose"})
_COMMAS: Final = frozenset(",;，；、:：")
_LIST_COMMAS: Final = frozenset(",，、")
_IGNORED: Final = frozenset("\"“”„‟'‘’«»《》〈〉「」『』")


@dataclass(frozen=True, slots=True)
class Subjects:
    """Of which items a sentence speaks.

    Attributes:
        named: all that it names.
        tied: items are named apart, and it is not plain which part belongs to which.
        at: returns those of which the mark at a place in the list of marks speaks.
    """

    named: Places
    tied: bool
    at: Callable[[int], Places]


def subjects_of(sentence: Sentence, language: Language) -> Subjects:
    """Return the subjects of a sentence that names items; none are named: `named` is empty."""
    marks = [mark for mark in sentence.marks if not _is_quote(sentence, mark)]
    groups = _groups(sentence, marks, language)
    named = frozenset[int]().union(*(places for _, _, places in groups))
    tied = not all(
        _belongs_to_first(sentence, marks[one[1] : other[0]], language)
        for one, other in pairwise(groups)
    )
    if len(groups) < 2 or sentence.all_alike:
        return Subjects(named, tied, lambda _: named)
    starts = [(marks[first].start, places) for first, _, places in groups]

    def at(place: int) -> Places:
        token = sentence.marks[place].start
        before = [places for start, places in starts if start <= token]
        return before[-1] if before else named

    return Subjects(named, tied, at)


def _groups(
    sentence: Sentence, marks: Sequence[Mark], language: Language
) -> list[tuple[int, int, Places]]:
    """Return the lists of titles: the marks [first, end) of each, and the items."""
    groups: list[tuple[int, int, Places]] = []
    for place, mark in enumerate(marks):
        if mark.kind != "title":
            continue
        if groups and _joins(sentence, marks[groups[-1][1] : place], language):
            first, _, places = groups.pop()
            groups.append((first, place + 1, places | mark.places))
        else:
            groups.append((place, place + 1, mark.places))
    return groups


def _belongs_to_first(sentence: Sentence, between: Sequence[Mark], language: Language) -> bool:
    """Tell whether what stands between two titles is said of the first of them, and ends there."""
    rest = list(between)
    while rest and _is_glue(sentence, rest[-1], language):
        rest.pop()
    end = len(rest)
    while end and _separates(sentence, rest[end - 1], language):
        end -= 1
    said = rest[:end]
    if end == len(rest) or not any(mark.kind in CLAIMS for mark in said):
        return False
    for place, mark in enumerate(said):
        if _is_conjunction(sentence, mark, language):
            around = said[max(0, place - 1) : place + 2]
            words = [each.kind for each in around if each is not mark]
            if len(words) < 2 or not set(words) <= {"value", "text"}:
                return False
    return True


def _joins(sentence: Sentence, between: Sequence[Mark], language: Language) -> bool:
    """Tell whether marks make two titles one list: commas and "and", perhaps with an article."""
    keys = [key for mark in between for key in sentence.keys(mark) if key not in language.glue]
    return bool(keys) and all(key in _LIST_COMMAS or key in language.joiners for key in keys)


def _separates(sentence: Sentence, mark: Mark, language: Language) -> bool:
    keys = sentence.keys(mark)
    return all(key in _COMMAS for key in keys) or keys in language.separate


def _is_conjunction(sentence: Sentence, mark: Mark, language: Language) -> bool:
    keys = sentence.keys(mark)
    return keys in language.separate or keys in {(";",), ("；",)}


def _is_glue(sentence: Sentence, mark: Mark, language: Language) -> bool:
    return mark.kind == "kind" or all(key in language.glue for key in sentence.keys(mark))


def _is_quote(sentence: Sentence, mark: Mark) -> bool:
    return mark.kind == "punctuation" and sentence.tokens[mark.start].text in _IGNORED
