"""Recipes: TOML files that map columns to our fields and say what events mean.

    encoder = "all-MiniLM-L6-v2"  # or a hub name, or a folder
    text = "{title}. {categories}"
    day_first = true              # 05/09/2021 is in September
    [items]                       # our field = column of the file
    [events]                      # the same; default_event is the kind of events without one
    [users]                       # the column of the id; which columns are attributes
    [judgements]                  # our field = column of a file of judgements
    [weights.rating]              # the event rule of a kind
    [roles]                       # which attribute is the price, rating, runtime, brand, provider
    [units]                       # the unit of time of an attribute
    [separators]                  # what separates the parts of a text that is a list
    [defaults]                    # what a request means that does not say it
    [goals]                       # how much an event of a kind is worth, for requests without goals
    [format.items]                # how the file is written, where the guess is wrong

An unknown key is an error. This module reads and checks recipes; it does not open data files.
"""

import tomllib
from collections.abc import Set
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

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
from app.core.unknown_fields import unknown_field
from app.core.validation_words import words_for
from app.domain.columns import TimeUnit
from app.domain.event_rules import DEFAULT_EVENT_RULES, MAX_KIND_CHARS, EventRule
from app.domain.item_text import DEFAULT_TEXT, TextTemplate
from app.domain.named_values import ID_NAMES, MAX_NAME_CHARS, MAX_NAMES
from app.domain.request import MAX_GOALS, MAX_GROUPED_FIELDS, MAX_PER
from app.offline.input.column_names import listed, nearest_name, toml_text

Quote = Literal['"', "'", ""]
ValueName = Annotated[str, Field(min_length=1, max_length=MAX_NAME_CHARS)]


class _RecipePart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class ItemColumns(_RecipePart):
    """`[items]`: the column of each of our fields. Other columns become attributes."""

    path: str | None = None
    id: str = "id"
    title: str = "title"
    text: str = "text"
    categories: str = "categories"
    published_at: str = "published_at"


class EventColumns(_RecipePart):
    """`[events]`: the column of each of our fields, and of each value of the context.

    A file may also have `user` and `item` in place of `user_id` and `item_id`.
    """

    path: str | None = None
    user_id: str | None = None
    session_id: str = "session_id"
    item_id: str | None = None
    event: str = "event"
    value: str = "value"
    timestamp: str = "timestamp"
    event_id: str = "event_id"
    recommendation_id: str = "recommendation_id"
    query: str = "query"
    context: dict[ValueName, str] = Field(default={}, max_length=MAX_NAMES)
    default_event: str = Field(default="click", min_length=1, max_length=MAX_KIND_CHARS)


