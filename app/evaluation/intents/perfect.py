"""Writes a label as the intent that a perfect parser would make of its query.

Sent with a request, it shows what the engine makes of an intent, whoever understood the query.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

from app.evaluation.intents.labels import LabelIntent

_SAME: Final = ("sort", "without", "tone", "count")


def intent_of_label(label: LabelIntent, ids_of: Callable[[str], Sequence[str]]) -> dict[str, Any]:
    """Return the JSON of an intent that says what a label says.

    Every value is a demand, also where a parser would only prefer it. `ids_of`: the ids of the
    items of a title.
    """
    demands: list[dict[str, Any]] = [
        {name: _bounds(low, high)} for name, low, high in label.get("ranges", ())
    ]
    demands += [{name: {"any": values}} for name, *values in label.get("values", ())]
    negations: list[dict[str, Any]] = [
        {name: {"any": values}} for name, *values in label.get("not_values", ())
    ]
    negations += [{name: _bounds(low, high)} for name, low, high in label.get("not_ranges", ())]
    filters = {"$and": demands, "$not": negations}
    liked = {
        name: [item for title in label[name] for item in ids_of(title)]
        for name in ("like", "dislike")
        if name in label
    }
    return {
        **{name: label[name] for name in _SAME if name in label},
        **liked,
        "filters": {name: parts for name, parts in filters.items() if parts},
        "residual_text": label.get("residual", ""),
    }


def _bounds(low: str | float | None, high: str | float | None) -> dict[str, str | float]:
    # The last second of a day: the day alone would be its first one.
    last = f"{high}T23:59:59Z" if isinstance(high, str) else high
    return {name: each for name, each in (("gte", low), ("lte", last)) if each is not None}
