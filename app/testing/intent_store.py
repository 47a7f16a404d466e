"""A fake of the port `IntentStore`, for tests and load tests only."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from app.core.errors import StoreError
from app.core.types import Claim, LearnedIntent, LearnedState
from app.domain.use_counts import MOST_LEARNED, added, kept_of, lowest, score_of


@dataclass(slots=True)
class MemoryNamespace:
    """What is learned in one namespace: (intent, score) by words, claims, and calls a minute."""

    state: LearnedState = field(default_factory=LearnedState)
    by_words: dict[str, tuple[LearnedIntent, float]] = field(default_factory=dict)
    claims: dict[str, float] = field(default_factory=dict)
    calls: tuple[int, int] = (0, 0)


class MemoryIntentStore:
    """An `IntentStore` in a dictionary. Stores with the same `store` share what they know.

    Attributes:
        down: whether every call raises `StoreError`.
    """

    def __init__(
        self,
        namespace: str = "films",
        store: dict[str, MemoryNamespace] | None = None,
        *,
        most: int = MOST_LEARNED,
    ) -> None:
        """Keep the intents of a namespace in `store`, or in a store of its own."""
        self.down = False
        self._most = most
        self._held = ({} if store is None else store).setdefault(namespace, MemoryNamespace())

    def __repr__(self) -> str:
        return f"<MemoryIntentStore {len(self._held.by_words)} intents>"

    async def put(self, words: str, intent: str, now: float, uses: int = 1) -> LearnedIntent:
        """Store an intent."""
        self._check()
        held = self._held
        held.state = held.state._replace(newest=held.state.newest + 1)
        learned = LearnedIntent(held.state.newest, words, intent, now, now, uses)
        held.by_words[words] = learned, score_of(uses, now)
        held.claims.pop(words, None)
        by_score = sorted(held.by_words, key=lambda each: held.by_words[each][1])
        gone = [each for each in by_score if held.by_words[each][1] < lowest(now)]
        rest = by_score[len(gone) :]
        if len(rest) > self._most:
            rest.remove(words)
            gone += rest[: len(rest) + 1 - kept_of(self._most)]
        self._drop(gone)
        return learned

    async def remove(self, words: str | None) -> int:
        """Remove one intent, or all."""
        self._check()
        gone = [each for each in self._held.by_words if words is None or each == words]
        self._drop(gone)
        return len(gone)

    async def after(self, seq: int, limit: int) -> tuple[LearnedIntent, ...]:
        """Return the intents after a number."""
        self._check()
        later = [learned for learned, _ in self._held.by_words.values() if learned.seq > seq]
        return tuple(sorted(later, key=lambda learned: learned.seq)[:limit])

    async def state(self) -> LearnedState:
        """Return the highest number, and how often some left."""
        self._check()
        return self._held.state

    async def count(self, uses: Mapping[str, int], now: float) -> None:
        """Count uses."""
        self._check()
        for words, more in uses.items():
            if words in self._held.by_words:
                learned, score = self._held.by_words[words]
                used_at = max(learned.used_at, now)
                learned = replace(learned, uses=learned.uses + more, used_at=used_at)
                self._held.by_words[words] = learned, added(score, score_of(more, now))

    async def claim(self, words: str, now: float, lease_s: float, most_per_minute: int) -> Claim:
        """Claim words."""
        self._check()
        held, minute = self._held, int(now // 60)
        if words in held.by_words or held.claims.get(words, now) > now:
            return "taken"
        calls = held.calls[1] + 1 if held.calls[0] == minute else 1
        if calls > most_per_minute:
            return "spent"
        held.calls = minute, calls
        held.claims[words] = now + lease_s
        return "granted"

    async def aclose(self) -> None:
        """Do nothing."""

    def _drop(self, gone: list[str]) -> None:
        for words in gone:
            del self._held.by_words[words]
        if gone:
            state = self._held.state
            self._held.state = state._replace(removals=state.removals + 1)

    def _check(self) -> None:
        if self.down:
            raise StoreError("the store of intents cannot be read or written")
