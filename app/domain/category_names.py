"""The names of the categories of an item, in the forms that exports have.

    ["Drinks", "Hot"]    [["Drinks"], ["Hot"]]    [{"id": 3, "name": "Drinks"}]    "Drinks|Hot"
    "['Drinks', 'Hot']" (a list as text)          "Kitchen > Cups" (each level is a category)

Lists that are separated by commas or semicolons are split by `app.offline.input.lists`, which sees
a whole column.
"""

import ast
import math
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeAlias

import orjson

from app.domain.markup import plain_text

Cell: TypeAlias = Any

_NAME_KEYS: Final = ("name", "title", "label", "value", "term", "category", "genre")
_CHILDREN_KEYS: Final = ("children", "subcategories")
_MAX_DEPTH: Final = 8
_MOST_LISTS_OF_API: Final = 2
_MAX_LITERAL_CHARS: Final = 65_536
# Blanks on both sides or on none: "Size >XL" is a name.
_LEVELS: Final = re.compile(r"\s+[>»›→]\s+|(?<=[^\s>\-=])[>»›→](?=[^\s>=])")


class WrongCategoriesError(ValueError):
    """A value that names no categories."""


def category_names(value: Cell) -> tuple[str, ...] | None:
    """Return the names in a list or in text like `a|b`, each level once; None without any.

    Raises:
        WrongCategoriesError: some part of it has no name.

    >>> category_names([{"id": 3, "name": "Drinks"}, "Kitchen > Cups"])
    ('Drinks', 'Kitchen', 'Cups')
    >>> category_names("Tea|Herbal &amp; fruit")
    ('Tea', 'Herbal & fruit')
    """
    if isinstance(value, str):
        found = listed(value)
        return unique_levels(value.split("|") if found is None else named(found, strict=True))
    if isinstance(value, int | float):  # it could be anything
        raise WrongCategoriesError
    return unique_levels(named(value, strict=True))


def listed(text: str) -> list[Any] | None:
    """Return the list that a text spells, in JSON or as Python writes it; None if it spells none.

    >>> listed("['a', 'b']"), listed('[{"name": "a"}]'), listed("[sic]")
    (['a', 'b'], [{'name': 'a'}], None)
    """
    text = text.strip()
    if text[:2] == "c(" and text[-1:] == ")":  # as R writes it
        text = f"[{text[2:-1]}]"
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


def named(value: Cell, *, strict: bool = False) -> Iterator[str]:
    """Yield the names in nested lists, and in objects that have one.

    Parts without a name are left out, if there are others that have one and this is not `strict`.

    Raises:
        WrongCategoriesError: there is something, but no names in it.
    """
    found = _Names(strict=strict)
    found.add(value)
    if found.is_wrong and (strict or not found.names):
        raise WrongCategoriesError
    yield from found.names


class _Names:
    """The names that were found so far, and whether anything had none.

    `strict`: as the schema of the API describes it: lists within a list at most, and no gaps.
    """

    def __init__(self, *, strict: bool) -> None:
        self.names: list[str] = []
        self.is_wrong = False
        self._strict = strict
        self._most_lists = _MOST_LISTS_OF_API if strict else _MAX_DEPTH

    def add(self, value: Cell, depth: int = 0, lists: int = 0) -> None:
        """Add the names in a value. `lists`: how many lists are directly around it."""
        if isinstance(value, str):
            self.names.append(value)
        elif isinstance(value, int) and not isinstance(value, bool):
            self.names.append(str(value))
        elif isinstance(value, float) and math.isfinite(value):
            self.names.append(f"{value:.15g}")
        elif isinstance(value, list | tuple) and lists < self._most_lists and depth < _MAX_DEPTH:
            for part in value:
                self.add(part, depth + 1, lists + 1)
        elif isinstance(value, dict) and depth < _MAX_DEPTH:
            self._add_object(value, depth)
        elif value is not None or self._strict:
            self.is_wrong = True

    def _add_object(self, value: dict[str, Any], depth: int) -> None:
        lower = {str(key).lower(): part for key, part in value.items()}
        name = _name_of(lower)
        if name is not None:
            if lower.get("parent") is not None:
                self.add(lower["parent"], depth + 1)
            self.names.append(name)
            for key in _CHILDREN_KEYS:
                if lower.get(key) is not None:
                    self.add(lower[key], depth + 1)
            return
        inner = [part for part in value.values() if isinstance(part, dict | list)]
        inner = [] if self._strict else inner
        self.is_wrong = self.is_wrong or not inner
        for part in inner:
            self.add(part, depth + 1)


def _name_of(lower: dict[str, Any]) -> str | None:
    """Return the name of an object: under a usual key, else under one such as `categoryName`."""
    keys = [*_NAME_KEYS, *(key for key in lower if key.endswith("name"))]
    return next((lower[key] for key in keys if isinstance(lower.get(key), str)), None)


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
