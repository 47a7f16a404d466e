"""A new bundle is opened once in a process of its own before it may take over from another.

Checks of ours bound what our C and FAISS read, but a file may still end the process that parses it,
or want more memory than there is: FAISS, ONNX Runtime and the tokenizer are not ours. A service
that runs has something to lose. So a child process opens the new bundle first and answers a few
queries with it. If the child is killed, fails or takes too long, the bundle is refused, and the
service goes on. At a start there is no such child: nobody is served yet.

The child is spawned, not forked: this process has threads. It has a low priority, one thread, a
limit of memory and of time, and is the first that the system ends when memory runs out. It ends
with this process, because its standard input is then closed. Only one child of a machine opens a
generation at a time.

    python -m app.trial FOLDER BYTES SECONDS

is what the child runs, with the folder of a verified generation and its limits.
"""

import fcntl
import logging
import os
import resource
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from app.bundle.manifest import MANIFEST
from app.bundle.reader import Bundle, read_bundle
from app.core.errors import AppError, BundleError
from app.core.own_package import python_module
from app.loading import warm_up
from app.serving.stores.bundle_users import BundleUserStore

TRIAL: Final = python_module("app.trial")
"""What the child runs; the folder of the generation and two limits follow."""

_NICENESS: Final = 10
_REFUSED: Final = 3
_MOST_SAID: Final = 500
_WRITTEN_BYTES: Final = 16 << 20  # output, and at most a compiled kernel
_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TrialLimits:
    """What the child may use.

    Attributes:
        seconds: from its start to its end; of the processor it may use as many.
        base_bytes: of memory that is its own, besides mapped files.
        per_byte: so many more for each byte of the bundle.
    """

    seconds: float = 300.0
    base_bytes: int = 1 << 30
    per_byte: int = 4

    def of(self, bundle: Bundle) -> int:
        """Return how many bytes of its own memory may be used for a bundle."""
        size = sum(facts.bytes for facts in bundle.manifest.files.values())
        return self.base_bytes + self.per_byte * size


def open_in_child(
    bundle: Bundle, limits: TrialLimits | None = None, command: Sequence[str] | None = None
) -> None:
    """Open a verified bundle in a child process, and wait until it has answered. Blocking.

    Args:
        bundle: what to open.
        limits: of the child; None = the usual ones.
        command: what the child runs; None = `TRIAL`.

    Raises:
        BundleError: the child refused the bundle, was killed, took too long, or could not be
            started; the message says which.
    """
    limits = limits or TrialLimits()
    try:
        with (bundle.path / MANIFEST).open("rb") as manifest, _unnamed_file() as said:
            # Workers of a machine reload at the same time: one more copy is enough.
            fcntl.flock(manifest, fcntl.LOCK_EX)
            code = _run([*(command or TRIAL), str(bundle.path)], limits, limits.of(bundle), said)
            said.seek(0)
            message = said.read().decode(errors="replace").strip()
    except OSError as error:
        raise BundleError(f"the bundle cannot be tried: {error.strerror}") from error
    if code == 0:
        return
    if code == _REFUSED and message:
        raise BundleError(message.splitlines()[-1][:_MOST_SAID])
    _log.error("the process that tried the bundle said: %s", message[-_MOST_SAID:] or "nothing")
    raise BundleError(f"the process that tried the bundle {_end_of(code)}")


def _run(command: Sequence[str], limits: TrialLimits, memory: int, said: BinaryIO) -> int | None:
    """Return the exit code of the child, None if it took too long. Raises `OSError`."""
    child = subprocess.Popen(  # noqa: S603 - our own command
        [*command, str(memory), str(int(limits.seconds) + 1)],
        stdin=subprocess.PIPE,
        stdout=said,
        stderr=said,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        start_new_session=True,  # a Ctrl-C in the terminal reaches the service alone
    )
    try:
        return child.wait(limits.seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        child.kill()
        child.wait()
        if child.stdin is not None:
            child.stdin.close()


def _end_of(code: int | None) -> str:
    if code is None:
        return "took too long"
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"failed (exit code {code})"


def _unnamed_file() -> BinaryIO:
    """Return a file in memory: the disk may be read-only."""
    return os.fdopen(os.memfd_create("recserve-trial"), "w+b")


# ---- In the child --------------------------------------------------------------------------------


def main(folder: Path, memory: int, seconds: int) -> int:
    """Open a generation and rank some requests; return the exit code, and say why it is not 0."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _limit(memory, seconds)
    try:
        _open(folder)
    except AppError as error:
        print(error.message)  # noqa: T201 - the parent reads it
        return _REFUSED
    except Exception:  # noqa: BLE001 - any other error of a bundle means the same
        _log.exception("opening the bundle failed")
        print("the bundle cannot be loaded")  # noqa: T201
        return _REFUSED
    return 0


def _open(folder: Path) -> None:
    from app.engine.open import engine_of  # noqa: PLC0415 - within the limits

    bundle = read_bundle(folder)
    engine = engine_of(bundle, 1)
    BundleUserStore.open(bundle)
    warm_up(engine)


def _limit(memory: int, seconds: int) -> None:
    os.nice(_NICENESS)
    for kind, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_FSIZE, _WRITTEN_BYTES),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(kind)
        resource.setrlimit(
            kind, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard)
        )
    with suppress(OSError):  # not on Linux, or /proc is hidden
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def _end_with_parent() -> None:
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


if __name__ == "__main__":
    _code = main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(_code)  # nothing that libraries do at the end may count against the bundle
