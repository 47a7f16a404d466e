"""Who and where, as codes: the attributes of the users of a log, and the contexts of its events.

A code stands for one value of one name, such as country NZ. A value that few users or events have
gets no code: nothing could be learned of it, so it is unknown, here and in serving. A list of texts
gives a code for each text. This module does not know what is learned.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.types import Attributes, Context
from app.domain.columns import offsets_of
from app.domain.named_values import text_of
from app.offline.input.events import Events
from app.offline.input.users import Users
from app.offline.learning.sequences import Ints

LEAST: Final = 20
"""Users, or events, that must have a value before it gets a code."""

Codes32: TypeAlias = npt.NDArray[np.int32]
Entry: TypeAlias = tuple[str, str]
"""A name and the text of a value."""


class SideVocabulary:
    """The values that have codes: the positions of its entries, sorted by name and text."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Give a code to each of some entries."""
        self.entries = tuple(sorted(entries))
        self._code_of = {entry: code for code, entry in enumerate(self.entries)}

    def __len__(self) -> int:
        return len(self.entries)

    def code(self, name: str, text: str) -> int:
        """Return the code of the text of a value; -1 if it has none."""
        return self._code_of.get((name, text), -1)

    def codes(self, values: Attributes | Context) -> list[int]:
        """Return the codes of named values; unknown ones are left out."""
        found = [self.code(name, text) for name, text in _entries(values)]
        return [code for code in found if code >= 0]


@dataclass(frozen=True, slots=True)
class Sides:
    """The codes of n users and m events.

    Attributes:
        attributes: the values of users that have codes.
        context: the values of events that have codes.
        user_offsets: int64[n + 1], where the codes of each user of the log begin.
        user_codes: int32, codes of attributes, user after user.
        names: the names of contexts, of which there are c.
    """

    attributes: SideVocabulary
    context: SideVocabulary
    user_offsets: Ints
    user_codes: Codes32
    names: tuple[str, ...]
    _columns: tuple[npt.NDArray[np.uint16], ...]
    _tables: tuple[Codes32, ...]

    def of_user(self, user: int) -> Codes32:
        """Return the codes of a user of the log, int32[a]."""
        return self.user_codes[self.user_offsets[user] : self.user_offsets[user + 1]]

    def of_events(self, positions: Ints) -> Codes32:
        """Return int32[len(positions), c]: codes of the contexts of events; -1 = unknown.

        Only what is asked for is made: the log itself keeps two bytes an event and name.
        """
        codes = np.empty((len(positions), len(self.names)), np.int32)
        for at, (column, table) in enumerate(zip(self._columns, self._tables, strict=True)):
            codes[:, at] = table[column[positions]]
        return codes


def sides_of(events: Events, users: Users, least: int = LEAST) -> Sides:
    """Return the codes of the users and events of a log.

    Args:
        events: the log.
        users: attributes, also of users without events, who count for `least`.
        least: how many users, or events, must have a value before it gets a code.
    """
    known = {key: users.of(row) for row, key in enumerate(users.keys)}
    attributes = _frequent(
        Counter(entry for who in known.values() for entry in _entries(who)), least
    )
    codes = [attributes.codes(known.get(key, ())) for key in events.users]
    context, names = events.context, tuple(sorted(events.context.codes))
    counts = Counter[Entry]()
    for name in names:
        texts = context.values[name]
        found = np.bincount(context.codes[name], minlength=len(texts) + 1)[1:].tolist()
        counts.update({(name, text): n for text, n in zip(texts, found, strict=True)})
    frequent = _frequent(counts, least)
    return Sides(
        attributes=attributes,
        context=frequent,
        user_offsets=offsets_of([len(one) for one in codes]),
        user_codes=np.array([code for one in codes for code in one], np.int32),
        names=names,
        _columns=tuple(context.codes[name] for name in names),
        _tables=tuple(_table(name, context.values[name], frequent) for name in names),
    )


def _table(name: str, texts: Sequence[str], vocabulary: SideVocabulary) -> Codes32:
    """Return int32[v + 1]: the code of each value of a log; the first is of no value."""
    return np.array([-1, *(vocabulary.code(name, text) for text in texts)], np.int32)


def _frequent(counts: Mapping[Entry, int], least: int) -> SideVocabulary:
    return SideVocabulary(entry for entry, n in counts.items() if n >= least)


def _entries(values: Attributes | Context) -> Iterator[Entry]:
    """Yield the name and text of everything that may have a code."""
    for name, value in values:
        for text in value if isinstance(value, tuple) else [text_of(value)]:
            yield name, text
