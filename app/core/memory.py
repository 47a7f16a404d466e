"""Memory of a process that loads a bundle, and another, and another. Knows nothing of bundles.

What is freed shall go back to the system, and the garbage collector shall not stop the event loop.
"""

import ctypes
import gc
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ALLOCATIONS_PER_COLLECTION = 20_000
_ARENA_MAX = "MALLOC_ARENA_MAX"
_M_ARENA_MAX = -8  # the name that glibc has for it


def share_one_arena() -> None:
    """Let all threads of this process, and of those it spawns, share one heap of the C library.

    With a heap for each thread, what a bundle took stays resident in the one it was loaded from,
    and grows with every reload. Takes effect where no other thread has allocated yet; does nothing
    if the environment says otherwise, or without glibc.
    """
    if _ARENA_MAX in os.environ:
        return
    os.environ[_ARENA_MAX] = "1"
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Give back what was freed, and keep the collector away from what is there now.

    What was frozen before stays frozen: a collection over all of it stops the event loop for 50 ms.
    So what is to be freed later may be part of no reference cycle.
    """
    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


@contextmanager
def settled() -> Iterator[None]:
    """Keep the garbage collector away from what was loaded, and from running at every turn.

    Requests leave no cycles behind, so collecting seldom costs no memory.
    """
    thresholds = gc.get_threshold()
    settle()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
