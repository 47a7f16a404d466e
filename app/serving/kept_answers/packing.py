"""From answers that wait to what a store keeps: JSON of their requests, and digests of bodies.

Requests and tails are often the same, so each is stored once. The digest covers the key of the
user: a body belongs to the answers of one user, and leaves with them.
"""

import hashlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import orjson

from app.core.answer_port import GivenAnswer
from app.core.caller import scoped
from app.core.store_ports import user_key
from app.domain.request import SEEN_ALL, SEEN_NOTHING, RecommendRequest
from app.domain.sent_intent import SWITCHED_OFF

_DIGEST_BYTES: Final = 16
_SHORT_FORMS: Final = frozenset({"intent", "exclude_seen"})
"""Fields in which true or false may have been sent for an object."""


class WaitingAnswer(NamedTuple):
    """An answer that was given and is not written yet.

    `given_at`: unix seconds. `namespace`: of the caller.
    """

    id: str
    given_at: float
    ask: RecommendRequest
    namespace: str
    head: bytes
    tail: bytes

    @property
    def user(self) -> str:
        """The key of the user or session; "" = nobody was named."""
        return user_key(self.ask.user_id, self.ask.session_id, self.namespace) or ""


class Packed(NamedTuple):
    """What a store gets: answers, and by digest the bodies that they name."""

    answers: list[GivenAnswer]
    bodies: dict[bytes, bytes]


def pack(waiting: Sequence[WaitingAnswer]) -> Packed:
    """Return answers as a store keeps them."""
    digests: dict[tuple[str, bytes], bytes] = {}
    answers, bodies = [], {}
    for each in waiting:
        user, named = each.user, []
        for body in (request_json(each.ask), each.tail):
            digest = digests.get((user, body))
            if digest is None:
                digest = digests[user, body] = _digest(user, body)
                bodies[digest] = body
            named.append(digest)
        name = scoped(each.namespace, each.id)
        answers.append(GivenAnswer(name, each.given_at, user, each.head, *named))
    return Packed(answers, bodies)


def request_json(ask: RecommendRequest) -> bytes:
    """Return a request as JSON: the fields that were sent, as they are understood.

    >>> request_json(RecommendRequest.model_validate_json('{"k": 3, "intent": false}'))
    b'{"k":3,"intent":false}'
    """
    if not ask.model_fields_set & _SHORT_FORMS:
        return ask.model_dump_json(exclude_unset=True).encode()
    fields = ask.model_dump(mode="json", exclude_unset=True)
    if ask.intent is SWITCHED_OFF:
        fields["intent"] = False
    if ask.exclude_seen in (SEEN_ALL, SEEN_NOTHING):
        fields["exclude_seen"] = ask.exclude_seen == SEEN_ALL
    return orjson.dumps(fields)


def _digest(user: str, body: bytes) -> bytes:
    salt = hashlib.blake2b(user.encode("utf-8", "surrogatepass"), digest_size=_DIGEST_BYTES)
    return hashlib.blake2b(body, digest_size=_DIGEST_BYTES, salt=salt.digest()).digest()
