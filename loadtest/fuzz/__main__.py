"""All fuzzing in a row: the OpenAPI document, raw sockets, and the parsers guided by coverage.

    python -m loadtest.fuzz [--examples 2000] [--seconds 600] [--seed 1]

The document is read by schemathesis, which draws so many requests for each operation and does all
its checks. Half of the seconds are for sockets, half for parsers. The exit code is 1 if anything
was found.
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from loadtest.fuzz import parsers, sockets
from loadtest.fuzz.document import check_document
from loadtest.runners.services import Service, get
from loadtest.runners.wide_shop import build_wide, serve_command


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz everything, print, and return the exit code."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.fuzz", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--examples", type=int, default=2000, help="of each operation (2000)")
    parser.add_argument("--seconds", type=float, default=600.0, help="of the rest (600)")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    rest = ["--seconds", str(options.seconds / 2), "--seed", str(options.seed)]
    found = sockets.main(rest) | parsers.main(rest)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command, port = serve_command(build_wide(folder, 500), folder / "data")
        with Service("checked", command, port, folder / "checked.log"):
            url = f"http://127.0.0.1:{port}"
            done = check_document(url, folder, options.examples, options.seed)
            found |= int(get(port, "/livez")[0] != 200)
    print(done.stdout[-4_000:])
    return found | int(done.returncode != 0)


if __name__ == "__main__":
    sys.exit(main())
