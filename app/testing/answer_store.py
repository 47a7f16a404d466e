"""A fake of the port `AnswerStore`, for tests and load tests only."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from app.core.answer_port import ANSWER_BYTES, BODY_BYTES, TOMBSTONE_S, GivenAnswer, KeptAnswer
from app.core.errors import StoreError


@dataclass(slots=True)
class MemoryAnswers:
    """What one namespace holds: answers by id, bodies by digest, and when users were erased."""

    answers: dict[str, GivenAnswer] = field(default_factory=dict)
    bodies: dict[bytes, bytes] = field(default_factory=dict)
    erased: dict[str, float] = field(default_factory=dict)

    def size(self) -> int:
        """Return how many bytes count."""
        heads = sum(ANSWER_BYTES + len(each.head) for each in self.answers.values())
        return heads + sum(BODY_BYTES + len(body) for body in self.bodies.values())


class MemoryAnswerStore:
    """An `AnswerStore` in dictionaries. Stores with the same `store` share what they know.

    Attributes:
        down: whether every call raises `StoreError`.
        puts: how many answers each `put` was given.
    """

    def __init__(
        self,
        namespace: str = "films",
        store: dict[str, MemoryAnswers] | None = None,
        *,
        life_s: float = 3600.0,
        most_bytes: int = 1 << 30,
    ) -> None:
        """Keep the answers of a namespace in `store`, or in a store of its own."""
        self.down = False
        self.puts: list[int] = []
        self._life_s, self._most_bytes = life_s, most_bytes
        self._held = ({} if store is None else store).setdefault(namespace, MemoryAnswers())

    def __repr__(self) -> str:
        return f"<MemoryAnswerStore {len(self._held.answers)} answers>"

    async def put(
        self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float
    ) -> int:
        """Keep answers."""
        self._check()
        self.puts.append(len(answers))
        held = self._held
        held.erased = {user: at for user, at in held.erased.items() if at > now - TOMBSTONE_S}
        kept = [each for each in answers if each.given_at > held.erased.get(each.user, 0.0)]
        held.answers |= {each.id: each for each in kept}
        for each in kept:
            held.bodies |= {name: bodies[name] for name in (each.request, each.tail)}
        self._only(lambda each: each.given_at > now - self._life_s)
        for each in sorted(held.answers.values(), key=lambda each: each.given_at):
            if held.size() <= self._most_bytes:
                break
            self._only(partial(_is_later, than=each.given_at))
        return len(kept)

    async def read(self, answer_id: str, now: float) -> KeptAnswer | None:
        """Return an answer."""
        self._check()
        found = self._held.answers.get(answer_id)
        if found is None or found.given_at <= now - self._life_s:
            return None
        request, tail = self._held.bodies[found.request], self._held.bodies[found.tail]
        return KeptAnswer(found.given_at, found.head, request, tail)

    async def erase(self, users: Collection[str], now: float) -> int:
        """Erase the answers of some users."""
        self._check()
        before = len(self._held.answers)
        self._held.erased |= dict.fromkeys(users, now)
        self._only(lambda each: each.user not in users)
        return before - len(self._held.answers)

    async def clear(self) -> None:
        """Erase everything."""
        self._check()
        self._held.answers, self._held.bodies, self._held.erased = {}, {}, {}

    async def aclose(self) -> None:
        """Do nothing."""

    def _only(self, stays: Callable[[GivenAnswer], bool]) -> None:
        held = self._held
        held.answers = {name: each for name, each in held.answers.items() if stays(each)}
        used = {name for each in held.answers.values() for name in (each.request, each.tail)}
        held.bodies = {name: body for name, body in held.bodies.items() if name in used}

    def _check(self) -> None:
        if self.down:
            raise StoreError("the store of answers cannot be read or written")


def _is_later(answer: GivenAnswer, than: float) -> bool:
    return answer.given_at > than
