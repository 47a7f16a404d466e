"""Who sends a request: what its key binds it to, and names that belong to one namespace.

A key may be bound to a *namespace*: its users, sessions, events and kept answers are shared with no
other one. The namespace stands in the stored names, before a character that no id may have, so no
caller can write such a name. It is taken away again before a name is shown.
"""

from typing import Final, NamedTuple

NAMESPACE_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$"

NAMESPACE: Final = "namespace"
"""The column of files that says to which namespace a user or an event belongs; no attribute."""

_MARK: Final = "\x1f"


class Caller(NamedTuple):
    """What an answer may depend on of the one who asks.

    Attributes:
        address: tells callers apart who name no user, and is for nothing else.
        namespace: whose users and answers they are; "" = those of the default namespace.
        scenarios: those that the caller may ask with; () = no matter which, or none.
    """

    address: str = ""
    namespace: str = ""
    scenarios: tuple[str, ...] = ()


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