class UserColumns(_RecipePart):
    """`[users]`: the column of the id, and the columns that are attributes; None = all others.

    Without a column of the id, a file may have `id`, `user_id` or `user`.
    """

    path: str | None = None
    id: str | None = None
    attributes: list[ValueName] | None = Field(default=None, max_length=MAX_NAMES)

    @field_validator("attributes")
    @classmethod
    def _are_no_ids(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and not set(names).isdisjoint(ID_NAMES):
            raise ValueError(f"{', '.join(ID_NAMES)} name the user, and no attribute")
        return names


class JudgementColumns(_RecipePart):
    """`[judgements]`: the columns of a file that says how well items fit queries."""

    path: str | None = None
    query: str = "query"
    item_id: str = "item_id"
    grade: str = "grade"


_Section = TypeVar("_Section", ItemColumns, EventColumns, UserColumns, JudgementColumns)


class FileFormat(_RecipePart):
    """`[format.items]` and so on: how a file is written; None = recognised by its content.

    Attributes:
        encoding: as Python names it, such as `cp1252`.
        delimiter: what separates the cells, one character or more.
        quote: what encloses a cell; "" = nothing does.
        header: the first row has the names of the columns.
        columns: the names, of a file without them or in place of them.
    """

    encoding: str | None = None
    delimiter: str | None = Field(default=None, min_length=1, max_length=8)
    quote: Quote | None = None
    header: bool | None = None
    columns: list[ValueName] | None = Field(default=None, min_length=1)

    @field_validator("encoding")
    @classmethod
    def _is_encoding(cls, name: str | None) -> str | None:
        if name is not None:
            try:
                "".encode(name)
            except LookupError as error:
                raise ValueError("no such encoding; examples: utf-8, cp1252, utf-16") from error
        return name

    @field_validator("delimiter")
    @classmethod
    def _separates(cls, delimiter: str | None) -> str | None:
        if delimiter is not None and not set(delimiter).isdisjoint("\r\n\"'"):
            raise ValueError("a line break or a quote cannot separate cells")
        return delimiter

    @field_validator("columns")
    @classmethod
    def _are_different(cls, names: list[str] | None) -> list[str] | None:
        if names is not None and len(set(names)) < len(names):
            raise ValueError("each column needs a name of its own")
        return names


class Formats(_RecipePart):
    """`[format]`: how each file is written."""

    items: FileFormat = FileFormat()
    events: FileFormat = FileFormat()
    users: FileFormat = FileFormat()
    judgements: FileFormat = FileFormat()


class Roles(_RecipePart):
    """`[roles]`: the attribute of each role; price, rating and runtime are numbers.

    A role that is not set is guessed by the build; "" switches the guess off.
    """

    price: str | None = None
    rating: str | None = None
    runtime: str | None = None
    brand: str | None = None
    provider: str | None = None

    def attributes(self) -> dict[str, str]:
        """Return role -> attribute for the roles that are set."""
        return {role: name for role, name in self.model_dump().items() if name}


class Defaults(_RecipePart):
    """`[defaults]`: fields of a request that apply where a request does not set them.

    `max_per`: field -> how many items with the same value of it may be in an answer.
    """

    max_per: dict[str, Annotated[int, Field(ge=1, le=MAX_PER)]] = Field(
        default={}, max_length=MAX_GROUPED_FIELDS
    )


class Recipe(_RecipePart):
    """A whole recipe. `Recipe()` reads files with our own column names.

    `separators`: "categories", or an attribute of items -> what separates the parts of its texts;
    "" = they are whole. `day_first`: whether dates such as 05/09/2021 begin with the day; None =
    their column tells.
    """

    encoder: str = Field(default="all-MiniLM-L6-v2", min_length=1)
    text: str = DEFAULT_TEXT
    items: ItemColumns = ItemColumns()
    events: EventColumns = EventColumns()
    users: UserColumns = UserColumns()
    judgements: JudgementColumns = JudgementColumns()
    weights: dict[str, EventRule] = {}
    roles: Roles = Roles()
    units: dict[str, TimeUnit] = {}
    separators: dict[str, str] = {}
    day_first: bool | None = None
    defaults: Defaults = Defaults()
    goals: dict[str, Annotated[float, Field(ge=0, le=1)]] = Field(default={}, max_length=MAX_GOALS)
    format: Formats = Formats()

    _file: str = PrivateAttr("the default recipe")

    @property
    def file(self) -> str:
        """Name of the file it came from, for messages."""
        return self._file

    def shown(self) -> dict[str, Any]:
        """Return what was set in the recipe, without paths, as `Recipe.model_validate` reads it.

        Defaults are left out: a recipe that names a column claims that files have it.
        """
        sections = ("items", "events", "users", "judgements")
        paths = {section: {"path"} for section in sections}
        shown = self.model_dump(mode="json", exclude_unset=True, exclude=paths)
        if "encoder" in shown and Path(self.encoder).is_dir():
            shown["encoder"] = Path(self.encoder).name
        return shown

    def check_columns(
        self, section: Literal["items", "events", "users", "judgements"], seen: Set[str], file: str
    ) -> None:
        """Refuse a recipe that names a column which no row of the file has.

        Columns that the recipe does not name itself may be missing. `seen`: all columns of the
        file; empty if it has no rows.

        Raises:
            UsageError: names key, column and file.
        """
        columns: _RecipePart = getattr(self, section)
        wrong = [
            (field, column)
            for field in sorted(columns.model_fields_set - {"path", "default_event"})
            for column in _columns_of(getattr(columns, field))
            if seen and column and column not in seen
        ]
        if wrong:
            named = ", ".join(f"{section}.{field} names the column {c!r}" for field, c in wrong)
            near = {field: nearest_name(column, sorted(seen)) for field, column in wrong}
            lines = [f"{field} = {toml_text(name)}" for field, name in near.items() if name]
            raise UsageError(
                f"{self.file}: {named}, which {file} does not have. It has {listed(sorted(seen))}"
                + (f"; nearest: {', '.join(lines)}" if lines else "")
            )

    def check_defaults(self, fields: Set[str]) -> None:
        """Refuse a default for a field that the items do not have. Raises `UsageError`."""
        for field in self.defaults.max_per.keys() - fields:
            known = ", ".join(sorted(fields))
            raise UsageError(
                f"{self.file}: defaults.max_per: there is no column {field!r}; there are {known}"
            )

    @field_validator("text")
    @classmethod
    def _is_template(cls, text: str) -> str:
        TextTemplate(text)
        return text

    @model_validator(mode="before")
    @classmethod
    def _over_default_weights(cls, data: Any) -> Any:  # noqa: ANN401 — anything may be given
        """Fill in the default rules: a recipe names only the kinds that it changes or adds.

        A rule without a weight changes only what it names in the default rule of its kind.
        """
        weights = data.get("weights", {}) if isinstance(data, dict) else None
        if not isinstance(weights, dict):
            return data  # the validation that follows refuses it, and names the key
        own = {kind: _over_default(kind, rule) for kind, rule in weights.items()}
        return {**data, "weights": {**DEFAULT_EVENT_RULES, **own}}


def _over_default(kind: str, rule: Any) -> Any:  # noqa: ANN401 — anything may be given
    default = DEFAULT_EVENT_RULES.get(kind)
    if default is None or not isinstance(rule, dict) or "weight" in rule:
        return rule
    return {**default.model_dump(exclude_unset=True), **rule}


def load_recipe(path: Path) -> Recipe:
    """Read a recipe; paths in it are relative to its folder.

    Raises:
        UsageError: it cannot be read, is not TOML, or has a wrong key; names file and key.
    """
    try:
        data = tomllib.loads(path.read_text("utf-8"))
        recipe = Recipe.model_validate(data)
    except OSError as error:
        raise UsageError(f"the recipe {path.name} cannot be read: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "the recipe"
        unknown = first["type"] == "extra_forbidden"
        said = unknown_field(Recipe, first["loc"], noun="key") if unknown else words_for(first)
        raise UsageError(f"{path.name}: {key}: {said}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path.name} is not TOML: it is not UTF-8") from error
    except ValueError as error:  # TOMLDecodeError
        raise UsageError(f"{path.name} is not TOML: {error}") from error
    found: dict[str, Any] = {
        "items": _resolved(recipe.items, path.parent),
        "events": _resolved(recipe.events, path.parent),
        "users": _resolved(recipe.users, path.parent),
        "judgements": _resolved(recipe.judgements, path.parent),
    }
    folder = path.parent / recipe.encoder
    if "encoder" in recipe.model_fields_set and folder.is_dir():
        found["encoder"] = str(folder)
    resolved = recipe.model_copy(update=found)
    resolved._file = path.name  # noqa: SLF001 — its own module
    return resolved


def _columns_of(value: str | list[str] | dict[str, str]) -> list[str]:
    """Return the columns that one key of a recipe names."""
    if isinstance(value, str):
        return [value]
    return value if isinstance(value, list) else list(value.values())


def _resolved(section: _Section, folder: Path) -> _Section:
    if section.path is None:
        return section
    return section.model_copy(update={"path": str(folder / section.path)})
