"""How an answer lies in the shared cache: a self-describing value that proves whose it is.

    magic+version | length of fingerprint | length of payload | fingerprint | payload | checksum

Lengths are 4 bytes, big-endian; the checksum is a 16-byte BLAKE2b over everything before it. Data
only, no pickle. Knows no Redis.
"""

import hashlib
import struct
from typing import Final

_HEAD: Final = struct.Struct(">4sII")
_MAGIC: Final = b"RSV\x01"
_CHECKSUM_BYTES: Final = 16


def pack(fingerprint: bytes, payload: bytes) -> bytes:
    """Return the value to store under the key of `fingerprint`."""
    head = _HEAD.pack(_MAGIC, len(fingerprint), len(payload))
    body = head + fingerprint + payload
    return body + _checksum(body)


def unpack(value: object, fingerprint: bytes) -> bytes | None:
    """Return the payload; None unless `value` was packed, unharmed, for this very fingerprint.

    A key is only a hash: a value stored for other inputs must not be taken for an answer.
    """
    if not isinstance(value, bytes) or len(value) < _HEAD.size + _CHECKSUM_BYTES:
        return None
    body, checksum = value[:-_CHECKSUM_BYTES], value[-_CHECKSUM_BYTES:]
    magic, key_bytes, payload_bytes = _HEAD.unpack_from(body)
    start = _HEAD.size + key_bytes
    fits = magic == _MAGIC and len(body) == start + payload_bytes
    if not fits or body[_HEAD.size : start] != fingerprint or checksum != _checksum(body):
        return None
    return body[start:]


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_BYTES).digest()
