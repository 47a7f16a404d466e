"""The API keys of a running service: who sends which key, and keys that change while it runs.

A file that cannot be read any more does not lock everybody out, nor let anybody in: the keys that
were read last are valid on, and the log says so.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Final

from app.core.errors import ForbiddenError, UnauthenticatedError, UsageError
from app.serving.access.accounts import Accounts
from app.serving.access.key_file import read_keys
from app.serving.access.keys import NO_KEY, ApiKey, Role, id_in, is_key, reaches

_SCHEME: Final = b"bearer "
_WATCH_S: Final = 0.5
_MISSING: Final = "an API key is needed: send it as Authorization: Bearer KEY"
_UNKNOWN: Final = "this API key is not valid"

log = logging.getLogger(__name__)


class KeyRing:
    """The valid keys, and what callers without a key may do. Belongs to one event loop.

    Attributes:
        accounts: what each key may still spend.
    """

    def __init__(
        self,
        keys: Iterable[ApiKey] = (),
        anonymous: Role | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        """Take the keys, and the role of callers without a key; None = they need one.

        `accounts`: where the keys have accounts; None = new ones without a limit for strangers.
        """
        self.anonymous = anonymous
        self.accounts = accounts or Accounts()
        self._keys: dict[bytes, ApiKey] = {}
        self.replace(keys)

    def replace(self, keys: Iterable[ApiKey]) -> None:
        """Take these keys in place of all others."""
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
        """
        # Where nobody has a key, the header is that of a proxy, or of nobody.
        if authorization is None or (self.anonymous is not None and not self._keys):
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
        if not reaches(key.role, needed):
            raise ForbiddenError(f"this needs the role {needed}; the key has the role {key.role}")
        return key

    def _key_of(self, authorization: bytes) -> ApiKey:
        if authorization[: len(_SCHEME)].lower() != _SCHEME:
            raise UnauthenticatedError(_MISSING)
        sent = authorization[len(_SCHEME) :].strip()
        key = self._keys.get(id_in(sent))
        if key is None or not is_key(sent, key):
            raise UnauthenticatedError(_UNKNOWN)
        return key


async def follow_file(
    ring: KeyRing, path: Path, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
) -> None:
    """Put the keys of a file into a ring whenever the file has changed; runs until cancelled."""
    seen = _state_of(path)
    while True:
        await sleep(_WATCH_S)
        now = _state_of(path)
        if now == seen:
            continue
        seen = now
        try:
            keys = read_keys(path)
        except UsageError as error:
            log.error("keys stay as they are: %s", error.message)  # noqa: TRY400 - no fault of ours
        else:
            ring.replace(keys)
            log.info("keys read again", extra={"keys": len(keys)})


def _state_of(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size
