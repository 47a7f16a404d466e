"""The words of queries: what was learned of them, and which of them are to be asked.

This is the part in the path of requests, so it is one look-up in a dictionary. Words whose parse
was weak are noted, and how many requests had them. They may be asked once several different callers
have sent them. Callers are told apart by salted digests, which are forgotten then. All methods
belong to one event loop.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

MOST_NOTED: Final = 8192
"""Most words that are noted; those that were asked little, and long ago, leave first."""

MOST_READY: Final = 1024
"""Most words that wait to be asked."""

_SECOND_CHANCES: Final = 8


def _nothing() -> None:
    pass


def words_of(query: str) -> str:
    """Return the words of a query, one spelling for all cases.

    `query`: as `app.domain.query_text.normalised_query` returns it.
    """
    return query.casefold()


@dataclass(slots=True)
class Note:
    """Words whose parse was weak.

    Attributes:
        query: as it was typed first.
        asked: how many requests had the words; less, if they were long ago.
        callers: digests of different callers; None = there were enough.
        taken: somebody asks the language model now.
        failures: how often that failed.
        not_before: monotonic seconds before which it is not tried again.
    """

    query: str
    asked: int = 0
    callers: set[int] | None = field(default_factory=set)
    taken: bool = False
    failures: int = 0
    not_before: float = 0.0


class Words:
    """What is known of the words of queries, for one bundle at a time."""

    def __init__(  # noqa: PLR0913 - all but one have defaults
        self,
        min_callers: int,
        *,
        on_ready: Callable[[], None] = _nothing,
        on_used: Callable[[], None] = _nothing,
        most_noted: int = MOST_NOTED,
        most_ready: int = MOST_READY,
        salt: str | None = None,
    ) -> None:
        """Know nothing yet.

        Args:
            min_callers: how many different callers must have sent words before they are asked.
            on_ready: is called when words may be asked.
            on_used: is called when an intent that was learned is used.
            most_noted: most words that are noted.
            most_ready: most words that wait to be asked.
            salt: of the digests of callers; None = random.
        """
        self._min_callers, self._salt = min_callers, salt or secrets.token_hex(16)
        self._on_ready, self._on_used = on_ready, on_used
        self._most_noted, self._most_ready = most_noted, most_ready
        self._bundle = ""
        self._learned: dict[str, str] = {}
        self._uses: dict[str, int] = {}
        self._noted: dict[str, Note] = {}
        self._ready: dict[str, Note] = {}

    def __repr__(self) -> str:
        return (
            f"<Words {len(self._learned)} learned, {len(self._noted)} noted, "
            f"{len(self._ready)} to be asked>"
        )

    @property
    def waiting(self) -> int:
        """How many words wait to be asked."""
        return len(self._ready)

    def find(self, query: str, bundle: str) -> str | None:
        """Return the intent that was learned of a query, for `RankRequest.intent`; "" = none.

        None = none, and the words are noted: `count` who sent them.

        Args:
            query: of a request whose caller sent no intent, not empty.
            bundle: what serves now.
        """
        words = words_of(query)
        intent = self._learned.get(words)
        if intent is None:
            return None if words in self._noted else ""
        self._uses[words] = self._uses.get(words, 0) + 1
        if not intent or bundle != self._bundle:
            return ""
        self._on_used()
        return intent

    def count(self, query: str, caller: str) -> None:
        """Count a request whose words are noted."""
        words = words_of(query)
        if (note := self._noted.get(words)) is not None:
            self._count(words, note, caller)

    def note(self, query: str, caller: str) -> None:
        """Note a query whose parse was weak, and count it."""
        words = words_of(query)
        if not words or words in self._learned or words in self._noted:
            return
        if len(self._noted) >= self._most_noted:
            self._forget_one()
        note = self._noted[words] = Note(query)
        self._count(words, note, caller)

    def next(self, now: float) -> tuple[str, Note] | None:
        """Take the words that were asked most; None if none may be asked now.

        `now`: monotonic seconds. What is taken is given back by `put_off` or `settle`.
        """
        free = [words for words, note in self._ready.items() if note.not_before <= now]
        if not free:
            return None
        words = max(free, key=lambda each: self._ready[each].asked)
        note = self._ready.pop(words)
        note.taken = True
        return words, note

    def put_off(self, words: str, note: Note, until: float) -> None:
        """Let taken words wait again. `until`: monotonic seconds."""
        note.taken, note.not_before = False, until
        if self._noted.get(words) is note:
            self._offer(words, note)

    def settle(self, words: str) -> None:
        """Forget the note of words that need not be asked any more."""
        self._noted.pop(words, None)
        self._ready.pop(words, None)

    def learn(self, words: str, intent: str) -> None:
        """Use what was learned of some words from now on; "" = nothing that helps."""
        self._learned[words] = intent
        self.settle(words)

    def replace(self, learned: dict[str, str], bundle: str) -> None:
        """Use exactly this from now on, for requests that this bundle answers."""
        self._learned, self._bundle = learned, bundle
        for words in learned:
            self.settle(words)

    def known(self, words: str) -> str | None:
        """Return what is used of some words: "" = nothing that helps, None = nothing is known."""
        return self._learned.get(words)

    def take_uses(self) -> Mapping[str, int]:
        """Return how often learned words came since the last call."""
        uses, self._uses = self._uses, {}
        return uses

    def _count(self, words: str, note: Note, caller: str) -> None:
        note.asked += 1
        if note.callers is not None:
            note.callers.add(self._digest(caller))
            if len(note.callers) < self._min_callers:
                return
            note.callers = None
        if not note.taken and words not in self._ready:
            self._offer(words, note)

    def _offer(self, words: str, note: Note) -> None:
        """Let words wait to be asked, if there is room; else they are offered again when sent."""
        if len(self._ready) < self._most_ready:
            self._ready[words] = note
            self._on_ready()

    def _digest(self, caller: str) -> int:
        # Python's own hash of a text has a secret key as well, and costs a tenth of another one.
        return hash(self._salt + caller)

    def _forget_one(self) -> None:
        """Forget the oldest note that was asked once; others get a second chance."""
        for chance in range(_SECOND_CHANCES):
            words = next(iter(self._noted))
            note = self._noted.pop(words)
            if note.asked <= 1 or chance == _SECOND_CHANCES - 1:
                self._ready.pop(words, None)
                return
            note.asked //= 2
            self._noted[words] = note
