"""Which files and functions of `app/` one uncached query enters, and how often they return.

    python -m loadtest.scenarios.trip --bundle models/demo

It starts the service in this process, with its real server and connection, and sends queries over a
socket. The first ones warm it up. Every query is new, so no cache answers it. A profiler in every
thread counts the returns of functions in `app/`; a coroutine also returns when it waits. Of all
recorded queries it shows the one with the fewest returns, because work in the background can only
add some. Prints a table; `--json` writes it as a document.

Returns grow with `k`, with the number of words and with every loop; the number of different
functions tells more about how far a reader has to go.
"""

import argparse
import json
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import uvicorn

from app.api.fast_path import FastPathProtocol
from loadtest.runners import machine
from loadtest.runners.client import Client
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import ROOT, free_port, get

_WARM_UP = 30
_QUIET_S = 0.02
_START_S = 120.0
_SHOWN_FUNCTIONS = 40


@dataclass
class Recorder:
    """A profiler that counts returns of functions in a folder, by (file, function).

    It must be set in each thread before that thread starts its work.
    """

    folder: str
    active: bool = False
    returns: Counter[tuple[str, str]] = field(default_factory=Counter)

    def profile(self, frame: FrameType, event: str, _arg: object) -> None:
        """Count a return. Implements the function of `sys.setprofile`."""
        if event != "return" or not self.active:
            return
        code = frame.f_code
        if code.co_filename.startswith(self.folder):
            self.returns[code.co_filename[len(self.folder) :], code.co_qualname] += 1

    def record(self, port: int, body: Mapping[str, Any]) -> Counter[tuple[str, str]] | None:
        """Send one request and return what it entered, also after its answer was sent.

        Returns None if the answer is degraded, as on a busy machine: its trip is another one.

        Raises:
            RuntimeError: the answer is an error, or comes from a cache.
        """
        self.returns = Counter()
        client = Client(port)
        get(port, "/livez")
        self.active = True
        status, answer = client.call("POST", "/recommend", body)
        seen = -1
        while seen != (seen := self.returns.total()):
            time.sleep(_QUIET_S)
        self.active = False
        client.close()
        if status != 200 or answer["cache"] != "miss":
            raise RuntimeError(f"no uncached answer: {status} {answer}")
        return None if answer["degraded"] else self.returns


def trips(bundle: Path, bodies: Sequence[Mapping[str, Any]]) -> list[Counter[tuple[str, str]]]:
    """Serve the bundle in this process and record each request, after a warm-up with others."""
    recorder = Recorder(f"{ROOT / 'app'}{os.sep}")
    with tempfile.TemporaryDirectory(prefix="recserve-trip-") as data:
        port = free_port()
        os.environ |= {"RECSERVE_BUNDLE": str(bundle), "RECSERVE_DATA_DIR": data}
        server = uvicorn.Server(
            uvicorn.Config(
                "app.server_process:application",
                factory=True,
                port=port,
                http=FastPathProtocol,
                loop="uvloop",
                access_log=False,
                log_config=None,
            )
        )
        threading.setprofile(recorder.profile)
        thread = threading.Thread(target=server.run, name="server")
        thread.start()
        try:
            _wait_until_ready(port, thread)
            recorded = [recorder.record(port, body) for body in bodies][_WARM_UP:]
            return [trip for trip in recorded if trip is not None]
        finally:
            server.should_exit = True
            thread.join()
            threading.setprofile(None)


def _wait_until_ready(port: int, thread: threading.Thread) -> None:
    deadline = time.monotonic() + _START_S
    while get(port, "/readyz")[0] != 200:
        if not thread.is_alive() or time.monotonic() > deadline:
            raise RuntimeError("the service did not get ready")
        time.sleep(0.05)


def document(trip: Counter[tuple[str, str]]) -> dict[str, Any]:
    """Return the totals of one trip, its files with their lines and returns, and its functions."""
    by_file: Counter[str] = Counter()
    for (file, _), n in trip.items():
        by_file[file] += n
    lines = {file: _lines(file) for file in sorted(by_file)}
    return {
        "files": len(by_file),
        "functions": len(trip),
        "returns": trip.total(),
        "longest_file_lines": max(lines.values()),
        "by_file": {file: {"lines": lines[file], "returns": by_file[file]} for file in lines},
        "by_function": {f"{file}:{name}": n for (file, name), n in trip.most_common()},
    }


def _lines(file: str) -> int:
    return len((ROOT / "app" / file).read_text(encoding="utf-8").splitlines())


def table(trip: Mapping[str, Any]) -> str:
    """Return the document as lines of text; of the functions only those with most returns."""
    rows = [
        f"{trip['files']} files of app/, {trip['functions']} functions, "
        f"{trip['returns']} returns; the longest file has {trip['longest_file_lines']} lines",
        "",
        "returns  lines  file",
        *(f"{row['returns']:7} {row['lines']:6}  {file}" for file, row in trip["by_file"].items()),
        "",
        "returns  function",
        *(f"{n:7}  {name}" for name, n in [*trip["by_function"].items()][:_SHOWN_FUNCTIONS]),
    ]
    return "\n".join(rows)


def main(argv: Sequence[str] | None = None) -> None:
    """Record, print the table, write the document."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.trip", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo")
    parser.add_argument("--queries", type=int, default=30, help="recorded (default: 30)")
    parser.add_argument("--user", help="id of a user to send with every query")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the document here")
    options = parser.parse_args(argv)
    texts = unique_queries(_WARM_UP + options.queries, 11, demo_titles())
    who = {"user_id": options.user} if options.user else {}
    recorded = trips(options.bundle.absolute(), [{"query": text, **who} for text in texts])
    if not recorded:
        raise SystemExit("every answer was degraded: the machine is too busy")
    shortest = document(min(recorded, key=Counter.total))
    print(table(shortest))
    if options.json:
        head = {"command": "python -m loadtest.scenarios.trip", "commit": machine.commit()}
        options.json.write_text(json.dumps(head | shortest, indent=2) + "\n")


if __name__ == "__main__":
    sys.exit(main())
