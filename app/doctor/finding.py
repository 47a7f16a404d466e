"""A finding: one thing that is wrong, how much of it, and what to do."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "notice"]
"""Something does not work; answers are worse than they could be; good to know."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        id: its name, which stays the same.
        severity: how bad it is.
        number: a share from 0 to 1, or a count; `sentence` says it in words.
        sentence: what is wrong.
        remedy: what to do.
    """

    id: str
    severity: Severity
    number: float
    sentence: str
    remedy: str


Findings: TypeAlias = Iterator[Finding]


def percent(share: float) -> str:
    """Return a share in words.

    >>> percent(0.37), percent(0.004), percent(0.9999), percent(1.0)
    ('37 %', '0.4 %', '99.9 %', '100 %')
    """
    if share in (0.0, 1.0) or 0.01 <= share <= 0.99:
        return f"{100 * share:.0f} %"
    return f"{min(max(100 * share, 0.1), 99.9):.1f} %"


def listed(names: list[str], most: int = 5) -> str:
    """Return some names as one text.

    >>> listed(["a", "b"]), listed(list("abcdef"), 2)
    ('a, b', 'a, b and 4 more')
    """
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
