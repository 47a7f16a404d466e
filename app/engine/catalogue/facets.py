"""Facets: counts, frequent values and ranges of the fields of some items."""

from collections import Counter

import numpy as np

from app.core.types import FieldFacts, Mask
from app.engine.catalogue.catalogue import Catalogue

_NUMERIC = frozenset({"number", "time"})


def field_facts(catalogue: Catalogue, rows: Mask, field: str, limit: int) -> FieldFacts:
    """Return the facts of a field over some rows.

    Args:
        catalogue: the items.
        rows: bool[rows of the catalogue], which of them count.
        field: one of the catalogue's attributes.
        limit: how many of the most frequent values are named.
    """
    changed = [row for row in catalogue.records() if rows[row]]
    settled = rows[: catalogue.table.n_rows].copy()
    settled[[row for row in catalogue.records() if row < len(settled)]] = False
    if catalogue.attributes[field] in _NUMERIC:
        return _range(catalogue, settled, changed, field)
    return _frequent(catalogue, settled, changed, field, limit)


def _range(catalogue: Catalogue, settled: Mask, changed: list[int], field: str) -> FieldFacts:
    numbers = np.where(settled, catalogue.table.numbers(field), np.nan)
    values = {
        row: float(value)
        for row in changed
        if isinstance(value := catalogue.records()[row].values.get(field), int | float)
    }
    present = np.flatnonzero(~np.isnan(numbers))
    if len(present):
        for row in (present[numbers[present].argmin()], present[numbers[present].argmax()]):
            values.setdefault(int(row), float(numbers[row]))
    kind, count = catalogue.attributes[field], len(present) + sum(row in values for row in changed)
    if not values:
        return FieldFacts(field, kind, count)
    low, high = min(values, key=values.__getitem__), max(values, key=values.__getitem__)
    shown = [catalogue.fields(row, [field])[field] for row in (low, high)]
    return FieldFacts(field, kind, count, low=shown[0], high=shown[1])


def _frequent(
    catalogue: Catalogue, settled: Mask, changed: list[int], field: str, limit: int
) -> FieldFacts:
    values = catalogue.table.values(field)
    counts: Counter[str | bool] = Counter()
    tally = values.counts(settled)
    for code in np.flatnonzero(tally).tolist():
        counts[values.names[code]] = int(tally[code])
    count = int(np.count_nonzero(catalogue.table.present(field) & settled))
    for row in changed:
        value = catalogue.records()[row].values.get(field)
        count += value is not None
        listed = value if isinstance(value, list | tuple) else () if value is None else (value,)
        counts.update(dict.fromkeys(listed, 1))
    best = sorted(counts.items(), key=lambda pair: (-pair[1], str(pair[0])))[:limit]
    return FieldFacts(
        field, catalogue.attributes[field], count, distinct=len(counts), values=tuple(best)
    )
