"""A driver that runs a builder and kills it at the n-th step on the file system.

Started by `test_build_killed.py`. For each line "n root" on its input it forks a builder, and
answers "killed", or "done" if the build has fewer steps. Steps are seen by an audit hook of the
interpreter, so that the code under test knows nothing of it.
"""

import os
import signal
import sys
from pathlib import Path

from app.offline.build import build
from app.offline.input.recipe import Recipe
from tests.bundles import fake_encoder

CHANGES = {"os.mkdir", "os.rename", "os.symlink", "os.remove", "os.rmdir", "fcntl.flock"}


def kill_at(step: int, root: str) -> None:
    """Let this process die, as by `kill -9`, right before its n-th step below `root`."""
    left = step

    def watch(event: str, args: tuple[object, ...]) -> None:
        nonlocal left
        opened = event == "open" and str(args[0]).startswith(root)
        if opened or event in CHANGES:
            left -= 1
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)


def main(items: Path, events: Path) -> None:
    for line in sys.stdin:
        step, root = line.split()
        child = os.fork()
        if child == 0:
            kill_at(int(step), root)
            build(items, events, Recipe(), Path(root), fake_encoder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        outcome = "killed" if os.WIFSIGNALED(status) else "done" if status == 0 else "failed"
        sys.stdout.write(f"{outcome}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
