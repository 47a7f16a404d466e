"""Keeps answers for some hours: a bounded queue on the path, and a writer beside it.

An answer that is given costs one call, which appends references. A task writes what waits to the
store, many answers at a time; a thread makes their digests. What finds no room in the queue, or a
store that is down, is not kept and counted. Nothing here can fail an answer or delay it.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Final

from app.core.answer_port import AnswerStore, KeptAnswer
from app.core.caller import scoped
from app.core.errors import AppError
from app.core.telemetry import Metrics
from app.domain.request import RecommendRequest
from app.serving.kept_answers.packing import WaitingAnswer, pack

MOST_WAITING_BYTES: Final = 32 << 20
"""About a second of the highest rates; an answer of ten items has 3 KiB."""
WRITE_EVERY_S: Final = 0.1
_ANSWER_BYTES: Final = 2048
"""What an answer takes in the queue beside its tail: request and head."""
OTHERS_WRITE_S: Final = 4 * WRITE_EVERY_S
"""By then another process has written what it answered before."""
_MOST_A_WRITE: Final = 1000
_EXPIRE_EVERY_S: Final = 60.0

_log = logging.getLogger(__name__)


class AnswerKeeper:
    """Keeps the answers of one process. All methods belong to one event loop."""

    def __init__(  # noqa: PLR0913 - clocks and bounds are injected
        self,
        store: AnswerStore,
        metrics: Metrics,
        *,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
        write_every_s: float = WRITE_EVERY_S,
        most_waiting_bytes: int = MOST_WAITING_BYTES,
        patience_s: float = 0.0,
    ) -> None:
        """Keep answers in a store, which is closed with this.

        Args:
            store: where they are kept.
            metrics: where they are counted.
            now: unix seconds.
            clock: monotonic seconds.
            write_every_s: seconds between two writes.
            most_waiting_bytes: most bytes of answers that wait to be written.
            patience_s: how long a read waits for an answer that another process may write.
        """
        self._store, self._now, self._clock = store, now, clock
        self._write_every_s, self._most = write_every_s, most_waiting_bytes
        self._patience_s = patience_s
        self._waiting: deque[WaitingAnswer] = deque()
        self._bytes = 0
        self._kept, self._dropped, self._failed = (
            metrics.answers_kept.labels(result) for result in ("kept", "dropped", "failed")
        )
        metrics.answers_waiting.set_function(lambda: len(self._waiting))
        self._thread = ThreadPoolExecutor(1, "recserve-answers")
        self._turn = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._writer: asyncio.Task[None] | None = None
        self._down = False

    def __repr__(self) -> str:
        return f"<AnswerKeeper {self._store!r} waiting={len(self._waiting)}>"

    def start(self) -> None:
        """Write from now on, in a task."""
        self._writer = asyncio.create_task(self._write_often(), name="recserve-answers")

    def note(
        self, answer_id: str, ask: RecommendRequest, namespace: str, head: bytes, tail: bytes
    ) -> None:
        """Keep an answer that is given now; it is written later. Cheap: every answer pays it.

        `namespace`: of the caller, who alone may read it.
        """
        if not ask.personalize:
            return
        size = self._bytes + len(tail) + _ANSWER_BYTES
        if size > self._most:
            self._dropped.inc()
            return
        self._bytes = size
        self._waiting.append(WaitingAnswer(answer_id, self._now(), ask, namespace, head, tail))

    async def read(self, answer_id: str, namespace: str) -> KeptAnswer | None:
        """Return an answer as it was given; None if it is not kept, or not any more.

        `namespace`: of the one who asks; answers to other namespaces are unknown there.

        Raises:
            StoreError: the store cannot be read.
        """
        name = scoped(namespace, answer_id)
        found = await self._store.read(name, self._now())
        if found is None:
            await self.flush()
            found = await self._store.read(name, self._now())
        if found is None and self._patience_s:
            await asyncio.sleep(self._patience_s)
            found = await self._store.read(name, self._now())
        return found

    async def erase(self, users: Collection[str]) -> int:
        """Erase the answers of some users, here and in every process; return how many those were.

        Raises:
            StoreError, OverloadedError: the store cannot do it now.
        """
        erased = await self._store.erase(users, self._now())
        # Those that are being written at this moment are left out by the store.
        gone = [each for each in self._waiting if each.user in users]
        self._waiting = deque(each for each in self._waiting if each.user not in users)
        self._bytes -= sum(map(_size, gone))
        return erased + len(gone)

    async def flush(self) -> None:
        """Write what waits now; return once it is written, and what was under way."""
        async with self._turn:
            for _ in range(-(-len(self._waiting) // _MOST_A_WRITE)):
                await self._write()

    async def aclose(self) -> None:
        """Write what waits, and close the store. Idempotent."""
        self._stopping.set()
        if self._writer is not None:
            await self._writer
        await self.flush()
        self._thread.shutdown()
        await self._store.aclose()

    async def _write_often(self) -> None:
        expired_at = self._clock()
        while not self._stopping.is_set():
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._write_every_s)
            await self.flush()
            if self._clock() - expired_at >= _EXPIRE_EVERY_S:
                expired_at = self._clock()
                async with self._turn:
                    await self._write()  # of nothing, maybe: the store drops what is too old

    async def _write(self) -> None:
        batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), _MOST_A_WRITE))]
        try:
            packed = await asyncio.get_running_loop().run_in_executor(self._thread, pack, batch)
            self._kept.inc(await self._store.put(*packed, self._now()))
        except AppError as error:
            self._failed.inc(len(batch))
            self._say(error)
        except Exception:  # noqa: BLE001 - the next ones must be written
            self._failed.inc(len(batch))
            _log.exception("%d answers could not be kept", len(batch))
        else:
            self._say(None)
        finally:
            self._bytes -= sum(map(_size, batch))

    def _say(self, error: AppError | None) -> None:
        """Log the first failure, and the first success after it."""
        if error is not None and not self._down:
            _log.warning("answers are not kept: %s", error.message)
        elif error is None and self._down:
            _log.warning("answers are kept again")
        self._down = error is not None


def _size(answer: WaitingAnswer) -> int:
    return len(answer.tail) + _ANSWER_BYTES
