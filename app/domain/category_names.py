"""The names of the categories of an item, in the forms that exports have.

    ["Drinks", "Hot"]    [["Drinks"], ["Hot"]]    [{"id": 3, "name": "Drinks"}]    "Drinks|Hot"
    "['Drinks', 'Hot']" (a list as text)          "Kitchen > Cups" (each level is a category)

Lists that are separated by commas or semicolons are split by `app.offline.input.lists`, which sees
a whole column.
"""

import ast
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import orjson

from app.domain.markup import plain_text

Cell: TypeAlias = Any

_NAME_KEYS: Final = ("name", "title", "label", "value", "term")
_CHILDREN_KEYS: Final = ("children", "subcategories")
_MAX_DEPTH: Final = 8
_MAX_LITERAL_CHARS: Final = 65_536
# Blanks on both sides or on none: "Size >XL" is a name.
_LEVELS: Final = re.compile(r"\s+[>»›→]\s+|(?<=[^\s>\-=])[>»›→](?=[^\s>=])")


class WrongCategoriesError(ValueError):
    """A value that names no categories."""


def category_names(value: Cell) -> tuple[str, ...] | None:
    """Return the names in a list or in text like `a|b`, each level once; None without any.

    Raises:
        WrongCategoriesError: there are no names in it.

    >>> category_names([{"id": 3, "name": "Drinks"}, "Kitchen > Cups"])
    ('Drinks', 'Kitchen', 'Cups')
    >>> category_names("Tea|Herbal &amp; fruit")
    ('Tea', 'Herbal & fruit')
    """
    if isinstance(value, str):
        found = listed(value)
        return unique_levels(value.split("|") if found is None else named(found))
    if isinstance(value, int | float):  # it could be anything
        raise WrongCategoriesError
    return unique_levels(named(value))


def listed(text: str) -> list[Any] | None:
    """Return the list that a text spells, in JSON or as Python writes it; None if it spells none.

    >>> listed("['a', 'b']"), listed('[{"name": "a"}]'), listed("[sic]")
    (['a', 'b'], [{'name': 'a'}], None)
    """
    text = text.strip()
    if not (text[:1] == "[" and text[-1:] == "]"):
        return None
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = ast.literal_eval(text) if len(text) <= _MAX_LITERAL_CHARS else None
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            return None
    return value if isinstance(value, list) else None


def named(value: Cell, depth: int = 0) -> Iterator[str]:
    """Yield the names in nested lists, and in objects that have one. Raises as above."""
    if value is None:
        return
    if isinstance(value, str):
        yield value
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield f"{value:.15g}" if isinstance(value, float) else str(value)
    elif isinstance(value, list | tuple) and depth < _MAX_DEPTH:
        for part in value:
            yield from named(part, depth + 1)
    elif isinstance(value, dict) and depth < _MAX_DEPTH:
        yield from _named_object(value, depth)
    else:
        raise WrongCategoriesError


def _named_object(value: dict[str, Any], depth: int) -> Iterator[str]:
    lower = {str(key).lower(): part for key, part in value.items()}
    name = next((lower[key] for key in _NAME_KEYS if isinstance(lower.get(key), str)), None)
    if name is None:
        raise WrongCategoriesError
    if lower.get("parent"):
        yield from named(lower["parent"], depth + 1)
    yield name
    for key in _CHILDREN_KEYS:
        yield from named(lower.get(key), depth + 1)


def unique_levels(names: Iterable[str]) -> tuple[str, ...] | None:
    """Return each level of each name once, in order, without blanks around it; None without any.

    >>> unique_levels(["Kitchen > Cups", "Kitchen", " Size >XL "])
    ('Kitchen', 'Cups', 'Size >XL')
    """
    found: dict[str, None] = {}
    for name in names:
        for level in levels_of(plain_text(name)):
            found[level] = None
    return tuple(found) or None


def levels_of(text: str) -> list[str]:
    """Return the levels of a path, without blanks around them."""
    is_path = ">" in text or "»" in text or "›" in text or "→" in text
    levels = _LEVELS.split(text) if is_path else [text]
    return [level for part in levels if (level := part.strip())]
