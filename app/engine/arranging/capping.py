"""The stage `max_per`: only so many items with the same value of a field come back."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from app.core.types import Rows
from app.engine.catalogue.catalogue import Catalogue


def capped(
    rows: Rows,
    size: int,
    *,
    max_per: Sequence[tuple[str, int]],
    counted: Rows,
    catalogue: Catalogue,
) -> Rows:
    """Return the positions of the first `size` rows whose values have not come too often.

    Args:
        rows: int64[c], in their order.
        size: how many to return at most.
        max_per: field -> how many rows may share a value of it.
        counted: int64[e], rows that count as well, but are not in the answer.
        catalogue: knows the values.
    """
    limits = [(value_of(field, catalogue), most, Counter[object]()) for field, most in max_per]
    for row in counted.tolist():
        for values_of, _, counts in limits:
            counts.update(values_of(row))
    kept: list[int] = []
    for position, row in enumerate(rows.tolist()):
        if len(kept) == size:
            break
        found = [(values_of(row), most, counts) for values_of, most, counts in limits]
        if all(counts[value] < most for values, most, counts in found for value in values):
            kept.append(position)
            for values, _, counts in found:
                counts.update(values)
    return np.array(kept, np.int64)


def value_of(field: str, catalogue: Catalogue) -> Callable[[int], tuple[object, ...]]:
    """Return a function from a row to the values that it has in a field; () = it stands alone."""

    def values(row: int) -> tuple[object, ...]:
        value = catalogue.value(row, field)
        if value is None:
            return ()
        if isinstance(value, str):
            return (value.casefold(),)
        return tuple(value) if isinstance(value, list | tuple) else (value,)

    return values
