"""Inputs that never repeat, of random lengths: queries, and whole requests over all of a catalogue.

Memory that grows with the number of *different* inputs shows only if none comes twice, and memory
of a runtime that keeps a buffer for each shape only if the lengths differ.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from loadtest.runners.queries import words

MOST_CHARACTERS: Final = 512
_LONGEST_WORDS: Final = 70
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz"
_SCRIPTS: Final = (
    "abcdefghijklmnopqrstuvwxyz",
    "áéíñöüßçø",
    "бвгджзклмнпрст",
    "的一是不了人在有他这中",
)


@dataclass(frozen=True, slots=True)
class Ask:
    """One request: the path of a POST, its body, and how many requests it counts for."""

    path: str
    body: Mapping[str, Any]
    counts: int = 1


class Texts:
    """An endless sequence of different texts, from the words of `titles` and words that nobody has.

    Half of them are short, as queries are; the others have any length that a query may have.
    """

    def __init__(self, titles: Sequence[str], chance: random.Random) -> None:
        self._known = sorted({word for title in titles for word in words(title)}) or ["thing"]
        self._chance = chance
        self._made = 0

    def next(self) -> str:
        """Return a text that was not returned before, of 2 to `MOST_CHARACTERS` characters."""
        chance = self._chance
        self._made += 1
        most = 6 if chance.random() < 0.5 else _LONGEST_WORDS
        parts = [self._word() for _ in range(chance.randint(1, most))]
        text = " ".join(parts)[: MOST_CHARACTERS - 12]
        return f"{text} {_in_letters(self._made)}"

    def longest(self) -> str:
        """Return a text of which no other has more tokens: each character is one at most."""
        return " ".join(self._chance.choices(_LETTERS, k=MOST_CHARACTERS // 2))

    def words_of_nobody(self, n: int) -> list[str]:
        """Return `n` different words in plain letters."""
        return [f"{_in_letters(number)}q" for number in range(n)]

    def _word(self) -> str:
        if self._chance.random() < 0.7:
            return self._chance.choice(self._known)
        script = self._chance.choice(_SCRIPTS)
        return "".join(self._chance.choices(script, k=self._chance.randint(2, 12)))


class Asks:
    """An endless sequence of different requests, as many kinds of them as callers send."""

    def __init__(self, items: Mapping[str, str], chance: random.Random) -> None:
        """Draw from the items (id -> title) of a catalogue."""
        self._ids = sorted(items)
        self._texts = Texts(list(items.values()), chance)
        self._chance = chance

    def __iter__(self) -> Iterator[Ask]:
        while True:
            yield self.next()

    def next(self) -> Ask:
        """Return a request that no earlier one is equal to."""
        draw = self._chance.random()
        if draw < 0.05:
            user, item = self._user(), self._chance.choice(self._ids)
            return Ask("/events", {"events": [{"user_id": user, "item_id": item}]})
        if draw < 0.09:
            return Ask("/interpret", {"query": self._texts.next()})
        if draw < 0.13:
            some = self._chance.sample(self._ids, min(5, len(self._ids)))
            return Ask("/similar", {"items": some, "k": self._chance.randint(1, 50)})
        if draw < 0.15:
            size = self._chance.randint(2, 6)
            return Ask("/recommend/batch", {"requests": [self._ask() for _ in range(size)]}, size)
        return Ask("/recommend", self._ask())

    def _ask(self) -> dict[str, Any]:
        chance = self._chance
        body: dict[str, Any] = {"query": self._texts.next(), "k": chance.randint(1, 30)}
        body["budget_ms"] = 10_000
        draw = chance.random()
        if draw < 0.3:
            body["user_id"] = self._user()
        elif draw < 0.5:
            body["history"] = chance.sample(self._ids, min(len(self._ids), chance.randint(1, 40)))
        if chance.random() < 0.1:
            body["exclude"] = chance.sample(self._ids, min(len(self._ids), 20))
        if chance.random() < 0.05:
            body["explain"] = True
        if chance.random() < 0.05:
            body["diversity"] = round(chance.random(), 6)
        return body

    def _user(self) -> str:
        return f"user {self._chance.getrandbits(60)}"


def _in_letters(number: int) -> str:
    """Return a word that no other number has; digits would be read as years and prices."""
    letters = ""
    while number:
        number, digit = divmod(number, 26)
        letters += _LETTERS[digit]
    return "q" + letters
