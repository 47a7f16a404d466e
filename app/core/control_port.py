"""The port of what operators set while the service runs: rules, scenarios and API keys.

Real stores and the fake of `app.testing` pass the same suite in `tests/contract/`. What the texts
mean is in `app.domain.rule`, `app.serving.control` and `app.serving.access`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple, Protocol, TypeAlias

ControlKind: TypeAlias = Literal["rule", "scenario", "key"]

KEPT_VERSIONS: Final[Mapping[ControlKind, int]] = {
    "rule": 1,
    "scenario": 50,
    "key": 1,
}
"""How many versions of an entry are kept: the newest ones."""


@dataclass(frozen=True, slots=True)
class ControlEntry:
    """One rule, scenario or key as it was put.

    Attributes:
        kind, name: what it is, and its name among those of its kind.
        since: number of the change that first put an entry of this name; it orders entries by age.
        version: number of the change that put this text.
        put_at: unix seconds of that change.
        text: JSON text.
    """

    kind: ControlKind
    name: str
    since: int
    version: int
    put_at: float
    text: str


class ControlState(NamedTuple):
    """All entries of a namespace at one moment, each in its newest version, by `since`.

    `number` grows with every change.
    """

    number: int = 0
    entries: tuple[ControlEntry, ...] = ()


class ControlStore(Protocol):
    """The rules and scenarios of one namespace. Several processes may share one.

    Once a change has returned, it is durable, and every read that starts later sees it, in any
    process.

    Every method raises `StoreError` if the store cannot do its work; a change may have happened
    even so, and can be repeated without harm. Changes raise `OverloadedError` if too many wait.
    """

    @property
    def alive(self) -> bool:
        """Whether it can ever work again in this process: False once its own thread has died."""
        ...

    async def number(self) -> int:
        """Return the number of the newest change; 0 if there was none. Cheap."""
        ...

    async def read(self) -> ControlState:
        """Return everything as of one moment."""
        ...

    async def put(
        self, kind: ControlKind, texts: Sequence[tuple[str, str]], now: float
    ) -> tuple[ControlEntry, ...]:
        """Store entries of one kind, all or none, as (name, JSON text), in place of older ones.

        They get consecutive numbers. No name comes twice. `now`: unix seconds.
        """
        ...

    async def delete(self, kind: ControlKind, name: str | None) -> int:
        """Delete an entry with all its versions, None = all of the kind; return how many."""
        ...

    async def versions(self, kind: ControlKind, name: str) -> tuple[ControlEntry, ...]:
        """Return the kept versions of an entry, newest first; () if there is no such entry."""
        ...

    async def aclose(self) -> None:
        """Finish the changes under way and release all resources. Idempotent."""
        ...
