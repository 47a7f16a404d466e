"""Makes the text of an answer out of what a language model writes, sentence by sentence.

A sentence that passes the check is told. In place of another one, the template's sentence of the
item that it names is told, or of the next one of which nothing was told.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from app.serving.telling.check import Check
from app.serving.telling.facts import Facts
from app.serving.telling.sentences import SentenceCutter
from app.serving.telling.subjects import Places
from app.serving.telling.template import item_sentences, lead, template_text

MOST_SENTENCES: Final = 6
_MOST_JUDGED: Final = 20

By = Literal["model", "template"]


@dataclass(frozen=True, slots=True)
class Told:
    """A sentence, and who wrote it."""

    text: str
    by: By


def told_by_template(facts: Facts) -> tuple[Told, ...]:
    """Return the template's text."""
    return tuple(Told(text, "template") for text in template_text(facts))


class Draft:
    """The text of one answer while it is written."""

    def __init__(self, facts: Facts) -> None:
        """Begin a text about an answer."""
        self._facts = facts
        self._check = Check(facts)
        self._cutter = SentenceCutter([item.title for item in facts.items if item.title])
        self._templates = dict(item_sentences(facts))
        self._before: Places = frozenset()
        self._said: list[str] = []
        self._judged = 0

    @property
    def full(self) -> bool:
        """Whether nothing more is told."""
        return len(self._said) >= MOST_SENTENCES or self._judged >= _MOST_JUDGED

    def take(self, piece: str) -> Iterator[Told]:
        """Yield what can be told after the next piece that the model wrote."""
        for sentence in self._cutter.take(piece):
            yield from self._told(sentence)

    def end(self, *, complete: bool) -> Iterator[Told]:
        """Yield what is still told. `complete`: the model has ended its text itself."""
        if complete:
            for sentence in self._cutter.last():
                yield from self._told(sentence)
        if not complete or not self._said:
            if not self._said:
                yield self._say(lead(self._facts), "template")
            for place in tuple(self._templates):
                yield self._say(self._templates.pop(place), "template")

    def _told(self, sentence: str) -> Iterator[Told]:
        if self.full or sentence in self._said:
            return
        self._judged += 1
        verdict = self._check(sentence, self._before)
        if verdict.passed:
            self._before = verdict.named
            for place in verdict.named:
                self._templates.pop(place, None)
            yield self._say(sentence, "model")
            return
        places = verdict.named & self._templates.keys() or self._templates.keys()
        if places:
            place = min(places)
            self._before = frozenset({place})
            yield self._say(self._templates.pop(place), "template")

    def _say(self, text: str, by: By) -> Told:
        self._said.append(text)
        return Told(text, by)
