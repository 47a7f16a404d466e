"""The text of an item that the encoder reads: a template filled with the item's fields.

This module takes names and values and returns text. It knows neither columns nor recipes.
"""

import re
import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.types import JsonValue

DEFAULT_TEXT: Final = "{title}. {categories}. {text}"
"""The text of an item where a recipe does not say otherwise."""

# The literal text between two fields: what closes the left one, the separator, what opens the right
# one.
_BETWEEN = re.compile(r"([)\]}\"'»”]*)([.,;:|/!?–—-]*)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class _TemplateField:
    """A field, and the literal text that appears only together with the value of the field."""

    name: str
    before: str
    after: str
    separator: str


class TextTemplate:
    """A template such as `{title} ({year}). {categories}`.

    A missing field drops out together with the brackets and words around it. One separator stays
    between the fields on either side. Lists are joined by ", ".

    >>> template = TextTemplate("{title} ({year}). By {brand}: {text}")
    >>> template.render({"title": "Heat", "year": 1995, "brand": None, "text": "A heist."}.get)
    'Heat (1995). A heist.'
    >>> template.render({"title": "Heat", "brand": "Warner"}.get)
    'Heat. By Warner'
    """

    def __init__(self, template: str) -> None:
        """Parse a template. Raises `ValueError` saying what is wrong with it."""
        literals, names = _parsed(template)
        if not names:
            raise ValueError("it names no field")
        between = [_split(literal) for literal in literals[1:-1]]
        closings = [*((after, separator) for after, separator, _ in between), (literals[-1], "")]
        openings = [literals[0], *(opening for _, _, opening in between)]
        self._parts = [
            _TemplateField(name, before, after, separator)
            for name, before, (after, separator) in zip(names, openings, closings, strict=True)
        ]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the fields that it uses, each once, in order."""
        return tuple(dict.fromkeys(part.name for part in self._parts))

    def render(self, value_of: Callable[[str], JsonValue]) -> str:
        """Return the text; "" if all fields are missing. `value_of`: name -> value of a field."""
        text, separator = "", ""
        for part in self._parts:
            value = _shown(value_of(part.name))
            if value:
                # A value that ends a sentence itself needs no second full stop.
                gap = "" if text.endswith((".", "!", "?")) and separator == "." else separator
                text += (gap + part.before if text else part.before.lstrip()) + value + part.after
                separator = part.separator
            else:
                separator = separator or part.separator
        return text.strip()


def _parsed(template: str) -> tuple[list[str], list[str]]:
    """Return the n + 1 literals around the n fields, and the names of the fields."""
    literals, names = [""], list[str]()
    for literal, name, spec, conversion in string.Formatter().parse(template):
        literals[-1] += literal  # an escaped brace comes as a literal of its own
        if name is not None:
            if not name or spec or conversion:
                raise ValueError("write fields as {name}, without number, format or conversion")
            names.append(name)
            literals.append("")
    return literals, names


def _split(literal: str) -> tuple[str, str, str]:
    match = _BETWEEN.fullmatch(literal)
    return (match[1], match[2], match[3]) if match else ("", "", literal)


def _shown(value: JsonValue) -> str:
    if value is None or isinstance(value, str):
        return (value or "").strip()
    if isinstance(value, Sequence):
        return ", ".join(value)
    return str(value)
