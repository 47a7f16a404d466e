"""The training lock of a bundle: whether `recserve demo` trains a new generation of it.

The process that trains holds the lock, and other processes can see that it is held. The kernel
frees the lock when the last process that has it open ends, even if that process is killed. The lock
of the builders (`app.bundle.writer`) is another one: every short publication takes that as well.
"""

import fcntl
import time
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

_FILE = ".training"
_TRIES = 5
_PAUSE_S = 0.01


def try_training_lock(root: Path, sleep: Callable[[float], None] = time.sleep) -> BinaryIO | None:
    """Take the lock of the bundle `root` (`models/NAME`), or return None: another process has it.

    Closing the file that is returned frees the lock. A child process that inherits the open file
    has the lock too. `sleep` waits some seconds.

    Raises:
        OSError: the folder cannot be written.
    """
    file = _opened(root)
    for attempt in range(_TRIES):
        if attempt:
            sleep(_PAUSE_S)  # who only looks, in `is_training`, holds the lock for a moment
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return file
    file.close()
    return None


def wait_for_training_lock(root: Path) -> BinaryIO:
    """Take the lock as `try_training_lock` does, once no other process has it any more."""
    file = _opened(root)
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def is_training(root: Path) -> bool:
    """Tell whether a process holds the training lock of the bundle `root` (`models/NAME`)."""
    try:
        with (root / _FILE).open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # nobody has trained here yet, or the file is not for us to read
        return False
    return False


def _opened(root: Path) -> BinaryIO:
    root.mkdir(parents=True, exist_ok=True)
    return (root / _FILE).open("ab")
