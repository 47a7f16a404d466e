"""Cursors: an opaque text that names the items which earlier pages have shown.

A cursor carries all that the next page needs, so the service stores nothing for it:

    version (1) | issued, unix seconds (8) | owner (8) | CRC-32 of the rest (4) | zlib of the ids

Numbers in brackets are bytes. The ids are joined by line breaks, because an id contains no control
character. The owner is a digest of the epoch of the user's version. The epoch changes when a user
is deleted, so cursors from before are refused.
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
"""Seconds for which a cursor is valid at least."""

_HEAD: Final = struct.Struct(">BQ8sI")
_VERSION: Final = 1
_NOBODY: Final = bytes(8)
_SMALL_WINDOW: Final = 512
"""Up to so many bytes are packed with little memory. Usually zlib takes 256 KiB, and the event loop
would take them from the system and give them back for each answer."""
# UTF-8 takes up to 4 bytes a character. The limit is needed because a cursor may be forged.
_MAX_BYTES: Final = (4 * MAX_ID_CHARS + 1) * MAX_CURSOR_ITEMS


@dataclass(frozen=True, slots=True)
class Page:
    """The ids that earlier pages have shown, in order, and a digest of the user they belong to."""

    shown: tuple[str, ...] = ()
    owner: bytes = _NOBODY


def write_cursor(shown: Sequence[str], owner: bytes, now: float) -> str | None:
    """Return the cursor of the page after these items; None if they do not fit into a cursor."""
    if len(shown) > MAX_CURSOR_ITEMS:
        return None
    ids = _packed("\n".join(shown).encode())
    head = _HEAD.pack(_VERSION, int(now), owner, zlib.crc32(ids))
    text = base64.urlsafe_b64encode(head + ids).decode().rstrip("=")
    return text if len(text) <= MAX_CURSOR_CHARACTERS else None


def _packed(ids: bytes) -> bytes:
    if len(ids) > _SMALL_WINDOW:
        return zlib.compress(ids)
    packing = zlib.compressobj(wbits=_SMALL_WINDOW.bit_length() - 1, memLevel=1)
    return packing.compress(ids) + packing.flush()


def read_cursor(text: str, now: float, life_s: float) -> Page:
    """Return what a cursor says of earlier pages.

    Args:
        text: made by `write_cursor`.
        now: unix seconds.
        life_s: age up to which it is valid; an answer may have been in caches for some time.

    Raises:
        InvalidRequestError: it is not a cursor of this service, was changed, or is too old.
    """
    wrong = InvalidRequestError("this is no cursor of an answer", field="cursor")
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        version, issued, owner, checksum = _HEAD.unpack_from(raw)
        packed = raw[_HEAD.size :]
        if version != _VERSION or checksum != zlib.crc32(packed):
            raise wrong
        unpacking = zlib.decompressobj()
        content = unpacking.decompress(packed, _MAX_BYTES).decode()
        if not unpacking.eof or content.count("\n") >= MAX_CURSOR_ITEMS:
            raise wrong
    except (binascii.Error, struct.error, zlib.error, ValueError) as error:
        raise wrong from error
    if not now - life_s <= issued <= now + life_s:
        raise InvalidRequestError("the cursor is too old", field="cursor")
    return Page(tuple(content.split("\n")) if content else (), owner)


def owned_by(version: bytes, page: Page) -> Page:
    """Return the page with the user of this version as its owner; b"" = no user.

    Raises:
        InvalidRequestError: it was made for another user, or before the user was deleted.
    """
    epoch = version.rpartition(b":")[0]
    owner = hashlib.blake2b(epoch, digest_size=8).digest() if epoch else _NOBODY
    if page.owner not in {_NOBODY, owner}:
        raise InvalidRequestError("the cursor is of somebody else", field="cursor")
    return Page(page.shown, owner)
