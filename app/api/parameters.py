"""The part of an address after `?`: read as a model, and described for OpenAPI."""

from typing import Any, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from app.api.problems import translate

T = TypeVar("T", bound=BaseModel)


def read_parameters(model: type[T], request: Request) -> T:
    """Return the part of an address after `?`. Raises `InvalidRequestError`."""
    try:
        return model.model_validate(dict(request.query_params))
    except ValidationError as error:
        raise translate(error, model) from error


def parameters(model: type[BaseModel]) -> dict[str, Any]:
    """Return what OpenAPI says of the part of an address after `?`."""
    shown = []
    for name, field in model.model_json_schema()["properties"].items():
        field.pop("title", None)
        parameter = {"name": name, "in": "query", "required": False, "schema": field}
        if "description" in field:
            parameter["description"] = field.pop("description")
        shown.append(parameter)
    return {"parameters": shown}
