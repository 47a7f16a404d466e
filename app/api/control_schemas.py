"""JSON schemas of the routes for rules and scenarios."""

from typing import Any, Final

from app.api.schema_parts import COUNT, NUMBER, SECONDS, STRING, TITLE, Schema, array_of, object_of
from app.api.schemas import recommend_request
from app.domain.request_parts import CONTROL_NAME
from app.domain.rule import Rule
from app.serving.control.scenarios import OWN_FIELDS


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
    "title": "RuleFields",
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
    "RuleList",
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


SCENARIO_FIELDS: Final = {
    **recommend_request(),
    "title": "ScenarioFields",
    "description": "Fields of a request, which are the defaults of those that name the scenario.",
}
for _own in OWN_FIELDS:
    del SCENARIO_FIELDS["properties"][_own]

SCENARIOS_REQUEST: Final = object_of(
    "PutScenarios",
    {
        "scenarios": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": CONTROL_NAME},
            "additionalProperties": SCENARIO_FIELDS,
            "description": "name -> its fields; all or none are put",
        }
    },
)

SCENARIOS_PUT: Final = object_of(
    "ScenariosPut",
    {
        "number": _NUMBER,
        "versions": {
            "type": "object",
            "additionalProperties": COUNT,
            "description": "name -> the new version",
        },
        "warnings": _WARNINGS,
    },
)

_SCENARIO: Final = {
    "name": STRING,
    "version": {**COUNT, "description": "number of the change that put it"},
    "put_at": SECONDS,
    "request": {"title": "RequestFields", "type": "object", "additionalProperties": True},
}

SCENARIOS: Final = object_of(
    "ScenarioList",
    {"number": _NUMBER, "scenarios": array_of(object_of("Scenario", _SCENARIO))},
)

SCENARIO_VERSIONS: Final = object_of(
    "ScenarioVersions",
    {
        **_SCENARIO,
        "versions": {
            **array_of(object_of("ScenarioVersion", {"version": COUNT, "put_at": SECONDS})),
            "description": "those that are kept, newest first",
        },
    },
)

SCENARIO_EXAMPLES: Final[dict[str, dict[str, Any]]] = {
    "home": {"value": {"k": 20, "diversity": 0.3, "max_per": {"title": 1}}},
    "new things": {"value": {"intent": {"sort": "newest"}, "k": 12}},
}
SCENARIOS_EXAMPLES: Final = {
    "two": {"value": {"scenarios": {"home": {"k": 20, "diversity": 0.3}, "cart": {"k": 4}}}}
}

_LISTED: Final = object_of(
    "ListedItem",
    {
        "id": STRING,
        "title": TITLE,
        "score": NUMBER,
        "placed_by": {**STRING, "description": "what put it there; empty: its score"},
    },
)

_PLACE: Final[Schema] = {
    "type": ["integer", "null"],
    "minimum": 1,
    "description": "from 1; null: not in the list",
}

DRY_RUN: Final = object_of(
    "DryRunAnswer",
    {
        "results": {
            **array_of(
                {
                    "anyOf": [
                        object_of(
                            "DryRunResult",
                            {
                                "before": array_of(_LISTED),
                                "after": array_of(_LISTED),
                                "changes": array_of(
                                    object_of(
                                        "PlaceChange",
                                        {"id": STRING, "before": _PLACE, "after": _PLACE},
                                    )
                                ),
                                "rules": {
                                    **array_of(STRING),
                                    "description": "ids of all rules that apply afterwards",
                                },
                            },
                        ),
                        object_of(
                            "DryRunError",
                            {
                                "error": object_of(
                                    "DryRunProblem",
                                    {"code": STRING, "message": STRING, "field": STRING},
                                    optional=("field",),
                                )
                            },
                        ),
                    ]
                }
            ),
            "description": "in the order of the requests",
        },
        "warnings": _WARNINGS,
    },
)

MOST_TRIED: Final = 20

DRY_RUN_REQUEST: Final = object_of(
    "DryRunRequest",
    {
        "rules": {
            **array_of(RULE),
            "minItems": 1,
            "maxItems": MOST_TRIED,
            "description": "beside those in force, or in the place of those with the same id",
        },
        "requests": {
            **array_of(recommend_request()),
            "minItems": 1,
            "maxItems": MOST_TRIED,
        },
    },
)

DRY_RUN_EXAMPLES: Final = {
    "one": {
        "value": {
            "rules": [{"id": "newer", **RULE_EXAMPLES["boost"]["value"]}],
            "requests": [{"k": 5}, {"query": "space", "k": 5}],
        }
    }
}
