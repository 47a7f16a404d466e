"""Recipes: what to build from which columns, as TOML. Every key is checked.

    encoder = "all-MiniLM-L6-v2"
    text = "{title}. {categories}"
    [items]                       # our field = their column
    [events]                      # the same; default_event for files without a kind of event
    [weights.rating]              # how much an event of this kind counts, and for how long
    [roles]                       # which attribute is the price, rating, brand, provider, runtime

This module reads and checks recipes; it does not open data files.
"""

import tomllib
from collections.abc import Set
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    field_validator,
    model_validator,
)

from app.core.errors import UsageError
from app.domain.event_rules import DEFAULT_EVENT_RULES, MAX_KIND_CHARS, EventRule
from app.domain.item_text import DEFAULT_TEXT, TextTemplate


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ItemColumns(_Strict):
    """`[items]`: the column of each of our fields. Other columns become attributes."""

    path: str | None = None
    id: str = "id"
    title: str = "title"
    text: str = "text"
    categories: str = "categories"
    published_at: str = "published_at"


class EventColumns(_Strict):
    """`[events]`: the column of each of our fields; `user` and `item` are known as short forms."""

    path: str | None = None
    user_id: str | None = None
    session_id: str = "session_id"
    item_id: str | None = None
    event: str = "event"
    value: str = "value"
    timestamp: str = "timestamp"
    event_id: str = "event_id"
    recommendation_id: str = "recommendation_id"
    default_event: str = Field(default="click", min_length=1, max_length=MAX_KIND_CHARS)


_Section = TypeVar("_Section", ItemColumns, EventColumns)


class Roles(_Strict):
    """`[roles]`: the attribute that plays each part; the first three are numbers."""

    price: str | None = None
    rating: str | None = None
    runtime: str | None = None
    brand: str | None = None
    provider: str | None = None

    def given(self) -> dict[str, str]:
        """Return role -> attribute for the roles that are set."""
        return {role: name for role, name in self.model_dump().items() if name is not None}


class Recipe(_Strict):
    """A whole recipe; `Recipe()` takes our own column names."""

    encoder: str = "all-MiniLM-L6-v2"
    text: str = DEFAULT_TEXT
    items: ItemColumns = ItemColumns()
    events: EventColumns = EventColumns()
    weights: dict[str, EventRule] = {}
    roles: Roles = Roles()

    _file: str = PrivateAttr("the default recipe")

    @property
    def file(self) -> str:
        """Name of the file it came from, for messages."""
        return self._file

    def shown(self) -> dict[str, Any]:
        """Return what `Recipe.model_validate` takes back, without the places of files.

        Only what was set: a recipe that names a column claims that it is there.
        """
        paths = {"items": {"path"}, "events": {"path"}}
        return self.model_dump(mode="json", exclude_unset=True, exclude=paths)

    def check_columns(self, section: Literal["items", "events"], seen: Set[str], file: str) -> None:
        """Refuse a recipe that names a column which no row of the file has.

        Only what the recipe itself names: our own column names need not be there. `seen`: all
        columns that were met, empty if there were no rows.

        Raises:
            UsageError: names key, column and file.
        """
        columns = self.items if section == "items" else self.events
        for field in sorted(columns.model_fields_set - {"path", "default_event"}):
            column = getattr(columns, field)
            if seen and column not in seen:
                raise UsageError(
                    f"{self.file}: {section}.{field} names the column {column!r}, "
                    f"which {file} does not have"
                )

    @field_validator("text")
    @classmethod
    def _is_template(cls, text: str) -> str:
        TextTemplate(text)
        return text

    @model_validator(mode="before")
    @classmethod
    def _over_default_weights(cls, data: Any) -> Any:  # noqa: ANN401 — anything may be given
        """Fill in the defaults: a recipe names only the kinds that it changes or adds.

        A kind that is given no weight keeps its default one, and what goes with that.
        """
        weights = data.get("weights", {}) if isinstance(data, dict) else None
        if not isinstance(weights, dict):
            return data  # refused in a moment, with the name of the key
        given = {kind: _over_default(kind, said) for kind, said in weights.items()}
        return {**data, "weights": {**DEFAULT_EVENT_RULES, **given}}


def _over_default(kind: str, said: Any) -> Any:  # noqa: ANN401 — anything may be given
    default = DEFAULT_EVENT_RULES.get(kind)
    if default is None or not isinstance(said, dict) or "weight" in said:
        return said
    return {**default.model_dump(exclude_unset=True), **said}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; paths in it are relative to its folder.

    Raises:
        UsageError: unreadable, not TOML, or with a wrong key; names key and file.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        recipe = Recipe.model_validate(data)
    except OSError as error:
        raise UsageError(f"the recipe {path.name} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"{path.name}: {key}: {first['msg']}") from error
    except ValueError as error:  # UnicodeDecodeError, TOMLDecodeError
        raise UsageError(f"{path.name} is not TOML: {error}") from error
    resolved = recipe.model_copy(
        update={
            "items": _resolved(recipe.items, path.parent),
            "events": _resolved(recipe.events, path.parent),
        }
    )
    resolved._file = path.name  # noqa: SLF001 — its own module
    return resolved


def _resolved(section: _Section, folder: Path) -> _Section:
    if section.path is None:
        return section
    return section.model_copy(update={"path": str(folder / section.path)})
