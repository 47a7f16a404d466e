"""The GPU: whether it is there, and a lock that gives it to one piece of work at a time.

Torch is imported only where the settings ask for a GPU. A server on CPU needs no torch.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from app.core.errors import DeviceError, EngineError
from app.core.types import Device

_NEXT: Final = threading.Lock()
_TURN: Final = threading.Lock()


@contextmanager
def turn() -> Iterator[None]:
    """Hold the device, in competition with all engines of this process.

    Buffers and graphs serve one thread at a time, and while a graph is recorded nothing else may
    allocate. Take it for one piece of work at a time. The two locks make it fair: a thread that
    releases the device and wants it again waits behind one that was waiting. With a plain lock, the
    loading of a bundle would get the device again and again while queries wait.

    Raises:
        EngineError: the device failed, or has no room.
    """
    with _NEXT:
        _TURN.acquire()
    try:
        yield
    except RuntimeError as error:  # what torch raises
        raise EngineError(f"the device failed ({type(error).__name__})") from error
    finally:
        _TURN.release()


def require(device: Device) -> None:
    """Make sure that a device can be used. Raises `DeviceError`, which says what is missing."""
    if device == "cpu":
        return
    try:
        import torch  # noqa: PLC0415 - see above
    except ImportError as error:
        raise DeviceError("device cuda: torch is not installed (the extra `gpu`)") from error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what torch would warn of is said below
        if torch.cuda.is_available():
            return
    if torch.version.cuda is None:
        raise DeviceError("device cuda: the torch that is installed was built without CUDA")
    raise DeviceError("device cuda: torch finds no GPU, or no driver for it")


def name_of(device: Device) -> str:
    """Return the name of the GPU; "" where none is used."""
    if device == "cpu":
        return ""
    import torch  # noqa: PLC0415 - see above

    return str(torch.cuda.get_device_name())
