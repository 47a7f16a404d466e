"""What a language model is asked about a query: the prompt, the catalogue in words, the schema.

Of a request nothing but its words takes part, and of the catalogue the names and kinds of its
fields, their ranges and a bounded number of their values.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.resources import files
from string import Template
from typing import Any, Final

import orjson

from app.core.types import FieldFacts, ModelQuestion
from app.domain.intent import SPOKEN_SORTS, TONES
from app.serving.intents.facts import CatalogueFacts

PROMPT_VERSION: Final = "1"
"""What was learned under another version is not used: raise it with every change of what is asked.
A test knows the prompt of this version."""

_MOST_FIELDS: Final = 24
_MOST_VALUES: Final = 40
_MOST_VALUE_CHARACTERS: Final = 60
_MOST_CATALOGUE_CHARACTERS: Final = 6000
_MAX_TOKENS: Final = 400
_MULTILINGUAL: Final = ("multilingual", "e5", "bge-m3", "xlm", "labse")

_MOST_TEXTS: Final = 8
_TEXTS: Final[dict[str, Any]] = {
    "type": "array",
    "items": {"type": "string"},
    "maxItems": _MOST_TEXTS,  # small models do not find the end of a list
}
_BOUNDS: Final = ("gt", "gte", "lt", "lte")
_QUOTED: Final = ("sort", "tone", "count")


def question(query: str, facts: CatalogueFacts) -> ModelQuestion:
    """Return what is asked about a query over a catalogue."""
    instructions, schema = _about(facts)
    return ModelQuestion(
        instructions=instructions,
        text=orjson.dumps({"query": query}).decode(),
        schema=schema,
        max_tokens=_MAX_TOKENS,
    )


def prompt() -> str:
    """Return the prompt with its placeholders."""
    return files(__package__).joinpath("prompt.txt").read_text("utf-8")


@lru_cache(2)
def _about(facts: CatalogueFacts) -> tuple[str, dict[str, Any]]:
    """Return the instructions and the schema of a catalogue."""
    return _instructions(facts), intent_schema(facts)


def _instructions(facts: CatalogueFacts) -> str:
    return Template(prompt()).substitute(
        tones=", ".join(TONES),
        languages=_languages(facts.encoder),
        fields="\n".join(_described(facts)),
        examples=_examples(facts),
    )


def _languages(encoder: str) -> str:
    """Return in which language words are searched."""
    several = any(name in encoder.lower() for name in _MULTILINGUAL)
    return "in the query's language" if several else "translated into English"


def intent_schema(facts: CatalogueFacts) -> dict[str, Any]:
    """Return the JSON schema of an intent over a catalogue."""
    fields = {field.name: _tests(field) for field in _chosen(facts)}
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["quotes", "sort", "filters", "residual_text"],
        # In this order: a model that has quoted first invents less.
        "properties": {
            "quotes": {
                "type": "object",
                "additionalProperties": False,
                "properties": {name: {"type": "string"} for name in (*_QUOTED, *fields)},
            },
            "sort": {"type": "string", "enum": list(SPOKEN_SORTS)},
            "filters": {"type": "object", "additionalProperties": False, "properties": fields},
            "without": _TEXTS,
            "like": _TEXTS,
            "dislike": _TEXTS,
            "tone": {**_TEXTS, "items": {"type": "string", "enum": list(TONES)}},
            "count": {"type": ["integer", "null"]},
            "residual_text": {"type": "string"},
            "language": {"type": "string"},
            "confidence": {"type": "number"},
        },
    }


def _tests(field: FieldFacts) -> dict[str, Any]:
    """Return the schema of the tests of one field."""
    if field.kind == "boolean":
        tests: dict[str, Any] = {"eq": {"type": "boolean"}}
    elif field.kind == "number":
        tests = {bound: {"type": "number"} for bound in _BOUNDS}
    elif field.kind == "time":
        tests = {bound: {"type": ["integer", "string"]} for bound in _BOUNDS}
    else:
        value: dict[str, Any] = {"type": "string"}
        if field.distinct is not None and field.distinct <= _MOST_VALUES:
            value["enum"] = [value for value, _ in field.values]
        tests = {test: {**_TEXTS, "items": value} for test in ("any", "all", "not")}
    return {"type": "object", "additionalProperties": False, "properties": tests}


def _chosen(facts: CatalogueFacts) -> list[FieldFacts]:
    """Return the fields that are named: those that most items have."""
    by_count = sorted(facts.fields.values(), key=lambda field: -field.count)
    return by_count[:_MOST_FIELDS]


def _described(facts: CatalogueFacts) -> Iterator[str]:
    room = _MOST_CATALOGUE_CHARACTERS
    for field in _chosen(facts):
        if field.kind in {"number", "time"}:
            line = f'- "{field.name}" ({field.kind}): from {field.low} to {field.high}'
        elif field.kind == "boolean":
            line = f'- "{field.name}" (true or false)'
        else:
            values = [
                orjson.dumps(value).decode()
                for value in facts.frequent(field.name, _MOST_VALUES)
                if len(value) <= _MOST_VALUE_CHARACTERS
            ]
            line = f'- "{field.name}" (text): {", ".join(values)}'[: max(room, 80)]
        room -= len(line)
        if room < 0:
            return
        yield line


def _examples(facts: CatalogueFacts) -> str:
    """Return examples made of values of this catalogue."""
    words = {"quotes": {}, "sort": "relevance", "filters": {}, "residual_text": "old lighthouse"}
    shown: list[tuple[str, dict[str, Any]]] = [("something about an old lighthouse", words)]
    for field in _chosen(facts):
        if field.kind in {"string", "strings"} and len(field.values) > 1:
            one, other = (str(value) for value, _ in field.values[:2])
            query = f"newest {one.lower()} but not {other.lower()} with a storm"
            demands = {
                "quotes": {"sort": "newest", field.name: f"{one.lower()} but not {other.lower()}"},
                "sort": "newest",
                "filters": {field.name: {"any": [one], "not": [other]}},
                "residual_text": "storm",
            }
            shown.append((query, demands))
            break
    return "\n".join(f"{_json({'query': query})} -> {_json(said)}" for query, said in shown)


def _json(value: object) -> str:
    return orjson.dumps(value).decode()
