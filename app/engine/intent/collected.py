"""What a query demands, collected piece by piece, and the filter that it comes to."""

from dataclasses import dataclass, field
from datetime import date
from typing import Any

from app.domain.intent import Sort
from app.engine.intent.conditions import Condition, conjunction, dates, nots


@dataclass(slots=True)
class Collected:
    """What was collected from a query; see `app.domain.intent.Intent`.

    Attributes:
        sort, without, like, dislike, tone, count: as there; `like` and `dislike` are titles.
        values, spans_of_dates, other_dates, bounds: what all items must be.
        negated: what no item may be.
        prefers: what comes first.
        clock: whether the day of today matters.
        doubt: factor of the confidence.
        n: how many demands there are.
    """

    sort: Sort = "relevance"
    values: list[Condition] = field(default_factory=list)
    spans_of_dates: list[tuple[date | None, date | None]] = field(default_factory=list)
    other_dates: list[Condition] = field(default_factory=list)
    bounds: list[Condition] = field(default_factory=list)
    negated: list[Condition] = field(default_factory=list)
    prefers: list[Condition] = field(default_factory=list)
    without: list[str] = field(default_factory=list)
    like: list[str] = field(default_factory=list)
    dislike: list[str] = field(default_factory=list)
    tone: list[str] = field(default_factory=list)
    count: int | None = None
    clock: bool = False
    doubt: float = 1.0
    n: int = 0

    @property
    def filters(self) -> Condition:
        """What items must be and must not be."""
        parts = [*self.values, *self.other_dates, *self.bounds]
        if self.spans_of_dates:
            parts.append(dates(self.spans_of_dates))
        if len(parts) > 1:
            parts = _merged_bounds(parts)
        return conjunction([*parts, nots(self.negated)] if self.negated else parts)


def _merged_bounds(parts: list[Condition]) -> list[Condition]:
    """Return the parts, with bounds on one field as one: at least 10 and at most 20."""
    merged: list[Condition] = []
    by_field: dict[str, dict[str, Any]] = {}
    for part in parts:
        name, test = next(iter(part.items())) if len(part) == 1 else ("", None)
        if not isinstance(test, dict) or not test or not set(test) <= {"gt", "gte", "lt", "lte"}:
            merged.append(part)
        elif name in by_field and not set(test) & set(by_field[name]):
            by_field[name] |= test
        else:
            merged.append({name: dict(test)})
            by_field.setdefault(name, merged[-1][name])
    return merged
