"""Who and where, as codes: the attributes of the users of a log, and the contexts of its events.

A code stands for one value of one name, such as country NZ. A value that few users or events have
gets no code: nothing could be learned of it, so it is unknown, here and in serving. A list of texts
gives a code for each text. Numbers of users with many different values, such as ages, have codes
for ranges that about equally many users are in. This module does not know what is learned.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.types import Codes
from app.domain.columns import offsets_of
from app.domain.named_values import text_of
from app.engine.catalogue.side_values import Entry, SideVocabulary, range_text
from app.offline.input.events import Events
from app.offline.input.users import Users
from app.offline.learning.sequences import Ints, Sequences, steps_of
from app.offline.learning.signals import EventLog

LEAST: Final = 20
"""Users, or events, that must have a value before it gets a code."""

MOST_EXACT: Final = 16
"""Different numbers of an attribute that have codes of their own; if there are more, ranges do."""
RANGES: Final = 8


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
    user_codes: Codes
    names: tuple[str, ...]
    _columns: tuple[npt.NDArray[np.uint16], ...]
    _tables: tuple[Codes, ...]

    def of_user(self, user: int) -> Codes:
        """Return the codes of a user of the log, int32[a]."""
        return self.user_codes[self.user_offsets[user] : self.user_offsets[user + 1]]

    def of_events(self, positions: Ints, names: Sequence[str] | None = None) -> Codes:
        """Return int32[len(positions), c]: codes of the contexts of events; -1 = unknown.

        Only what is asked for is made: the log itself keeps two bytes an event and name. `names`:
        of the contexts that are asked for; None = all.
        """
        names = self.names if names is None else names
        codes = np.empty((len(positions), len(names)), np.int32)
        for at, name in enumerate(names):
            column = self.names.index(name)
            codes[:, at] = self._tables[column][self._columns[column][positions]]
        return codes


@dataclass(frozen=True, slots=True)
class StepSides:
    """Who and where of the steps of some sequences.

    Attributes:
        sides: the codes of the log.
        users: int64[n], user codes of the log, of each sequence.
        positions: int64[m], positions in the log of the first event of each step.
    """

    sides: Sides
    users: Ints
    positions: Ints

    def of_step(self, user: int, step: int) -> tuple[Codes, Codes]:
        """Return the codes of the user of a sequence, and those of the moment of a step."""
        where = self.sides.of_events(self.positions[step : step + 1])[0]
        return self.sides.of_user(int(self.users[user])), where[where >= 0]


def step_sides_of(
    log: EventLog, users: Users, sequences: Sequences, n_items: int, least: int = LEAST
) -> StepSides | None:
    """Return who and where of the steps of the sequences of a log; None where nothing is known."""
    if not users.columns and not log.events.context.codes:
        return None
    sides = sides_of(log.events, users, least)
    if not (len(sides.attributes) or len(sides.context)):
        return None
    rows, steps = steps_of(log.events, log.item_rows, log.weights, n_items)
    positions = rows[np.flatnonzero(np.diff(steps, prepend=-1))]
    return StepSides(sides=sides, users=sequences.users, positions=positions)


def sides_of(events: Events, users: Users, least: int = LEAST) -> Sides:
    """Return the codes of the users and events of a log.

    Args:
        events: the log.
        users: attributes, also of users without events, who count for `least`.
        least: how many users, or events, must have a value before it gets a code.
    """
    known = {key: users.of(row) for row, key in enumerate(users.keys)}
    ranges = SideVocabulary(_ranges(users, least))
    attributes = _frequent(
        Counter(entry for who in known.values() for entry in ranges.entries_of(who)), least
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


def _ranges(users: Users, least: int) -> Iterator[Entry]:
    """Yield the ranges of the attributes that are numbers of many different values."""
    for name, kind in users.kinds.items():
        if kind != "number":
            continue
        values = np.array([value for value in users.columns[name] if value is not None], np.float64)
        n_ranges = min(RANGES, len(values) // max(least, 1))
        if n_ranges < 2 or len(set(map(text_of, values.tolist()))) <= MOST_EXACT:
            continue
        shares = np.arange(n_ranges + 1) / n_ranges
        edges = np.unique(np.quantile(values, shares, method="lower")).tolist()
        for low, high in pairwise(edges):
            yield name, range_text(low, high)


def _table(name: str, texts: Sequence[str], vocabulary: SideVocabulary) -> Codes:
    """Return int32[v + 1]: the code of each value of a log; the first is of no value."""
    return np.array([-1, *(vocabulary.code(name, text) for text in texts)], np.int32)


def _frequent(counts: Mapping[Entry, int], least: int) -> SideVocabulary:
    return SideVocabulary(entry for entry, n in counts.items() if n >= least)
