"""One run of wrk against one address of this machine, and the texts it sends."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_SCRIPT = Path(__file__).with_name("wrk.lua")


@dataclass(frozen=True)
class Run:
    """What wrk counted. `sent` exceeds `answered` by what was under way when the time was up."""

    sent: int
    answered: int
    seconds: float
    p50_ms: float
    p99_ms: float
    errors: int

    @property
    def per_second(self) -> float:
        """Return answers per second."""
        return self.answered / self.seconds


@dataclass
class Bodies:
    """Request bodies in a file, each to be sent once; `used` counts those that were."""

    path: Path
    total: int
    used: int = 0

    @classmethod
    def write(cls, path: Path, queries: Iterable[str], k: int = 10) -> "Bodies":
        """Write one `POST /recommend` body per query."""
        lines = [json.dumps({"query": query, "k": k}) for query in queries]
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return cls(path, len(lines))


def require() -> None:
    """Leave with a clear word if wrk is not installed."""
    if shutil.which("wrk") is None:
        raise SystemExit("wrk is missing: apt-get install wrk (or brew install wrk)")


def run(  # noqa: PLR0913 - all but two have names
    port: int,
    bodies: Bodies,
    *,
    connections: int,
    seconds: int,
    fresh: bool = True,
    route: str = "/recommend",
) -> Run:
    """Send bodies to a route of 127.0.0.1 by POST, as fast as they are answered.

    `fresh`: each body once, going on where the last run stopped; otherwise from the start, again
    and again.

    Raises:
        RuntimeError: the bodies ran out, wrk failed, or an answer was an error.
    """
    first = bodies.used if fresh else 0
    command = ["wrk", "-t", "1", "-c", str(connections), "-d", f"{seconds}s", "--timeout", "10s"]
    command += ["-s", str(_SCRIPT), f"http://127.0.0.1:{port}{route}"]
    command += ["--", str(bodies.path), str(first)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=seconds + 60, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"wrk failed: {done.stderr.strip() or done.stdout.strip()}")
    result = Run(**json.loads(done.stdout.strip().splitlines()[-1]))
    if result.errors or not result.answered:
        raise RuntimeError(f"{result.errors} errors, {result.answered} answers from port {port}")
    if fresh:
        bodies.used += result.sent
        if bodies.used > bodies.total:
            raise RuntimeError(f"the {bodies.total} queries ran out: pass a larger --queries")
    return result
