"""What a strict order says of an item: the value that it is sorted by."""

from typing import Any, Final

import numpy as np

from app.core.types import JsonValue
from app.engine.arranging.ordering import field_of
from app.engine.arranging.posed import Posed
from app.engine.parts import EngineParts

_DIGITS: Final = 4


def order_fact(parts: EngineParts, posed: Posed, row: int) -> dict[str, Any] | None:
    """Return the order that a row stands in, and its value there.

    None where no strict order put it there: its title is the query, or it stands behind the items
    that the order is about.
    """
    ordering, sort = posed.ordering, posed.asked.intent.sort
    if ordering is None or ordering.key is None or row in ordering.first:
        return None
    is_sorted = bool(np.isfinite(ordering.key[row]))
    field = field_of(sort, parts.catalogue, parts.roles)
    value: JsonValue = None
    if field is not None:
        value = parts.catalogue.value(row, field)
    elif sort != "rated":
        return {"sort": sort} if is_sorted else None
    elif is_sorted:
        value = round(float(ordering.key[row]), _DIGITS)
    if is_sorted == (value is None):
        return None  # it has a value, and yet the order leaves it out: it is not preferred
    named = {} if field is None else {"field": field}
    return {"sort": sort, **named, "value": value}
