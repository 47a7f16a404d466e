"""Passes of the engine run on the event loop."""

from collections.abc import Callable

from app.serving.batching.worker import WorkerThread


def seed() -> None:
    """Call at once what was given to a worker."""
    hand = WorkerThread.hand

    def at_once(self: WorkerThread, call: Callable[[], object], ended: Callable) -> None:
        try:
            outcome: object = call()
        except Exception as error:  # noqa: BLE001 - reported as the thread does
            outcome = error
        hand(self, lambda: outcome, ended)

    WorkerThread.hand = at_once
