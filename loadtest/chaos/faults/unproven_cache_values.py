"""A value of the shared cache is taken for an answer, whichever request it belongs to."""

import struct

from app.serving.caching import redis


def seed() -> None:
    """Unpack values without looking at the fingerprint."""

    def believing(value: object, _fingerprint: bytes) -> bytes | None:
        if not isinstance(value, bytes):
            return None
        _, key_bytes, _ = struct.unpack_from(">4sII", value)
        return value[struct.calcsize(">4sII") + key_bytes : -16]

    redis.unpack  # noqa: B018 - it must exist
    redis.unpack = believing
