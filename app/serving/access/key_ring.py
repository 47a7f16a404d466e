"""The API keys of a running service: who sends which key, and what that key may do."""

from collections.abc import Iterable
from typing import Final

from app.core.errors import ForbiddenError, NotReadyError, UnauthenticatedError
from app.serving.access.accounts import Accounts
from app.serving.access.keys import NO_KEY, ApiKey, Role, id_in, is_key, reaches

_SCHEME: Final = b"Bearer "
_SCHEME_BYTES: Final = len(_SCHEME)
_MISSING: Final = "an API key is needed: send it as Authorization: Bearer KEY"
_UNKNOWN: Final = "this API key is not valid"


class KeyRing:
    """The valid keys, and what callers without a key may do. Belongs to one event loop.

    Attributes:
        accounts: what each key may still spend.
        known: whether the keys were ever read. Before, nobody has one, and nobody is a stranger.
    """

    def __init__(
        self,
        keys: Iterable[ApiKey] | None = (),
        anonymous: Role | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """Take the keys, and the role of callers without a key; None = they need one.

        `keys`: None = they are not read yet.
        `accounts`: where the keys have accounts; None = new ones without a limit for strangers.
        """
        self.anonymous = anonymous
        self.accounts = accounts or Accounts()
        self._keys: dict[bytes, ApiKey] = {}
        self.replace(keys or ())
        self.known = keys is not None

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Take these keys in place of all others."""
        self.known = True
        self._keys = {key.id.encode(): key for key in keys}
        self.accounts.replace(self._keys.values())

    def check(self, authorization: bytes | None, needed: Role) -> ApiKey:
        """Return the key that a request has; `NO_KEY` for a caller without one.

        Args:
            authorization: value of the header; None without it.
            needed: role that the request needs.

        Raises:
            UnauthenticatedError: there is no key where one is needed, or it is not valid.
            ForbiddenError: its role does not reach.
            NotReadyError: no keys were read yet.
        """
        # Where nobody has a key, the header is that of a proxy, or of nobody.
        if authorization is None or (self.anonymous is not None and self.known and not self._keys):
            if self.anonymous is None:
                raise UnauthenticatedError(_MISSING)
            if not reaches(self.anonymous, needed):
                if not self._keys:
                    raise ForbiddenError(
                        f"this needs a key with the role {needed}; recserve keys add makes one"
                    )
                raise UnauthenticatedError(f"this needs an API key with the role {needed}")
            return NO_KEY
        key = self._key_of(authorization)
        if key.role != needed and not reaches(key.role, needed):
            raise ForbiddenError(f"this needs the role {needed}; the key has the role {key.role}")
        return key

    def _key_of(self, authorization: bytes) -> ApiKey:
        scheme = authorization[:_SCHEME_BYTES]
        if scheme != _SCHEME and scheme.lower() != _SCHEME.lower():
            raise UnauthenticatedError(_MISSING)
        sent = authorization[_SCHEME_BYTES:].strip()
        key = self._keys.get(id_in(sent))
        if key is None or not is_key(sent, key):
            if not self.known:
                raise NotReadyError("the API keys cannot be read yet")
            raise UnauthenticatedError(_UNKNOWN)
        return key
