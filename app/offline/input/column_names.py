"""The usual names of columns, from `column_names.toml`, and how names are compared.

Two names are the same if their words are: case, accents, signs and the way in which words are
joined do not matter. This module knows no files and no values.
"""

import difflib
import re
import tomllib
import unicodedata
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, get_args

from app.domain.columns import TimeUnit

_LEAST_LIKENESS: Final = 0.5


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
    """Return the position of a column's name among the usual ones of a field; None = it is none.

    A name with a word such as `product` beside it comes after all that have none.

    >>> field_rank("items", "id", "SKU"), field_rank("items", "title", "weight")
    (1, None)
    """
    ranks = known_names().fields[section][field]
    rank = ranks.get(joined(name))
    if rank is not None:
        return rank
    things = known_names().things
    rest = [word for word in words(name) if word not in things]
    rank = ranks.get("".join(rest))
    return None if rank is None else len(ranks) + rank


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
