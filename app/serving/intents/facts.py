"""What a language model may name of a catalogue: its fields, their values and their ranges.

They are counted once for each bundle, before it serves. Counting takes seconds for a large
catalogue, so it must not happen in the thread that ranks.
"""

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from app.core.ports import Engine
from app.core.types import Facets, FieldFacts
from app.domain.filters import Range, parse_filter
from app.domain.filters import filter_text as text_of

MOST_VALUES: Final = 20_000
"""A field with more different values is nothing that a query demands, such as a part number."""

_BOUNDED: Final = frozenset({"number", "time"})


def count_values(engine: Engine) -> Facets:
    """Count the values of all fields. Blocking, for an engine that does not serve yet."""
    return engine.facets("", tuple(engine.info.attributes), MOST_VALUES)


@dataclass(frozen=True, eq=False)
class CatalogueFacts:
    """What is known of one bundle.

    Attributes:
        bundle: its id.
        encoder: id of the encoder that reads the words of queries.
        fields: by name; those that have a value and that a query can make demands on.
    """

    bundle: str
    encoder: str
    fields: Mapping[str, FieldFacts]

    @classmethod
    def of(cls, engine: Engine, facets: Facets) -> "CatalogueFacts":
        """Return the facts of an engine's catalogue from its facets."""
        info = engine.info
        fields = {f.name: f for f in facets.fields if f.count and _is_demandable(f)}
        return cls(info.bundle, info.encoder, fields)

    @cached_property
    def kinds(self) -> Mapping[str, str]:
        """Field -> kind."""
        return {name: field.kind for name, field in self.fields.items()}

    def field(self, name: str) -> str | None:
        """Return the field of a name that may be spelled in other cases; None if there is none."""
        return name if name in self.fields else self._names.get(name.casefold())

    def spelling(self, field: str, value: str) -> str | None:
        """Return how the catalogue spells a value of a field; None if no item has it."""
        exact, folded = self._spellings(field)
        return value if value in exact else folded.get(value.casefold())

    def range(self, field: str) -> tuple[float, float]:
        """Return the lowest and the highest number, or time in unix seconds, of a field."""
        return self._ranges[field]

    def frequent(self, field: str, most: int) -> Sequence[str]:
        """Return the most frequent values of a field, at most so many."""
        return [str(value) for value, _ in self.fields[field].values[:most]]

    @cached_property
    def _names(self) -> Mapping[str, str]:
        return {name.casefold(): name for name in self.fields}

    @cached_property
    def _by_field(self) -> dict[str, tuple[Set[str], Mapping[str, str]]]:
        return {}

    def _spellings(self, field: str) -> tuple[Set[str], Mapping[str, str]]:
        """Return the values of a field, and the value of each case-folded one."""
        if field not in self._by_field:
            names = [str(value) for value, _ in self.fields[field].values]
            # Of two values that differ in case, the more frequent one is meant.
            folded = {name.casefold(): name for name in reversed(names)}
            self._by_field[field] = frozenset(names), folded
        return self._by_field[field]

    @cached_property
    def _ranges(self) -> Mapping[str, tuple[float, float]]:
        return {
            name: (_bounds(field, field.low)[0], _bounds(field, field.high)[1])
            for name, field in self.fields.items()
            if field.kind in _BOUNDED
        }


def _is_demandable(field: FieldFacts) -> bool:
    return field.distinct is None or field.distinct <= MOST_VALUES


def _bounds(field: FieldFacts, value: object) -> tuple[float, float]:
    """Return the first and the last number that a value of a field stands for."""
    kinds = {field.name: field.kind}
    low = parse_filter(text_of({field.name: {"gte": value}}), kinds)
    high = parse_filter(text_of({field.name: {"lte": value}}), kinds)
    if not isinstance(low, Range) or not isinstance(high, Range):
        raise TypeError(f"{field.name!r} has no range")
    return low.low, high.high
