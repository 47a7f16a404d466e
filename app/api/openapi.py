"""The OpenAPI document: what FastAPI says of the routes, made readable for generated clients.

Schemas with a `title` of one word become named types. Titles that only repeat the name of a field
are dropped. Alternatives of plain values become one list of types, and defaults are told in words:
generators would take a field with a default for one that is always sent.
"""

import json
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.routing import APIRoute

from app.api.access import role_of
from app.api.charging import RATE_HEADERS
from app.api.problems import MEANING
from app.api.routes import described
from app.api.schema_parts import Schema
from app.api.schemas import ERROR

TAGS: Final = [
    {"name": "recommendations", "description": "Ask for items."},
    {"name": "events", "description": "Say what people did."},
    {"name": "users", "description": "Who people are, and what is known of them."},
    {"name": "items", "description": "Read and change the catalogue."},
    {"name": "service", "description": "Is it alive, what does it serve, how is it doing?"},
    {"name": "admin", "description": "For operators."},
]

_OF_CONNECTIONS: Final[tuple[int, ...]] = (408, 414, 431)
_KEYS: Final = {"key": {"type": "http", "scheme": "bearer"}}
_PLAIN: Final = {"string", "number", "integer", "boolean", "null"}
_NOT_SCHEMAS: Final = {"example", "examples", "enum", "required"}


def operation_id(route: APIRoute) -> str:
    """Return the name that clients have for a route: that of its function."""
    return route.name


def document(app: FastAPI) -> dict[str, Any]:
    """Return the document of an application, made at the first call."""
    if app.openapi_schema is None:
        app.openapi_schema = _made(app)
    return app.openapi_schema


def _made(app: FastAPI) -> dict[str, Any]:
    found = get_openapi(
        title=app.title,
        version=app.version,
        description=app.description,
        routes=app.routes,
        tags=TAGS,
    )
    named: dict[str, Schema] = {}
    paths = _read(_with_what_holds_for_all(_without_guesses(found["paths"])), named)
    schemas = dict(sorted(named.items()))
    found |= {"paths": paths, "components": {"schemas": schemas, "securitySchemes": _KEYS}}
    return found


def _with_what_holds_for_all(paths: dict[str, Any]) -> dict[str, Any]:
    """Say of each operation which role it needs, and how the edge and a connection may refuse."""
    for path, methods in paths.items():
        for method, operation in methods.items():
            role = role_of(method.upper(), path)
            refusals = _OF_CONNECTIONS
            if role != "public":
                # A service without a file of keys needs none.
                operation |= {"security": [{}, {"key": []}], "x-role": role}
                refusals = (*refusals, 401, 403, 429)
            answers = operation["responses"]
            for status in refusals:
                error = described(MEANING[status], ERROR)
                answers.setdefault(str(status), error)["content"] |= error["content"]
            if "429" in answers:
                answers["429"] = {**answers["429"], "headers": RATE_HEADERS}
    return paths


def _without_guesses(paths: dict[str, Any]) -> dict[str, Any]:
    """Drop the 422 that FastAPI adds where a route says nothing of one."""
    for methods in paths.values():
        for operation in methods.values():
            answers = operation["responses"]
            if "HTTPValidationError" in json.dumps(answers.get("422", "")):
                del answers["422"]
    return paths


def _read(node: Any, named: dict[str, Schema]) -> Any:  # noqa: ANN401 - any JSON
    """Return a part of the document with references in place of the schemas that have names."""
    if isinstance(node, list):
        return [_read(part, named) for part in node]
    if not isinstance(node, dict):
        return node
    if isinstance(node.get("properties"), dict):
        fields = {name: _untitled(name, field) for name, field in node["properties"].items()}
        node = {**node, "properties": fields}
    shown = {
        key: value if key in _NOT_SCHEMAS else _read(value, named) for key, value in node.items()
    }
    if isinstance(shown.get("anyOf"), list):
        shown = _joined(shown)
    if "default" in shown and _is_schema(shown):
        shown = _told(shown)
    title = shown.get("title")
    if isinstance(title, str) and _is_schema(shown):
        del shown["title"]
        if title.isalnum():
            return _reference(title, shown, named)
    return shown


def _is_schema(node: dict[str, Any]) -> bool:
    return isinstance(node.get("type"), str | list) or "anyOf" in node


def _untitled(name: str, field: Schema) -> Schema:
    """Return the schema of a field without the title that pydantic made of its name."""
    guessed = field.get("title") == name.title().replace("_", " ") and "properties" not in field
    return {key: value for key, value in field.items() if key != "title"} if guessed else field


def _reference(title: str, schema: Schema, named: dict[str, Schema]) -> Schema:
    """Return the reference to a named schema; only its description may differ by place."""
    known = named.setdefault(title, schema)
    if {**known, "description": ""} != {**schema, "description": ""}:
        raise ValueError(f"two schemas are called {title}")
    reference = {"$ref": f"#/components/schemas/{title}"}
    if known.get("description") != schema.get("description"):
        reference["description"] = schema.get("description", "")
    return reference


def _joined(schema: Schema) -> Schema:
    """Return alternatives of plain values as one list of types, where their bounds allow it."""
    types: list[str] = []
    bounds: Schema = {}
    others = []
    for one in schema["anyOf"]:
        kinds = one.get("type", [])
        kinds = [kinds] if isinstance(kinds, str) else kinds
        rest = {key: value for key, value in one.items() if key != "type"}
        plain = kinds and set(kinds) <= _PLAIN and "enum" not in rest
        if plain and not rest.keys() & bounds.keys():
            types += [kind for kind in kinds if kind not in types]
            bounds |= rest
        else:
            others.append(one)
    if not types:
        return schema
    joined = {"type": types[0] if len(types) == 1 else types, **bounds}
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return {**rest, "anyOf": [joined, *others]} if others else {**joined, **rest}


def _told(schema: Schema) -> Schema:
    """Return a schema with its default in the description."""
    default = schema.pop("default")
    if default in (None, "", [], {}):
        return schema
    text = schema.get("description", "").rstrip(".")
    schema["description"] = f"{text} (default: {json.dumps(default)})".strip()
    return schema
