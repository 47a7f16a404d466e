"""The threads of a build: a fixed number, so that the same files give the same bundle.

A sum over more threads is rounded elsewhere, and a bundle would differ from machine to machine. So
the number does not depend on the cores. What is learned side by side has one thread each.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import sched_getaffinity
from typing import Final, TypeVar

import torch
from threadpoolctl import threadpool_limits

BLAS_THREADS: Final = 2
"""Of the large products of numpy, such as those of *sequential_ridge*."""

ROUNDING_THREADS: Final = 2
"""Of torch, where texts go through a whole encoder to see how its weights may be rounded."""

T = TypeVar("T")


@contextmanager
def fixed_threads(of_torch: int = 1) -> Iterator[None]:
    """Compute with so many threads of torch and two of numpy's products.

    The products of torch are small in learning: on two busy cores a second thread made them ten
    times slower, as each waits for the other.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(of_torch)
    try:
        with threadpool_limits(BLAS_THREADS, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return the results of independent calls, in order, on as many threads as there are cores."""
    with ThreadPoolExecutor(len(sched_getaffinity(0))) as pool:
        return list(pool.map(_called, calls))


def _called(call: Callable[[], T]) -> T:
    torch.set_num_threads(1)  # some builds of torch keep the number for each thread
    return call()
