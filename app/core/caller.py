"""Who sends a request: what its key binds it to, and names that belong to one namespace.

A key may be bound to a *namespace*: its users, sessions, events and kept answers are shared with no
other one. The namespace stands in the stored names, before a character that no id may have, so no
caller can write such a name. It is taken away again before a name is shown.
"""

from typing import Final, NamedTuple, Protocol

from app.core.lane import OPEN_LANE, Lane

NAMESPACE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

NAMESPACE: Final = "namespace"
"""The column of files that says to which namespace a user or an event belongs; no attribute."""

_MARK: Final = "\x1f"


class LanguageMeter(Protocol):
    """A budget of which a part is spent at each use."""

    def spend(self, cost: int = 1) -> None:
        """Spend some units. Raises `RateLimitedError` if they are not there."""

    def allows(self) -> bool:
        """Spend one unit if it is there, and tell whether it was."""


class Caller(NamedTuple):
    """What an answer may depend on of the one who asks.

    Attributes:
        address: tells callers apart who name no user, and is for nothing else.
        namespace: whose users and answers they are; "" = those of the default namespace.
        scenarios: those that the caller may ask with; () = no matter which, or none.
        lane: in which its requests wait.
        language: its budget of texts and of queries to learn; None = no limit.
    """

    address: str = ""
    namespace: str = ""
    scenarios: tuple[str, ...] = ()
    lane: Lane = OPEN_LANE
    language: LanguageMeter | None = None


NOBODY: Final = Caller()
"""Somebody who is bound to nothing, and of whom nothing is known."""


def scoped(namespace: str, name: str) -> str:
    r"""Return a name as it is stored for a namespace.

    >>> scoped("shop", "7"), scoped("", "7")
    ('shop\x1f7', '7')
    """
    return f"{namespace}{_MARK}{name}" if namespace else name


def unscoped(stored: str) -> tuple[str, str]:
    r"""Return the namespace of a stored name, "" = the default one, and the name itself.

    >>> unscoped("shop\x1f7"), unscoped("7")
    (('shop', '7'), ('', '7'))
    """
    namespace, mark, name = stored.partition(_MARK)
    return (namespace, name) if mark else ("", stored)
