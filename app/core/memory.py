"""Memory of a process that loads one bundle after the other; this module knows no bundles.

Freed memory goes back to the system, and the garbage collector does not stop the event loop.
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

    With one heap for each thread, the memory of a bundle stays in the heap of the thread that
    loaded it, and grows with every reload. Call it before other threads allocate. It does nothing
    if the environment sets `MALLOC_ARENA_MAX`, or without glibc.
    """
    if _ARENA_MAX in os.environ:
        return
    os.environ[_ARENA_MAX] = "1"
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def settle() -> None:
    """Give freed memory back to the system, and exclude all present objects from collections.

    Objects that were excluded before stay so: a collection over all of them stops the event loop
    for 50 ms. So objects that are to be freed later must not be part of a reference cycle.
    """
    gc.collect()
    gc.freeze()
    with suppress(AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def put_off_collections() -> None:
    """Collect no garbage until `settled`: a start makes many objects, and hardly any garbage.

    That saves a twentieth of the start.
    """
    gc.disable()


@contextmanager
def settled() -> Iterator[None]:
    """Exclude what was loaded from garbage collections, and collect seldom, inside the block.

    Requests leave no reference cycles behind, so that seldom collecting costs no memory.
    """
    thresholds = gc.get_threshold()
    settle()
    gc.enable()
    gc.set_threshold(_ALLOCATIONS_PER_COLLECTION, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
