"""Runs wrk, a closed-loop load generator, against this machine, with request bodies of a file."""

import json
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Run:
    """The counts of wrk. `sent` minus `answered` requests were open at the end of the time.

    `pass_ms`: median of the service's own time for the model work; 0 without `stages`.
    """

    sent: int
    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int
    pass_ms: float = 0.0

    @property
    def per_second(self) -> float:
        """Return answers per second."""
        return self.answered / self.seconds


@dataclass
class Bodies:
    """Request bodies in a file, and their route.

    `fresh`: each may be sent only once; `used` counts the sent ones. Otherwise every run starts
    with the first body and repeats them in a cycle.
    """

    path: Path
    total: int
    route: str
    fresh: bool
    used: int = 0

    @classmethod
    def write(
        cls,
        path: Path,
        bodies: Iterable[Mapping[str, Any]],
        *,
        route: str = "/recommend",
        fresh: bool = False,
    ) -> "Bodies":
        """Write one body a line."""
        lines = [json.dumps(body) for body in bodies]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(path, len(lines), route, fresh)

    def take(self, n: int) -> list[bytes]:
        """Return the next `n` bodies and count them as used."""
        lines = self.path.read_bytes().splitlines()[self.used : self.used + n]
        self._use(n)
        return lines

    def _use(self, n: int) -> None:
        self.used += n
        if self.used > self.total:
            raise RuntimeError(f"the {self.total} queries ran out: pass a larger --queries")

    def run(self, port: int, *, connections: int, seconds: int, stages: bool = False) -> Run:
        """POST the bodies to 127.0.0.1 in a closed loop.

        Raises:
            RuntimeError: the bodies ran out, wrk failed, or an answer was an error.
        """
        command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s"]
        command += ["--timeout", "10s", "-s", str(_SCRIPT), f"http://127.0.0.1:{port}{self.route}"]
        command += ["--", str(self.path), str(self.used), *(["stages"] if stages else [])]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=seconds + 60, check=False
        )
        if done.returncode != 0:
            raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
        result = Run(**json.loads(done.stdout.strip().splitlines()[-1]))
        if result.errors or not result.answered:
            raise RuntimeError(
                f"{result.errors} errors, {result.answered} answers from port {port}"
            )
        if self.fresh:
            self._use(result.sent)
        return result


def require() -> None:
    """Exit with a message if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk (or brew install wrk)")
