"""The child process that trains beside the service: stopped with it, and its failure is logged."""

import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from app.bundle.training_lock import is_training, try_training_lock, wait_for_training_lock
from app.commands.demo_training import train_beside

pytestmark = pytest.mark.process


def python(code: str) -> list[str]:
    return [sys.executable, "-c", code]


def hold(root: Path):
    lock = try_training_lock(root)
    assert lock is not None
    return lock


def fifo(folder: Path) -> Path:
    os.mkfifo(folder / "fifo")
    return folder / "fifo"


def test_the_child_holds_the_lock_and_ends_with_the_block(tmp_path: Path) -> None:
    with train_beside(tmp_path, hold(tmp_path), python("import sys; sys.stdin.read()")):
        assert is_training(tmp_path)
    assert not is_training(tmp_path)


class Records(logging.Handler):
    """Keeps what is logged, and sets an event at the first record."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: list[str] = []
        self.some = threading.Event()

    def emit(self, record: logging.LogRecord) -> None:
        self.messages.append(record.getMessage())
        self.some.set()


@pytest.fixture
def records():
    handler, logger = Records(), logging.getLogger("app.commands.demo_training")
    logger.addHandler(handler)
    yield handler
    logger.removeHandler(handler)


def test_a_failure_is_logged_in_one_line_and_the_block_goes_on(
    tmp_path: Path, records: Records
) -> None:
    with train_beside(tmp_path, hold(tmp_path), python("raise SystemExit(3)")):
        assert records.some.wait(30)
        assert not is_training(tmp_path)
    assert records.messages == ["training the demo failed (exit code 3): the untrained demo stays"]


def test_a_child_that_is_stopped_has_not_failed(tmp_path: Path, records: Records) -> None:
    with train_beside(
        tmp_path, hold(tmp_path), python("import sys; sys.exit(sys.stdin.read() or 9)")
    ):
        pass
    assert records.messages == []


TRAINER = """
import os, sys, threading
from pathlib import Path
from app.bundle.writer import write_bundle
from app.commands.demo_training import main

def fill(folder):
    (folder / "half").write_text("of a bundle")
    Path(sys.argv[1]).write_text(f"{os.nice(0)} {os.environ['TQDM_DISABLE']}")
    threading.Event().wait()

sys.exit(main(sys.argv[2:], lambda root: write_bundle(root, fill)))
"""


def test_a_training_that_is_stopped_publishes_nothing(tmp_path: Path) -> None:
    began, root = fifo(tmp_path), tmp_path / "demo"
    root.mkdir()
    with train_beside(root, hold(root), [*python(TRAINER), str(began)]):
        niceness, bars_off = began.read_text().split()  # once it is inside the build

    assert (int(niceness), bars_off) == (min(19, os.nice(0) + 10), "1")
    assert {path.name for path in root.iterdir()} == {".lock", ".training"}


PARENT = f"""
import sys
from pathlib import Path
from app.bundle.training_lock import try_training_lock
from app.commands.demo_training import train_beside

root, began = Path(sys.argv[1]), sys.argv[2]
with train_beside(root, try_training_lock(root), [sys.executable, "-c", {TRAINER!r}, began]):
    sys.stdin.read()
"""


def test_the_child_ends_when_the_service_is_killed(tmp_path: Path) -> None:
    began, root = fifo(tmp_path), tmp_path / "demo"
    root.mkdir()
    parent = subprocess.Popen([*python(PARENT), str(root), str(began)], stdin=subprocess.PIPE)
    assert began.read_text()
    parent.send_signal(signal.SIGKILL)
    parent.communicate()

    with wait_for_training_lock(root):  # until the child has ended
        assert {path.name for path in root.iterdir()} == {".lock", ".training"}


def test_an_error_in_the_child_is_one_line(tmp_path: Path) -> None:
    code = (
        "import sys; from app.commands.demo_training import main; "
        "sys.exit(main(['x'], lambda root: 1 / 0))"
    )
    stdin, open_end = os.pipe()  # closed, it would stop the child
    done = subprocess.run(python(code), stdin=stdin, capture_output=True, text=True, check=False)
    os.close(stdin)
    os.close(open_end)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "training failed" in done.stderr
    assert "ZeroDivisionError" in done.stderr
