"""A process that appends to a journal until it is killed, and says what was acknowledged.

Started by `test_journal_killed.py` with a file and a name: for each append that returned it writes
which one it was, and the first number it got.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from app.serving.stores.sqlite_journal import SqliteJournal

SIZE = 3


async def main(path: Path, name: str) -> None:
    journal = SqliteJournal(path, "films")
    for n in count():
        changes = [(f"{name}-{n}-{place}", {"n": n, "place": place}) for place in range(SIZE)]
        given = await journal.append(changes)
        sys.stdout.write(f"{n} {given[0].seq}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), sys.argv[2]))
