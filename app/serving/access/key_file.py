"""The file of API keys: JSON, readable by its owner only, replaced as a whole.

    {"keys": [{"id", "role", "digest", "created_at", "note", "namespace"?, "scenarios"?,
               "rate"?, "burst"?, "language_rate"?, "class"?}]}

`recserve keys` writes it, and the service reads it again when it has changed.
"""

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from app.core.errors import UsageError
from app.serving.access.kept_key import KeptKey, key_document
from app.serving.access.keys import ApiKey


class _KeptKeys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[KeptKey]


class KeyFile:
    """`KeyStore` in a file."""

    def __init__(self, path: Path) -> None:
        """Keep keys in the file `path`, which the first one makes."""
        self._path = path

    def __repr__(self) -> str:
        return f"<KeyFile {self._path}>"

    async def state(self) -> object:
        """Return time, number and size of the file; None if it is missing."""
        try:
            found = self._path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_ino, found.st_size

    async def keys(self) -> tuple[ApiKey, ...]:
        """Return all keys."""
        return read_keys(self._path)

    async def add(self, key: ApiKey) -> None:
        """Add a key."""
        add_key(self._path, key)

    async def revoke(self, key_id: str) -> None:
        """Take a key away."""
        revoke_key(self._path, key_id)

    async def aclose(self) -> None:
        """Do nothing: no file stays open."""


def read_keys(path: Path) -> tuple[ApiKey, ...]:
    """Return the keys of a file, in the order in which they were added.

    Raises:
        UsageError: it cannot be read, is no file of keys, or others may write it.
    """
    try:
        with path.open("rb") as file:
            # A file that others can write lets them in; of what they may read they learn little.
            if os.fstat(file.fileno()).st_mode & 0o022:
                raise UsageError(f"{path}: others may write this file of keys; chmod 600 it")
            text = file.read()
    except OSError as error:
        raise UsageError(f"{path}: the file of keys cannot be read: {error.strerror}") from error
    try:
        kept = _KeptKeys.model_validate_json(text).keys
    except ValidationError as error:
        raise UsageError(f"{path}: this is no file of keys; recserve keys add makes one") from error
    return tuple([each.key() for each in kept])


def add_key(path: Path, key: ApiKey) -> None:
    """Add a key to a file, which is made if it is missing. Raises `UsageError`."""
    _change(path, lambda keys: (*keys, key), may_be_missing=True)


def revoke_key(path: Path, key_id: str) -> None:
    """Take a key out of a file. Raises `UsageError`, also if it has no such key."""

    def without(keys: tuple[ApiKey, ...]) -> tuple[ApiKey, ...]:
        rest = tuple([key for key in keys if key.id != key_id])
        if len(rest) == len(keys):
            raise UsageError(f"{path}: there is no key {key_id}; recserve keys list shows them")
        return rest

    _change(path, without, may_be_missing=False)


def _change(
    path: Path,
    change: Callable[[tuple[ApiKey, ...]], tuple[ApiKey, ...]],
    *,
    may_be_missing: bool,
) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            keys = () if may_be_missing and not path.exists() else read_keys(path)
            _write(path, change(keys))
    except OSError as error:
        raise UsageError(f"{path}: the file of keys cannot be written: {error.strerror}") from error


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let no other command change the file meanwhile."""
    lock = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    shown = list(map(key_document, keys))
    # The temporary file is readable by its owner only, from its first moment.
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps({"keys": shown}, option=orjson.OPT_INDENT_2) + b"\n")
            file.flush()
            os.fsync(descriptor)
        Path(name).replace(path)
    finally:
        Path(name).unlink(missing_ok=True)
