"""Rounded weights in the user's cache folder, kept for the next build.

A name holds the key, a hash of all that decides the content, and the checksum of the content: so a
file that is stale, cut short or damaged is never taken. Whatever goes wrong with the folder costs
the time to make the content again, and nothing else. This module knows files; not what decides
their content, nor how it is made (`app.offline.kernel_file`).
"""

import hashlib
import logging
import os
import secrets
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

from app.engine.native import cache_folder

KEEP: Final = 4
"""So many files stay, those used last."""

LEAST_BYTES: Final = 1 << 20
"""Less is not kept: it is made in a moment, and many such, as tests make, would push out others."""

_PREFIX: Final = "rounded-"
"""What starts so is ours, also what a killed build left half written."""

_log = logging.getLogger(__name__)


def kept(key: str, make: Callable[[], bytes]) -> bytes:
    """Return what `make` returns, without calling it where an earlier call has kept that.

    Args:
        key: hex digits, a hash of all that decides what `make` returns.
        make: called at most once; what it raises is raised.
    """
    folder = cache_folder()
    content = _read(folder, key)
    if content is None:
        content = make()
        if len(content) >= LEAST_BYTES:
            _keep(folder, key, content)
    return content


def _name(key: str, content: bytes) -> str:
    return f"{_PREFIX}{key}-{hashlib.sha256(content).hexdigest()}.safetensors"


def _read(folder: Path, key: str) -> bytes | None:
    with suppress(OSError):  # another build may remove one at any time
        for path in folder.glob(f"{_PREFIX}{key}-*"):
            content = path.read_bytes()
            if path.name == _name(key, content):
                with suppress(OSError):  # it can be read, if not marked as used
                    os.utime(path)
                return content
            path.unlink()
    return None


def _keep(folder: Path, key: str, content: bytes) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        part = folder / f"{_PREFIX}{secrets.token_hex(8)}.part"
        try:
            part.write_bytes(content)
            part.replace(folder / _name(key, content))  # whole or not at all, also beside another
        finally:
            part.unlink(missing_ok=True)
        _prune(folder)
    except OSError as error:
        _log.warning("the encoder's weights, rounded, are not kept for the next build: %s", error)


def _prune(folder: Path) -> None:
    for path in sorted(folder.glob(f"{_PREFIX}*"), key=_last_used)[:-KEEP]:
        path.unlink(missing_ok=True)


def _last_used(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # removed by another build
        return 0.0
