"""The baseline SASRec (RecTools): trained in a process and an environment of its own.

It gives lists, not scores of all items, so it is not a `Baseline`; its lists are measured in the
same way. Its code is in `loadtest/peers/sasrec` of the repository, not in the package.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import orjson

from app.core.types import Rows
from app.evaluation.answers import Answers, lists_of
from app.evaluation.baselines.base import TrainingData, UnavailableError

FOLDER = Path(__file__).resolve().parents[3] / "loadtest" / "peers" / "sasrec"
_TAIL_CHARS = 400


def ask_sasrec(
    train: TrainingData, histories: Sequence[Rows], targets: Rows, options: Sequence[str] = ()
) -> Answers:
    """Train the peer and return its answers.

    Args:
        train: what it may learn from.
        histories: n arrays of rows, oldest first.
        targets: int64[n], rows of the targets.
        options: further arguments of its `train.py`.

    Raises:
        UnavailableError: this is not a checkout, its environment cannot be made, or it failed.
    """
    if not (FOLDER / "train.py").is_file():
        raise UnavailableError("needs a checkout of recserve: loadtest/peers/sasrec is not here")
    python = environment()
    with tempfile.TemporaryDirectory(prefix="recserve-sasrec-") as work:
        folder = Path(work)
        out = folder / "lists.jsonl"
        command = [str(python), str(FOLDER / "train.py"), "--seed", str(train.seed)]
        command += ["--sequences", str(_write(folder / "train.txt", train.sequences))]
        command += ["--histories", str(_write(folder / "asked.txt", histories))]
        _run([*command, "--out", str(out), *options])
        lines = [orjson.loads(line) for line in out.read_bytes().splitlines()]
    rows = [np.array(line["items"], dtype=np.int64) for line in lines]
    scores = [np.array(line["scores"], dtype=np.float64) for line in lines]
    return lists_of(rows, scores, targets)


def environment() -> Path:
    """Return the interpreter of the peer's environment; it is made again if its lock changed."""
    lock, stamp = FOLDER / "requirements.lock", FOLDER / ".venv" / ".installed"
    python = FOLDER / ".venv" / "bin" / "python"
    if not ready():
        _run([sys.executable, "-m", "venv", "--clear", str(FOLDER / ".venv")])
        _run([str(python), "-m", "pip", "install", "--quiet", "--requirement", str(lock)])
        stamp.write_bytes(lock.read_bytes())
    return python


def ready() -> bool:
    """Return whether the peer's environment exists and matches its lock."""
    lock, stamp = FOLDER / "requirements.lock", FOLDER / ".venv" / ".installed"
    return stamp.is_file() and stamp.read_bytes() == lock.read_bytes()


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=None, check=False)  # noqa: S603
    if done.returncode:
        output = done.stdout.decode(errors="replace").strip()[-_TAIL_CHARS:]
        raise UnavailableError(f"the peer failed with status {done.returncode} {output}".strip())


def _write(path: Path, histories: Iterable[Rows]) -> Path:
    with path.open("w", encoding="utf-8") as file:
        for user, items in enumerate(histories):
            file.write(" ".join([str(user), *map(str, items.tolist())]) + "\n")
    return path
