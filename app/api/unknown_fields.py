"""What to say of a field that a request model does not have: the nearest one, or all there are."""

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Final, get_args

from pydantic import BaseModel

_SIMILAR: Final = 0.6
"""Least similarity of two names, by `difflib`, that one is taken for a slip of the other."""

_MEANT: Final = {"limit": "k", "n": "k", "count": "k", "size": "k", "top_k": "k", "num": "k"}
"""Words that other services have for fields of ours, where no name is similar."""


def unknown_field(model: type[BaseModel], where: Sequence[int | str]) -> str:
    """Return the message for a field that is not in a model.

    Args:
        model: what the body was read as.
        where: the place in the body, as in pydantic's errors; its last part is the unknown name.
    """
    names = _names_at(model, where[:-1])
    if not names:
        return "there is no such field"
    sent = str(where[-1]).lower()
    near = get_close_matches(sent, names, n=1, cutoff=_SIMILAR)
    # "q" is no slip of "query" by the measure above.
    near = near or [name for name in names if name.startswith(sent) or _MEANT.get(sent) == name]
    if near:
        return f"there is no such field; did you mean `{near[0]}`?"
    return f"there is no such field; there are: {', '.join(sorted(names))}"


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
