"""What a language model is asked about items, and what of its answer is kept."""

from collections.abc import Mapping, Sequence
from importlib.resources import files
from string import Template
from typing import Any, Final

import orjson

from app.core.types import ModelQuestion
from app.domain.intent import TONES
from app.domain.query_text import normalised_query
from app.offline.input.files.readers import Cells

PROMPT_VERSION: Final = "1"
"""A run that began under another version is not resumed. A test knows the prompt of this one."""

COLUMNS: Final = ("likely_queries", "tone", "audience", "keywords")

_MOST: Final[Mapping[str, int]] = {
    "likely_queries": 5,
    "tone": 3,
    "audience": 4,
    "keywords": 10,
}
_MAX_TEXT: Final = 100
_MAX_CELL: Final = 600
_MAX_ITEM: Final = 1500
_TOKENS_PER_ITEM: Final = 300
"""Most tokens of an answer for each item."""

_TEXT: Final[dict[str, Any]] = {"type": "string"}
_TONE: Final[dict[str, Any]] = {"type": "string", "enum": list(TONES)}
_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["items"],
    "properties": {
        "items": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["n", *COLUMNS],
                "properties": {
                    "n": {"type": "integer"},
                    **{
                        name: {
                            "type": "array",
                            "items": _TONE if name == "tone" else _TEXT,
                            # Small models do not find the end of a list.
                            "maxItems": most,
                        }
                        for name, most in _MOST.items()
                    },
                },
            },
        }
    },
}

Enriched = dict[str, list[str]]
"""New column -> texts, of one item."""


def prompt() -> str:
    """Return the prompt with its placeholders."""
    return files(__package__).joinpath("prompt.txt").read_text("utf-8")


def question(items: Sequence[Cells]) -> ModelQuestion:
    """Return what is asked about some items; they are numbered from 0."""
    numbered = [{"n": n, **_shown(cells)} for n, cells in enumerate(items)]
    return ModelQuestion(
        instructions=Template(prompt()).substitute(
            tones=", ".join(TONES),
            queries=_MOST["likely_queries"],
            audience=_MOST["audience"],
            keywords=_MOST["keywords"],
        ),
        text=orjson.dumps({"items": numbered}).decode(),
        schema=_SCHEMA,
        max_tokens=_TOKENS_PER_ITEM * len(items),
    )


def answers_in(said: Mapping[str, Any], n: int) -> dict[int, Enriched]:
    """Return what was said of each of `n` items, as far as it can be used; by number."""
    found: dict[int, Enriched] = {}
    listed = said.get("items")
    for each in listed if isinstance(listed, list) else ():
        if not isinstance(each, dict):
            continue
        number = each.get("n")
        if type(number) is not int or not 0 <= number < n or number in found:
            continue
        columns = {name: _texts(name, each.get(name)) for name in COLUMNS}
        if any(columns.values()):
            found[number] = columns
    return found


def _shown(cells: Cells) -> dict[str, Any]:
    """Return the cells of an item that say something, cut to a bounded size."""
    shown: dict[str, Any] = {}
    room = _MAX_ITEM
    for name, value in cells.items():
        if isinstance(value, str):
            value = value[:_MAX_CELL]  # noqa: PLW2901 - the same cell
        elif isinstance(value, list):
            value = [str(part)[:_MAX_TEXT] for part in value[:20]]  # noqa: PLW2901
        elif not isinstance(value, int | float):
            continue
        room -= len(name) + len(str(value))
        if value in ("", []) or room < 0:
            continue
        shown[name] = value
    return shown


def _texts(name: str, value: object) -> list[str]:
    texts = [
        normalised_query(text)[:_MAX_TEXT]
        for text in (value if isinstance(value, list) else [])
        if isinstance(text, str) and text.isprintable()
    ]
    allowed = [text for text in texts if text and (name != "tone" or text in TONES)]
    return list(dict.fromkeys(allowed))[: _MOST[name]]
