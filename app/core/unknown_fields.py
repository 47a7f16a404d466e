"""What to say of a field that a model does not have: the nearest one, or all there are."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, get_args

from pydantic import BaseModel

_SIMILAR: Final = 0.6
"""Least similarity of two names, by `difflib`, that one is taken for a slip of the other."""

_MEANT: Final = {
    **dict.fromkeys(("limit", "n", "count", "size", "top_k", "num"), "k"),
    **dict.fromkeys(("sort", "sort_by", "order", "order_by"), "intent"),
    **dict.fromkeys(("page", "offset", "from", "after"), "cursor"),
    **dict.fromkeys(("search", "text", "term"), "query"),
    **dict.fromkeys(("type", "event_type", "event_name", "action", "kind"), "event"),
    **dict.fromkeys(("rating", "score", "stars"), "value"),
    **dict.fromkeys(("ts", "date", "created_at"), "timestamp"),
    **dict.fromkeys(("product", "product_id", "sku"), "item_id"),
}
"""Words that other services have for fields of ours; a similar name may mean something else."""


def unknown_field(
    model: type[BaseModel], where: Sequence[int | str], *, noun: str = "field"
) -> str:
    """Return the message for a field that is not in a model.

    Args:
        model: what the body was read as.
        where: the place in the body, as in pydantic's errors; its last part is the unknown name.
        noun: what a name is called there.
    """
    names = _names_at(model, where[:-1])
    if not names:
        return f"there is no such {noun}"
    sent = str(where[-1]).lower()
    near = [name for name in names if _MEANT.get(sent) == name]
    near = near or get_close_matches(sent, names, n=1, cutoff=_SIMILAR)
    # "q" is no slip of "query" by the measure above.
    near = near or [name for name in names if name.startswith(sent)]
    if near:
        return f"there is no such {noun}; did you mean `{near[0]}`?"
    return f"there is no such {noun}; there are: {', '.join(sorted(names))}"


def _names_at(model: type[BaseModel], where: Sequence[int | str]) -> list[str]:
    """Return the fields of the model at a place below `model`; none, if there is no model."""
    for part in where:
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        inner = None if field is None else _model_in(field.annotation)
        if inner is None:
            return []
        model = inner
    return list(model.model_fields)


def _model_in(annotation: object) -> type[BaseModel] | None:
    """Return the first model in an annotation, such as `Model | None` or `tuple[Model, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = filter(None, map(_model_in, get_args(annotation)))
    return next(found, None)
