"""API keys: what a key looks like, its role, and how a key that is sent is compared.

    rsk_<id: 8 hexadecimal digits>_<secret: 256 random bits, 43 characters>

The file of keys holds the digest of a key, never the key. A secret has 256 random bits, so it
cannot be guessed from a digest, and a slow hash as for passwords would gain nothing.
"""

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from hmac import compare_digest
from typing import Final, Literal, TypeAlias

from app.core.errors import UsageError
from app.serving.access.limits import NO_LIMITS, KeyLimits, Priority

Role: TypeAlias = Literal["read", "write", "admin"]
"""What a caller may do. Each role may do what the roles before it may."""

ROLES: Final[tuple[Role, ...]] = ("read", "write", "admin")
_RANK: Final = {role: rank for rank, role in enumerate(ROLES)}

BOUND_ADMIN: Final = (
    "an administrator reaches everything: such a key has neither a namespace nor scenarios"
)

_SECRET_BYTES: Final = 32
_ID_BYTES: Final = 4
_HEAD: Final = "rsk_"
_ID: Final = slice(len(_HEAD), len(_HEAD) + 2 * _ID_BYTES)


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept.

    Attributes:
        id: names the key in lists and logs; it is no secret.
        role: what its holder may do.
        digest: BLAKE2b of what its holder sends, 64 bytes.
        created_at: unix seconds.
        note: whose it is, in words of the one who added it.
        namespace: whose users its holder means; "" = those of the default namespace.
        scenarios: those with which its holder may ask; () = no matter which, or none.
        limits: what it may spend.
        chosen_priority: how urgent its requests are; None = as `priority` says.
    """

    id: str
    role: Role
    digest: bytes
    created_at: float
    note: str = ""
    namespace: str = ""
    scenarios: tuple[str, ...] = ()
    limits: KeyLimits = NO_LIMITS
    chosen_priority: Priority | None = None

    @property
    def priority(self) -> Priority:
        """How urgent its requests are: those of operators are *admin*, all others *interactive*."""
        return self.chosen_priority or ("admin" if self.role == "admin" else "interactive")


NO_KEY: Final = ApiKey(id="", role="read", digest=b"", created_at=0.0)
"""What stands for the key of a caller who has none."""


def reaches(role: Role, needed: Role) -> bool:
    """Tell whether a role may do what `needed` may do."""
    return _RANK[role] >= _RANK[needed]


def new_key(  # noqa: PLR0913 - each by its name
    role: Role,
    note: str,
    now: float,
    random_bytes: Callable[[int], bytes] = secrets.token_bytes,
    *,
    namespace: str = "",
    scenarios: Sequence[str] = (),
) -> tuple[str, ApiKey]:
    """Return a new key: what its holder sends, and what is kept. `now`: unix seconds.

    Raises:
        UsageError: an administrator would be bound, who reaches everything by `/admin`.
    """
    if role == "admin" and (namespace or scenarios):
        raise UsageError(BOUND_ADMIN)
    name = random_bytes(_ID_BYTES).hex()
    secret = urlsafe_b64encode(random_bytes(_SECRET_BYTES)).rstrip(b"=").decode()
    sent = f"{_HEAD}{name}_{secret}"
    digest = blake2b(sent.encode()).digest()
    return sent, ApiKey(name, role, digest, now, note, namespace, tuple(scenarios))


def id_in(sent: bytes) -> bytes:
    """Return what stands in the place of the id in something that was sent as a key."""
    return sent[_ID]


def is_key(sent: bytes, key: ApiKey) -> bool:
    """Tell whether a key was sent, in a time that does not depend on what was sent."""
    return compare_digest(blake2b(sent).digest(), key.digest)
