"""What is to be said of a column of a file: how it was read, and which cells have no value."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

MISSING: Final = "missing"
UNREADABLE: Final = "not readable, so missing"
OUTSIDE: Final = "outside the years 1000 to 2999, so missing"

_SHOWN: Final = 3
_MAX_SHOWN_CHARS: Final = 24


@dataclass(slots=True)
class ColumnRemarks:
    """Remarks about one column.

    Attributes:
        read_as: what was understood, as phrases.
        lost: why cells have no value -> their texts, with how often each came.
    """

    read_as: list[str] = field(default_factory=list)
    lost: dict[str, Counter[str]] = field(default_factory=dict)

    def lose(self, why: str, cell: object) -> None:
        """Note that a cell has no value."""
        self.lost.setdefault(why, Counter())[str(cell).strip()] += 1

    def n_lost(self, why: str) -> int:
        """Return how many cells have no value for a reason."""
        return self.lost[why].total() if why in self.lost else 0

    def line(self, name: str) -> str | None:
        """Return one line about the column, None if there is nothing to say."""
        parts = [
            *self.read_as,
            *(f"{cells.total()} {why} ({_examples(cells)})" for why, cells in self.lost.items()),
        ]
        return f"column {name!r}: {'; '.join(parts)}" if parts else None


def _examples(cells: Counter[str]) -> str:
    shown = [repr(text[:_MAX_SHOWN_CHARS]) for text, _ in cells.most_common(_SHOWN)]
    return ", ".join([*shown, *(["…"] if len(cells) > _SHOWN else [])])
