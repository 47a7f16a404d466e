"""`kill -9` of processes that append to one journal: what was acknowledged is there, whole."""

import subprocess
import sys
from pathlib import Path

import pytest

from app.serving.stores.sqlite_journal import SqliteJournal
from tests.failure.killed_journal import SIZE

pytestmark = pytest.mark.process

LINES = 20
PIPE = subprocess.PIPE


def writer(path: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.failure.killed_journal", str(path), name]
    return subprocess.Popen(command, stdout=PIPE, text=True)


def killed(writers: list[subprocess.Popen[str]]) -> list[list[str]]:
    """Kill all once each has acknowledged enough; return the lines that each wrote."""
    first = [[process.stdout.readline() for _ in range(LINES)] for process in writers]
    for process in writers:
        process.kill()
    # A last line may have been cut off in the middle: it was not acknowledged.
    rest = [process.communicate()[0].splitlines(keepends=True) for process in writers]
    return [
        [line for line in (*head, *tail) if line.endswith("\n")]
        for head, tail in zip(first, rest, strict=True)
    ]


async def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    path = tmp_path / "store.sqlite"
    acknowledged: dict[str, int] = {}
    for pair in (["a", "b"], ["c", "d"]):
        lines = killed([writer(path, name) for name in pair])
        for name, said in zip(pair, lines, strict=True):
            acknowledged |= {f"{name}-{n}": int(seq) for n, seq in map(str.split, said)}
    journal = SqliteJournal(path, "films")
    kept = await journal.after(0, 1_000_000)
    await journal.aclose()

    seqs = {change.item: change.seq for change in kept}
    for append, first in acknowledged.items():
        numbers = [seqs[f"{append}-{place}"] for place in range(SIZE)]
        assert numbers == list(range(first, first + SIZE))
    # The last append of each may be there without having been acknowledged, but then whole.
    assert len(kept) % SIZE == 0
    assert len(acknowledged) <= len(kept) // SIZE <= len(acknowledged) + 4
    assert [change.seq for change in kept] == list(range(1, len(kept) + 1))
    assert len(acknowledged) >= 4 * LINES
