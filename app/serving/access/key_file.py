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
from typing import Annotated, Any, Final, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from app.core.caller import NAMESPACE_NAME
from app.core.errors import UsageError
from app.domain.request_parts import ControlName
from app.serving.access.keys import BOUND_ADMIN, ApiKey, Role
from app.serving.access.limits import (
    HIGHEST_BURST,
    HIGHEST_RATE,
    LOWEST_RATE,
    KeyLimits,
    Priority,
)

LIMIT_NAMES: Final = ("rate", "burst", "language_rate", "class")

_DIGEST_DIGITS: Final = 128

_Rate = Annotated[float, Field(ge=LOWEST_RATE, le=HIGHEST_RATE, allow_inf_nan=False)]


class _Kept(BaseModel):
    model_config = ConfigDict(extra="forbid")

    id: Annotated[str, Field(pattern=r"^[0-9a-f]{8}$")]
    role: Role
    digest: Annotated[str, Field(pattern=rf"^[0-9a-f]{{{_DIGEST_DIGITS}}}$")]
    created_at: Annotated[float, Field(allow_inf_nan=False)]
    note: str = ""
    namespace: Annotated[str, Field(pattern=rf"{NAMESPACE_NAME}|^$")] = ""
    scenarios: list[ControlName] = Field(default_factory=list)
    rate: _Rate | None = None
    burst: Annotated[int, Field(ge=1, le=HIGHEST_BURST)] | None = None
    language_rate: _Rate | None = None
    chosen_priority: Priority | None = Field(default=None, alias="class")

    @model_validator(mode="after")
    def _bound_by_its_role(self) -> Self:
        if self.role == "admin" and (self.namespace or self.scenarios):
            raise ValueError(BOUND_ADMIN)
        return self

    def key(self) -> ApiKey:
        """Return the key."""
        return ApiKey(
            id=self.id,
            role=self.role,
            digest=bytes.fromhex(self.digest),
            created_at=self.created_at,
            note=self.note,
            namespace=self.namespace,
            scenarios=tuple(self.scenarios),
            limits=KeyLimits(self.rate, self.burst, self.language_rate),
            chosen_priority=self.chosen_priority,
        )


class _KeptKeys(BaseModel):
    model_config = ConfigDict(extra="forbid")

    keys: list[_Kept]


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


def limits_said(key: ApiKey) -> dict[str, object]:
    """Return what a key says of its limits and its class, under the names of the file."""
    limits = key.limits
    values = (limits.rate, limits.burst, limits.language_rate, key.chosen_priority)
    said = zip(LIMIT_NAMES, values, strict=True)
    return {name: value for name, value in said if value is not None}


def _write(path: Path, keys: Iterable[ApiKey]) -> None:
    shown = list(map(_shown, keys))
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


def _shown(key: ApiKey) -> dict[str, Any]:
    """Return a key as JSON has it; what it is not bound to is left out."""
    bound = {"namespace": key.namespace, "scenarios": list(key.scenarios)}
    return {
        "id": key.id,
        "role": key.role,
        "digest": key.digest.hex(),
        "created_at": key.created_at,
        "note": key.note,
        **{name: value for name, value in bound.items() if value},
        **limits_said(key),
    }
