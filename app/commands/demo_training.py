"""A child process that trains the demo beside the service: how it is started, and what it does.

The child has a low priority, so that the service keeps the cores it wants. It ends when its
standard input is closed: on Ctrl-C, on SIGTERM, and when the service is killed. A training that is
stopped or fails publishes nothing. The next `recserve demo` begins it again.
"""

import logging
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Final

from app.core.logs import configure_logging
from app.core.own_package import python_module

TRAIN: Final = python_module("app.commands.demo_training")
"""The command that trains the demo; the path of the bundle follows."""

_NICENESS: Final = 10
_STDIN: Final = 0
_PATIENCE_S: Final = 5.0
_log = logging.getLogger(__name__)


@contextmanager
def train_beside(root: Path, lock: BinaryIO, command: Sequence[str] = TRAIN) -> Iterator[None]:
    """Train the bundle `root` (`models/NAME`) in a child process; stop it at the end of the block.

    A failure is logged in one line and changes nothing else.

    Args:
        root: the bundle, passed to the child.
        lock: the training lock, which the child holds from here on.
        command: what the child runs.
    """
    child = subprocess.Popen(  # noqa: S603 - our own command
        [*command, str(root)],
        stdin=subprocess.PIPE,
        pass_fds=(lock.fileno(),),
        # No bars between the log lines of the service.
        env=os.environ | {"TQDM_DISABLE": "1"},
        # A Ctrl-C in the terminal reaches the service alone, which then stops the child.
        start_new_session=True,
    )
    lock.close()
    stopping = threading.Event()
    report = threading.Thread(
        target=_report, args=(child, stopping), name="recserve-training", daemon=True
    )
    report.start()
    try:
        yield
    finally:
        stopping.set()
        _stop(child)
        report.join()


def _report(child: "subprocess.Popen[bytes]", stopping: threading.Event) -> None:
    code = child.wait()
    if code and not stopping.is_set():
        _log.error("training the demo failed (exit code %d): the untrained demo stays", code)


def _stop(child: "subprocess.Popen[bytes]") -> None:
    if child.stdin is not None:
        child.stdin.close()
    try:
        child.wait(_PATIENCE_S)
    except subprocess.TimeoutExpired:
        # Inside a long call of a library. What it has written is removed by the next builder.
        child.kill()
        child.wait()


def main(arguments: Sequence[str], train: Callable[[Path], object] | None = None) -> int:
    """Train the bundle that the only argument names; return the exit code.

    `train` trains a bundle and returns a report; None = `app.offline.demo.train_demo`.
    """
    os.nice(_NICENESS)
    configure_logging("info")
    # Where the service runs in the background of a script, the signal is ignored by default.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    threading.Thread(target=_stop_with_parent, name="recserve-parent", daemon=True).start()
    try:
        # Here, not above: training takes torch, and the service imports this module.
        from app.offline.demo import train_demo  # noqa: PLC0415

        report = (train or train_demo)(Path(arguments[0]))
    except KeyboardInterrupt:
        return 130
    except Exception as error:  # noqa: BLE001 - one line in the log of the service
        _log.error("training failed", exc_info=error)
        return 1
    _log.info("trained: %s", str(report).splitlines()[0])
    return 0


def _stop_with_parent() -> None:
    """Interrupt the main thread once the process that started this one closes the pipe, or ends."""
    # Not `sys.stdin`: at exit the interpreter cannot close it while a thread reads.
    while os.read(_STDIN, 1):
        pass
    main_thread = threading.main_thread().ident
    if main_thread is not None:
        signal.pthread_kill(main_thread, signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
