"""The usual names of columns, from `column_names.toml`, and how names are compared.

Two names are the same if their words are: case, accents, signs and the way in which words are
joined do not matter. This module knows no files and no values.
"""

import difflib
import json
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, get_args

from app.domain.columns import TimeUnit

_LEAST_LIKENESS: Final = 0.5
_MOST_LISTED: Final = 30

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class KnownNames:
    """The content of `column_names.toml`, folded.

    Attributes:
        ranks: role -> name -> position, the likeliest at 0.
        ignored: role -> words that a column's name may contain besides.
        lengths: names that are a runtime only beside a unit of time.
        units: word -> unit of time.
        fields: section of a recipe -> field -> name without blanks -> position.
        things: words that may stand before or after the name of a field.
        ratings: name without blanks -> position.
    """

    ranks: dict[str, dict[str, int]]
    ignored: dict[str, frozenset[str]]
    lengths: frozenset[str]
    units: dict[str, TimeUnit]
    fields: dict[str, dict[str, dict[str, int]]]
    things: frozenset[str]
    ratings: dict[str, int]


@cache
def known_names() -> KnownNames:
    """Return the usual names."""
    raw = tomllib.loads(Path(__file__).with_name("column_names.toml").read_text("utf-8"))
    units = {word: unit for unit in get_args(TimeUnit) for word in _folded(raw["units"][unit])}
    more = {"price": _folded(raw["currencies"]), "runtime": units}
    fillers, sections = _folded(raw["fillers"]), dict(raw["fields"])
    things = frozenset(_folded(sections.pop("things")))
    return KnownNames(
        ranks={role: _ranked(_folded(names)) for role, names in raw["roles"].items()},
        ignored={role: frozenset([*fillers, *more.get(role, ())]) for role in raw["roles"]},
        lengths=frozenset(_folded(raw["lengths"])),
        units=units,
        fields={
            section: {field: _ranked(map(joined, names)) for field, names in fields.items()}
            for section, fields in sections.items()
        },
        things=things,
        ratings=_ranked(map(joined, raw["ratings"]["names"])),
    )


def field_rank(section: str, field: str, name: str) -> int | None:
    """Return the rank of a column's name among the usual ones of a field; None = it is none.

    Of items, a word such as `product` may stand beside a name: it then comes after the bare one.

    >>> field_rank("items", "id", "id"), field_rank("items", "id", "movieId")
    (0, 1)
    >>> field_rank("items", "title", "weight")
    """
    ranks = known_names().fields[section][field]
    key = joined(name)
    if key in ranks:
        return 2 * ranks[key]
    rests = _without_things(name) if section == "items" else ()
    return next((2 * ranks[rest] + 1 for rest in rests if rest in ranks), None)


def rating_rank(name: str) -> int | None:
    """Return the rank of a column's name among those of ratings in a file of events.

    >>> rating_rank("Rating"), rating_rank("Book-Rating") is None, rating_rank("price")
    (0, False, None)
    """
    return known_names().ratings.get(joined(name))


def _without_things(name: str) -> list[str]:
    """Return what is left of a name without words such as `product`: "movieid" leaves "id"."""
    things, key = known_names().things, joined(name)
    apart = "".join(word for word in words(name) if word not in things)
    rests = [key.removeprefix(thing) for thing in things]
    rests += [key.removesuffix(thing) for thing in things]
    return [apart, *sorted(rest for rest in rests if rest != key)]


def is_known_name(name: str) -> bool:
    """Tell whether a field, a role or a rating has such a name."""
    known, key = known_names(), joined(name)
    return bool(key) and (
        key in known.ratings
        or any(
            field_rank(section, field, name) is not None
            for section, fields in known.fields.items()
            for field in fields
        )
        or any(" ".join(words(name)) in ranks for ranks in known.ranks.values())
    )


def same_name(name: str, names: Collection[str]) -> str | None:
    """Return the one of `names` that is this one, or the only one that is written otherwise.

    >>> same_name("published_at", ["id", "Published At"]), same_name("id", ["Id", "ID"])
    ('Published At', None)
    """
    if name in names:
        return name
    like = [other for other in names if joined(other) == joined(name)]
    return like[0] if len(like) == 1 and joined(name) else None


def nearest_name(name: str, names: Iterable[str]) -> str | None:
    """Return the one of `names` that is spelled most like this one; None = none is like it.

    >>> nearest_name("titel", ["price", "Title"]), nearest_name("id", ["price"])
    ('Title', None)
    """
    keys = {joined(other): other for other in names}
    found = difflib.get_close_matches(joined(name), list(keys), n=1, cutoff=_LEAST_LIKENESS)
    return keys[found[0]] if found else None


def listed(names: Iterable[str]) -> str:
    """Return names in quotes, a bounded number of them."""
    shown = [repr(name) for name in names]
    more = f" and {len(shown) - _MOST_LISTED} more" if len(shown) > _MOST_LISTED else ""
    return ", ".join(shown[:_MOST_LISTED]) + more


def toml_text(text: str) -> str:
    """Return text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


def toml_table(table: str, values: Mapping[str, str]) -> list[str]:
    """Return texts as lines of a table of a recipe; [] without any."""
    keys = {key if _BARE_KEY.fullmatch(key) else toml_text(key): values[key] for key in values}
    head = [f"  [{table}]"] if values else []
    return [*head, *(f"  {key} = {toml_text(value)}" for key, value in keys.items())]


def words(name: str) -> list[str]:
    """Return the words of a name, without case and accents.

    >>> words("avgRating"), words("Durée (min.)")
    (['avg', 'rating'], ['duree', 'min'])
    """
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    letters = unicodedata.normalize("NFKD", apart.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return re.findall(r"[^\W_]+", bare)


def joined(name: str) -> str:
    """Return the words of a name without anything between them.

    >>> joined("User-ID"), joined("userId"), joined("Body (HTML)")
    ('userid', 'userid', 'bodyhtml')
    """
    return "".join(words(name))


def _folded(names: Iterable[str]) -> list[str]:
    return [" ".join(words(name)) for name in names]


def _ranked(names: Iterable[str]) -> dict[str, int]:
    """Return the position of each name; the first counts where one comes twice."""
    return {name: rank for rank, name in enumerate(dict.fromkeys(names))}
