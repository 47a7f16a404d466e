"""Changes of bytes that are likely to be taken for something: of bodies, queries and requests."""

import random
from collections.abc import Sequence
from typing import Final

_WORDS: Final = (
    *(b"\r\n", b"\r", b"\n", b" ", b"\t", b"\x00", b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b":"),
    *(b"content-length: ", b"transfer-encoding: chunked\r\n", b"host: x\r\n", b"0\r\n\r\n"),
    *(b"expect: 100-continue\r\n", b"connection: close\r\n", b"upgrade: h2c\r\n", b"HTTP/1.0"),
    *(b"GET /livez HTTP/1.1\r\nhost: t\r\n\r\n", b"%2e%2e/", b"%00", b"?a=1&a=2", b";a=b", b"ffff"),
    *(b"{", b"}", b"[", b"]", b",", b'"', b"\\", b'\\ud800"', b"NaN", b"1e999", b"-0", b"null"),
    *(b'"filter":{"year":{"gte":1}},', b'"$and":[', b'"any":[', b'{"not":', b"true", b"9" * 400),
    *(
        "不要".encode(),
        "\U0001d160".encode(),
        b" not ",
        b" under $50 ",
        b"like ",
        b" or ",
        b"1990s",
    ),
)


def mutated(seeds: Sequence[bytes], rng: random.Random, most: int = 8) -> bytes:
    """Return one of the seeds after one to `most` changes."""
    data = bytearray(rng.choice(seeds))
    for _ in range(rng.randint(1, most)):
        _change(data, seeds, rng)
    return bytes(data)


def _change(data: bytearray, seeds: Sequence[bytes], rng: random.Random) -> None:
    at = rng.randrange(len(data) + 1)
    end = min(len(data), at + rng.choice((1, 2, 4, 8, 32, 256)))
    kind = rng.randrange(8)
    if kind < 2:
        data[at : end if kind else at] = rng.choice(_WORDS)
    elif kind == 2:
        data[at:at] = data[at:end] * rng.choice((1, 2, 50))
    elif kind == 3:
        data[at:end] = rng.randbytes(end - at)
    elif kind == 4:
        other = rng.choice(seeds)
        data[at:] = other[rng.randrange(len(other) + 1) :]
    elif kind == 5 and data:
        data[at % len(data)] ^= 1 << rng.randrange(8)
    else:
        del data[at : end if kind == 6 else len(data)]
