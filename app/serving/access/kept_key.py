"""A key as it is written down: JSON, without the fields that it does not need."""

from typing import Annotated, Any, Final, Self

import orjson
from pydantic import BaseModel, ConfigDict, Field, model_validator

from app.core.caller import NAMESPACE_NAME
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


class KeptKey(BaseModel):
    """One key."""

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


def key_text(key: ApiKey) -> str:
    """Return a key as JSON text."""
    return orjson.dumps(key_document(key)).decode()


def key_document(key: ApiKey) -> dict[str, Any]:
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


def limits_said(key: ApiKey) -> dict[str, object]:
    """Return what a key says of its limits and its class, under the names of the file."""
    limits = key.limits
    values = (limits.rate, limits.burst, limits.language_rate, key.chosen_priority)
    said = zip(LIMIT_NAMES, values, strict=True)
    return {name: value for name, value in said if value is not None}
