"""Raw bytes to a running service: it never answers 5xx, never hangs, and never ends.

    python -m loadtest.fuzz.sockets [--seconds 300] [--seed 1]

The bytes are requests of `loadtest.runners.raw_requests` and bodies of all routes, changed at
random (`loadtest.fuzz.mutating`), in one piece or in several. After each, the caller sends no more;
so the service has to answer or to close within some seconds. Then it has to answer `/livez`. Prints
one JSON line; bytes that were answered wrongly are kept in `--failures`, and the exit code is 1.
"""

import argparse
import hashlib
import json
import random
import re
import socket
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from loadtest.fuzz.mutating import mutated
from loadtest.runners.hard_bodies import drawn, new_tape
from loadtest.runners.raw_requests import SOUND, UNSOUND, WAYS, meant
from loadtest.runners.services import Service, get
from loadtest.runners.wide_shop import build_wide, serve_command

HANGS_S: Final = 15.0
"""Longest time between the last byte of the caller and the end of the connection."""

_MAY_FAIL: Final = {503, 504, 507}
_MOST_BYTES: Final = 20_000
_LIVE: Final = b"GET /livez HTTP/1.1\r\nhost: t\r\nconnection: close\r\n\r\n"
_STATUS: Final = re.compile(rb"(?:^|\n|\})HTTP/1\.1 (\d{3})")


def seeds(rng: random.Random, n_drawn: int = 300) -> list[bytes]:
    """Return requests that the service knows: the table on each way, and some of all routes."""
    raws = [raw for raw, _, _ in SOUND.values()] + list(UNSOUND.values())
    known = [meant(raw, way) for raw in raws for way in WAYS]
    hard = [drawn(new_tape(rng)).sent() for _ in range(n_drawn)]
    return known + [sent for sent in hard if len(sent) <= _MOST_BYTES]


def changed(known: Sequence[bytes], rng: random.Random) -> bytes:
    """Return a changed request; half of them keep a sound head, and have another body."""
    if rng.random() < 0.5:
        return mutated(known, rng, 4)
    head, _, body = rng.choice(known).partition(b"\r\n\r\n")
    line = head.partition(b"\r\n")[0]
    body = mutated([body], rng, 4)
    return b"%b\r\nhost: t\r\ncontent-length: %d\r\n\r\n%b" % (line, len(body), body)


def statuses(port: int, parts: Sequence[bytes]) -> list[int]:
    """Send parts, then nothing; return the statuses of the answers.

    Raises:
        TimeoutError: the connection did not end.
    """
    got = b""
    with socket.create_connection(("127.0.0.1", port), timeout=HANGS_S) as sock:
        try:
            for part in parts:
                sock.sendall(part)
            sock.shutdown(socket.SHUT_WR)
        except TimeoutError:
            raise
        except OSError:  # it was closed meanwhile: what was answered before can still be read
            pass
        with suppress(ConnectionError):
            while chunk := sock.recv(65_536):
                got += chunk
    return [int(found) for found in _STATUS.findall(got)]


def judge(port: int, parts: Sequence[bytes]) -> tuple[str, list[int]]:
    """Return what is wrong with the answer to some bytes, "" = nothing, and the statuses."""
    try:
        found = statuses(port, parts)
        if (alive := statuses(port, [_LIVE])) != [200]:
            return f"afterwards /livez is answered with {alive}", found
    except OSError as error:
        return f"no end of the connection: {error!r}", []
    wrong = [status for status in found if status >= 500 and status not in _MAY_FAIL]
    return (f"answered with {wrong}" if wrong else ""), found


def fuzz(
    port: int, seconds: float, seed: int, failed: Callable[[bytes, str], None]
) -> Counter[str]:
    """Send changed requests for so long; count answers, and tell `failed` of wrong ones."""
    rng = random.Random(seed)
    known, counted = seeds(rng), Counter[str]()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        raw = changed(known, rng)
        cut = rng.randrange(len(raw) + 1) if rng.random() < 0.5 else 0
        wrong, found = judge(port, [part for part in (raw[:cut], raw[cut:]) if part])
        counted.update([f"{status // 100}xx" for status in found] or ["closed"])
        counted["sent"] += 1
        if wrong:
            counted["failed"] += 1
            failed(raw, wrong)
    return counted


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.fuzz.sockets", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--failures", type=Path, default=Path("fuzz-failures"))
    options = parser.parse_args(argv)

    def failed(raw: bytes, wrong: str) -> None:
        options.failures.mkdir(parents=True, exist_ok=True)
        path = options.failures / f"{hashlib.blake2b(raw, digest_size=8).hexdigest()}.http"
        path.write_bytes(raw)
        print(f"seed {options.seed}: {wrong}: {path}", file=sys.stderr)

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command, port = serve_command(build_wide(folder, 500), folder / "data")
        with Service("fuzzed", command, port, folder / "fuzzed.log"):
            counted = fuzz(port, options.seconds, options.seed, failed)
            lives = get(port, "/livez")[0] == 200
    report = {"seed": options.seed, "seconds": options.seconds, "alive": lives, **counted}
    print(json.dumps(report))
    return int(not lives or bool(counted["failed"]))


if __name__ == "__main__":
    sys.exit(main())
