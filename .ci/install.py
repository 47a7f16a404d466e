"""Installs a checkout of recserve and a lock of locks/ into .venv, and shows how far that is.

    python3.11 .ci/install.py train

It takes the standard library alone, as it runs before anything is installed. pip compares every
file with the hashes of the lock. Only torch has none, because its files differ from index to index
(locks/README.md): its version is that of constraints.txt. On a terminal one line tells what pip
does; elsewhere there is a line every ten seconds. What pip printed is shown only if it fails.
"""

import re
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_COLLECTED = re.compile(r"Collecting ([\w.\[\]-]+)")
_DOWNLOAD = re.compile(r"\s*Downloading (?:\S*/)?([\w.]+)-\S+ \(([\d.]+ [kMG]B)\)")
_INSTALLED = re.compile(r"Installing collected packages: (.+)")


class Progress:
    """What pip is doing, made from the lines that it prints.

    Attributes:
        doing: in a few words.
        packages: how many packages it has found so far.
    """

    def __init__(self) -> None:
        self.doing = "preparing"
        self.packages = 0

    def read(self, line: str) -> None:
        """Take in a line of pip."""
        if match := _COLLECTED.match(line):
            self.packages += 1
            self.doing = f"{self.packages} packages found, now {match[1]}"
        elif match := _DOWNLOAD.match(line):
            self.doing = f"{self.packages} packages found, downloading {match[1]} ({match[2]})"
        elif match := _INSTALLED.match(line):
            self.packages = match[1].count(",") + 1
            self.doing = f"installing {self.packages} packages"


def steps(lock: str) -> list[list[str]]:
    """Return the arguments of `pip install`, one run after the other, for the name of a lock."""
    return [
        ["--no-deps", "--require-hashes", "--requirement", f"locks/{lock}.txt"],
        ["--constraint", "constraints.txt", "torch"],
        # With the build backend of the lock: pip would fetch another one into a folder of its own.
        ["--no-deps", "--no-build-isolation", "--editable", "."],
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Make .venv if it is missing, and install into it; return the exit status of pip."""
    (lock,) = sys.argv[1:] if argv is None else argv
    start = time.monotonic()
    python = ROOT / ".venv" / "bin" / "python"
    if not python.exists():
        print(f"Making .venv with Python {sys.version.split()[0]}", flush=True)
        subprocess.run([sys.executable, "-m", "venv", str(ROOT / ".venv")], check=True)
    print("Installing the packages into .venv: a minute or two", flush=True)
    # Python compiles what is imported; to compile all of it takes longer than that saves.
    pip = [str(python), "-m", "pip", "install", "--disable-pip-version-check"]
    installed = 0
    for step in steps(lock):
        progress, last = Progress(), deque[str](maxlen=30)
        code = _run([*pip, "--no-compile", "--progress-bar", "off", *step], progress, last, start)
        if code:
            print("".join(last), f"pip failed with exit status {code}", sep="", file=sys.stderr)
            return code
        installed += progress.packages
    print(f"Installed {installed} packages: {time.monotonic() - start:.0f} s")
    return 0


def _run(command: Sequence[str], progress: Progress, last: deque[str], start: float) -> int:
    """Run pip, show what it does, keep its last lines, and return its exit status."""
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    done = threading.Event()
    shown = threading.Thread(target=_show, args=(progress, done, start), daemon=True)
    shown.start()
    _follow(process.stdout or (), progress, last)
    code = process.wait()
    done.set()
    shown.join()
    return code


def _follow(lines: Iterable[str], progress: Progress, last: deque[str]) -> None:
    for line in lines:
        progress.read(line)
        last.append(line)


def _show(progress: Progress, done: threading.Event, start: float) -> None:
    """Show what pip does until `done`."""
    terminal = sys.stdout.isatty()
    before, after = ("\r\x1b[K", "") if terminal else ("", "\n")
    while not done.wait(0.5 if terminal else 10):
        text = f"  {time.monotonic() - start:3.0f} s: {progress.doing}"
        print(f"{before}{text[:78]}", end=after, flush=True)
    if terminal:
        print("\r\x1b[K", end="", flush=True)


if __name__ == "__main__":
    sys.exit(main())
