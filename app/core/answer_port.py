"""The port of kept answers: what was answered, to whom, and to which request.

An answer is kept for some hours, so that somebody can ask later what it was. Real stores and the
fake of `app.testing` pass the same suite, `tests/contract/test_answer_store.py`.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

ANSWER_BYTES: Final = 256
"""What an answer counts in the size of a store, beside its head."""
BODY_BYTES: Final = 128
"""What a body counts in the size of a store, beside its own bytes."""
TOMBSTONE_S: Final = 3600.0
"""How long a store remembers that a user was erased. Nothing waits so long to be written."""


@dataclass(frozen=True, slots=True)
class GivenAnswer:
    """One answer that was given. Its two bodies are stored once for each digest.

    Attributes:
        id: the `recommendation_id`, of the namespace of the caller (`app.core.caller.scoped`).
        given_at: unix seconds.
        user: key of the user or session (`app.core.store_ports.user_key`); "" = nobody was named.
        head: the beginning of the answer, which is its own, in UTF-8.
        request, tail: digests of the request as JSON, and of the rest of the answer. Only answers
            of the same `user` have equal ones.
    """

    id: str
    given_at: float
    user: str
    head: bytes
    request: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class KeptAnswer:
    """An answer as it was given, with its request as JSON. `given_at`: unix seconds."""

    given_at: float
    head: bytes
    request: bytes
    tail: bytes


@dataclass(frozen=True, slots=True)
class AnswerBounds:
    """How long answers are kept, in seconds, and how many bytes of them."""

    life_s: float
    most_bytes: int


class AnswerStore(Protocol):
    """Answers of one namespace, for some hours. Several processes may share one.

    Beyond its bound of bytes the oldest answers leave. A write is seen by every read that starts
    later, in any process. A write that is repeated does no harm.

    Every method raises `StoreError` if the store cannot do its work; writes raise `OverloadedError`
    if too many are waiting. `now`: unix seconds.
    """

    async def put(
        self, answers: Sequence[GivenAnswer], bodies: Mapping[bytes, bytes], now: float
    ) -> int:
        """Keep answers; drop those that are too old, and those beyond the bound.

        Args:
            answers: what was given. One whose user was erased since is left out.
            bodies: by digest, those that the answers name.
            now: unix seconds.

        Returns how many were kept.
        """
        ...

    async def read(self, answer_id: str, now: float) -> KeptAnswer | None:
        """Return an answer; None if it is unknown, erased, or too old."""
        ...

    async def erase(self, users: Collection[str], now: float) -> int:
        """Erase all answers of some users, by their keys; return how many those were.

        Answers that they got until `now`, and that are put afterwards, are left out.
        """
        ...

    async def clear(self) -> None:
        """Erase everything in the namespace."""
        ...

    async def aclose(self) -> None:
        """Finish the writes under way and release all resources. Idempotent."""
        ...
