"""A plugin for pytest: our kernels are those of a library that sanitizers watch.

Started by `test_sanitized_kernels.py`: `pytest -p tests.failure.sanitized_kernels`, in a process of
its own into which the runtime of the sanitizers is preloaded. The environment names the library.
"""

import ctypes
import os

from app.engine.kernels import loader

LIBRARY = "SANITIZED_KERNELS"


def pytest_configure() -> None:
    """Replace the library before a kernel is imported, and with it the function that loads it."""
    path = os.environ[LIBRARY]
    loader.load_library = lambda: ctypes.CDLL(path)
