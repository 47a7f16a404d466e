"""`make load`: 20 s of locust, then the throughput-latency curve as a picture (`load-curve.svg`).

    python -m loadtest.scenarios.load [--host URL] [--seconds 20] [--users 32]

If no service answers, it starts the demo and stops it at the end. The exit status is 1 if a request
failed.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

from loadtest.runners import services
from loadtest.scenarios import curve

_LOCAL = ("127.0.0.1", "localhost")


def main(argv: Sequence[str] | None = None) -> int:
    """Run locust, and start a service before if none answers."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.load", description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8000", help="of a service")
    parser.add_argument("--seconds", type=int, default=20, help="of load (default: 20)")
    parser.add_argument("--users", type=int, default=32, help="at once (default: 32)")
    parser.add_argument(
        "--curve", type=Path, default=services.ROOT / "load-curve.svg", help="where to draw it"
    )
    options = parser.parse_args(argv)
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        where = urlsplit(options.host)
        port = where.port or 80
        if where.hostname in _LOCAL and services.get(port, "/readyz")[0] == 0:
            print(f"no service answers on {options.host}: starting the demo there", flush=True)
            stack.enter_context(services.recserve(Path(folder) / "recserve.log", port))
        status = _locust(options)
        if status == 0:
            curve.main(["--host", options.host, "--out", str(options.curve)])
        return status


def _locust(options: argparse.Namespace) -> int:
    """Run locust without its web page; return 1 if a request failed."""
    command = [sys.executable, "-m", "locust", "-f", "loadtest/locustfile.py", "--headless"]
    command += ["--only-summary", "--host", options.host, "--run-time", f"{options.seconds}s"]
    command += ["--users", str(options.users), "--spawn-rate", str(options.users)]
    return subprocess.run(command, cwd=services.ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
