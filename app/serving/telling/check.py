"""Checks a sentence about an answer against what is known of its items.

Every word has to be a title, a value, a number or a phrase of an item's text, a word of the query
where the sentence speaks of the search, or a plain word. What is said has to hold for each item of
which it is said (`subjects`), and values have to be what the sentence says that they are
(`relations`, `amounts`). Negations, comparisons and praise are refused, as they could not be
verified. Much that is true is refused too: then the template speaks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.serving.telling.amounts import Amounts
from app.serving.telling.facts import Facts
from app.serving.telling.reading import Mark, Reader, Sentence, UnprovenError
from app.serving.telling.relations import Relations
from app.serving.telling.subjects import CLAIMS, Places, subjects_of

_MOST_CHARACTERS: Final = 400
_LEAST_CHARACTERS: Final = 3
_PUNCTUATION: Final = frozenset(".,;:!?'\"()-–—“”‘’«»¿¡、。，；：！？（）《》「」…&")
_AMOUNTS: Final = frozenset({"number", "date", "decade"})
_RELATIONS: Final = frozenset({"relation", "loose"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check says of a sentence.

    Attributes:
        why: why it is refused, for tests; "" = it may be sent.
        named: places of the items that it speaks of.
    """

    why: str
    named: Places

    @property
    def passed(self) -> bool:
        """Whether the sentence may be sent."""
        return not self.why


class Check:
    """Checks sentences about one answer."""

    def __init__(self, facts: Facts) -> None:
        """Collect what is known."""
        self._facts = facts
        self._reader = Reader(facts)
        self._relations = Relations(self._reader)
        self._amounts = Amounts(self._reader)

    def __call__(self, text: str, before: Places = frozenset()) -> Verdict:
        """Judge a sentence. `before`: the items of which the sentence before it speaks."""
        if not _LEAST_CHARACTERS <= len(text) <= _MOST_CHARACTERS or not text.isprintable():
            return Verdict("too short, too long or not printable", frozenset())
        sentence = self._reader.read(text)
        subjects = subjects_of(sentence, self._facts.language)
        named = subjects.named
        try:
            self._words(sentence)
            if subjects.tied:
                return Verdict("items tied together", named)
            if named:
                self._named(sentence, [subjects.at(n) for n in range(len(sentence.marks))], named)
            else:
                named = self._unnamed(sentence, before)
        except UnprovenError as refused:
            return Verdict(str(refused), subjects.named)
        return Verdict("", named)

    def _words(self, sentence: Sentence) -> None:
        for mark in sentence.marks:
            shown = sentence.shown(mark)
            if mark.kind in {"unknown", "refused"}:
                raise UnprovenError(f"{mark.kind}: {shown}")
            if mark.kind == "punctuation" and sentence.tokens[mark.start].text not in _PUNCTUATION:
                raise UnprovenError(f"mark: {shown}")
            if mark.kind == "kind" and not mark.kinds & self._reader.kinds:
                raise UnprovenError(f"kind: {shown}")

    def _named(self, sentence: Sentence, subjects: Sequence[Places], named: Places) -> None:
        if any(mark.kind == "query" for mark in sentence.marks):
            raise UnprovenError("a word of the query said of an item")
        self._holds(sentence, subjects, named)

    def _unnamed(self, sentence: Sentence, before: Places) -> Places:
        """Check a sentence that names no item; return those of which it speaks."""
        marks = sentence.marks
        if before:
            self._holds(sentence, [before] * len(marks), before)
            return before
        everything = frozenset(range(len(self._facts.items)))
        if self._facts.n_items != len(everything) and any(m.kind in CLAIMS for m in marks):
            raise UnprovenError("items that are not known")
        if any(mark.kind == "text" for mark in marks):
            raise UnprovenError("a phrase of an item that is not named")
        self._holds(sentence, [everything] * len(marks), frozenset())
        return frozenset()

    def _holds(self, sentence: Sentence, subjects: Sequence[Places], named: Places) -> None:
        """Raise `UnprovenError` unless each mark holds for all its subjects."""
        if sentence.first and named != {0} and sentence.first_named != {0}:
            raise UnprovenError("not the first")
        governed = set[int]()
        for place, (mark, of) in enumerate(zip(sentence.marks, subjects, strict=True)):
            if mark.kind in _RELATIONS:
                governed |= self._relations.check(sentence, place, of)
            elif mark.kind in _AMOUNTS:
                self._amounts.check(sentence, place, of, named)
            elif mark.kind == "history":
                self._history(sentence, mark, of)
            elif not self._is_of(mark, of):
                raise UnprovenError(f"of another item: {sentence.shown(mark)}")
        self._relations.check_names(sentence, subjects, governed)
        self._relations.check_texts(sentence)

    def _is_of(self, mark: Mark, of: Places) -> bool:
        """Tell whether all items have a value, or a phrase of a text."""
        if mark.kind == "value":
            return of <= mark.holders.keys()
        return mark.kind != "text" or of <= mark.places

    def _history(self, sentence: Sentence, mark: Mark, of: Places) -> None:
        """Check that what the reader did is what the explanation says."""
        language = self._facts.language
        if sentence.conditional and sentence.keys(mark) in language.plain:
            return
        said = [
            token.key
            for token in sentence.tokens[mark.start :]
            if token.kind != "mark" and token.key not in language.glue
        ]
        size = mark.end - mark.start + 1
        for item in of:
            reason = self._reader.evidence[item].reason
            told = [key for key in reason if key not in language.glue]
            places = range(len(told) - size + 1)
            if len(said) < size or not any(told[at : at + size] == said[:size] for at in places):
                raise UnprovenError("history")
