"""The titles of shelves, by their kind and the language of the caller (`titles.toml`)."""

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final, Literal, TypeAlias

TitleOf: TypeAlias = Literal[
    "continue", "because", "new", "new_for_you", "popular", "popular_near_you"
]

_FALLBACK: Final = "en"
_TITLE: Final = "{title}"


def title_of(kind: TitleOf, language: str) -> str:
    """Return the title of a kind of shelf. Of a language without titles, English is used.

    >>> title_of("new", "es-MX"), title_of("new", "fi")
    ('Novedades', 'New')
    """
    known = languages()
    code = language.replace("_", "-").partition("-")[0].lower()
    return known.get(code, known[_FALLBACK])[kind]


def with_item(template: str, item_title: str) -> str:
    """Return a title with the title of an item in its place.

    >>> with_item("Because you took {title}", "Heat {1995}")
    'Because you took Heat {1995}'
    """
    return template.replace(_TITLE, item_title)


@cache
def languages() -> Mapping[str, Mapping[TitleOf, str]]:
    """Return all titles, by code of language and kind."""
    text = files(__package__).joinpath("titles.toml").read_text("utf-8")
    found: dict[str, dict[TitleOf, str]] = tomllib.loads(text)
    return found
