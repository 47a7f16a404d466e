"""JSON schemas of the routes for rules and scenarios."""

from typing import Any, Final

from app.api.schema_parts import COUNT, SECONDS, STRING, Schema, array_of, object_of
from app.domain.rule import Rule


def _inlined(schema: Schema) -> Schema:
    """Return a schema of pydantic with its definitions in their places."""
    parts: dict[str, Any] = schema.pop("$defs", {})

    def read(node: Any) -> Any:  # noqa: ANN401 - any JSON
        if isinstance(node, list):
            return [read(part) for part in node]
        if not isinstance(node, dict):
            return node
        if (reference := node.get("$ref")) is not None:
            rest = {key: value for key, value in node.items() if key != "$ref"}
            return {**read(parts[reference.rpartition("/")[2]]), **rest}
        return {key: read(value) for key, value in node.items()}

    found: Schema = read(schema)
    return found


RULE: Final = _inlined(Rule.model_json_schema(by_alias=True))

RULE_BODY: Final = {
    **RULE,
    "title": "RuleBody",
    "required": [name for name in RULE["required"] if name != "id"],
}

_WARNING: Final = object_of(
    "ControlWarning",
    {
        "name": {**STRING, "description": "of the rule or scenario"},
        "message": STRING,
        "field": STRING,
    },
)

_WARNINGS: Final = {**array_of(_WARNING), "description": "what was taken, but looks wrong"}

SHOWN_RULE: Final = object_of(
    "ShownRule",
    {
        "rule": {**RULE, "description": "as it was put"},
        "version": {**COUNT, "description": "number of the change that put it"},
        "put_at": SECONDS,
        "active": {"type": "boolean", "description": "whether it is valid now, and fits"},
        "problem": {
            "type": ["string", "null"],
            "description": "why it does not fit the catalogue that serves; null: it does",
        },
    },
)

_NUMBER: Final = {**COUNT, "description": "of the newest change of rules and scenarios"}

RULES: Final = object_of(
    "Rules",
    {"number": _NUMBER, "rules": {**array_of(SHOWN_RULE), "description": "the oldest first"}},
)

RULES_REQUEST: Final = object_of(
    "PutRules",
    {
        "rules": {
            **array_of(RULE),
            "minItems": 1,
            "description": "added, or put in the place of those with the same id; all or none",
        }
    },
)

RULES_PUT: Final = object_of(
    "RulesPut", {"number": _NUMBER, "accepted": COUNT, "warnings": _WARNINGS}
)

DELETED: Final = object_of("Deleted", {"number": _NUMBER, "deleted": COUNT})

RULE_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "boost": {
        "value": {"boost": {"filter": {"published_at": {"gte": 2000}}, "weight": 0.7}},
    },
    "pin": {
        "value": {"when": {"query": {"prefix": "space"}}, "pin": {"item_id": "1", "place": 1}},
    },
    "for a week": {
        "value": {
            "from": "2030-12-01",
            "until": "2030-12-08",
            "promote": {"filter": {"published_at": {"gte": 1990}}, "share": 0.2},
        },
    },
    "what a query asks for": {
        "value": {
            "when": {"intent": {"sort": "newest"}},
            "block": {"filter": {"published_at": {"exists": False}}},
        },
    },
}
RULES_EXAMPLES: Final = {
    "two": {
        "value": {
            "rules": [
                {"id": "newer", **RULE_EXAMPLES["boost"]["value"]},
                {"id": "space", **RULE_EXAMPLES["pin"]["value"]},
            ]
        }
    }
}
