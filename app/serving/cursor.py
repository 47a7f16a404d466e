"""Where a page ended: an opaque word that carries all the next page needs, so nothing is kept here.

    version (1) | issued, unix seconds (8) | owner (8) | CRC-32 of the rest (4) | zlib of the ids

Ids hold no control characters, so a line break parts them. The owner is a digest of the epoch of
the user's version: a cursor does not outlive the deletion of its user.
"""

import base64
import binascii
import hashlib
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from app.core.errors import InvalidRequestError
from app.domain.request import MAX_CURSOR_CHARACTERS, MAX_CURSOR_ITEMS
from app.domain.values import MAX_ID_CHARS

LIFE_S: Final = 900
"""Seconds for which the cursor of an answer holds at least."""

_HEAD: Final = struct.Struct(">BQ8sI")
_VERSION: Final = 1
_NOBODY: Final = bytes(8)
# UTF-8 takes up to 4 bytes a character. A cursor may be forged, so that it needs a limit.
_MOST_BYTES: Final = (4 * MAX_ID_CHARS + 1) * MAX_CURSOR_ITEMS


@dataclass(frozen=True, slots=True)
class Page:
    """What was shown up to here: ids, in order, and the digest of whose list it is."""

    shown: tuple[str, ...] = ()
    owner: bytes = _NOBODY


def write_cursor(shown: Sequence[str], owner: bytes, now: float) -> str | None:
    """Return the cursor behind these items; None where they are more than a cursor carries."""
    if len(shown) > MAX_CURSOR_ITEMS:
        return None
    ids = zlib.compress("\n".join(shown).encode())
    head = _HEAD.pack(_VERSION, int(now), owner, zlib.crc32(ids))
    text = base64.urlsafe_b64encode(head + ids).decode().rstrip("=")
    return text if len(text) <= MAX_CURSOR_CHARACTERS else None


def read_cursor(text: str, now: float, life_s: float) -> Page:
    """Return the page behind which a cursor stands.

    Args:
        text: what was made by `write_cursor`.
        now: unix seconds.
        life_s: age up to which it holds; an answer may have lain in caches for a while.

    Raises:
        InvalidRequestError: it is none of ours, was changed, or is too old.
    """
    wrong = InvalidRequestError("this is no cursor of an answer", field="cursor")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, issued, owner, checksum = _HEAD.unpack_from(raw)
        packed = raw[_HEAD.size :]
        if version != _VERSION or checksum != zlib.crc32(packed):
            raise wrong
        content = zlib.decompressobj().decompress(packed, _MOST_BYTES).decode()
    except (binascii.Error, struct.error, zlib.error, ValueError) as error:
        raise wrong from error
    if not now - life_s <= issued <= now + life_s:
        raise InvalidRequestError("the cursor is too old", field="cursor")
    return Page(tuple(content.split("\n")) if content else (), owner)


def owned_by(version: bytes, page: Page) -> Page:
    """Return the page as one of the user of this version (b"" = nobody's).

    Raises:
        InvalidRequestError: it was made for a user who was deleted since, or for another.
    """
    epoch = version.rpartition(b":")[0]
    owner = hashlib.blake2b(epoch, digest_size=8).digest() if epoch else _NOBODY
    if page.owner not in {_NOBODY, owner}:
        raise InvalidRequestError("the cursor is of somebody else", field="cursor")
    return Page(page.shown, owner)
