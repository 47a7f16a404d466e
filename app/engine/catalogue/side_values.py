"""Who and where: what was learned of the values of user attributes and of contexts.

A value belongs to a name: NZ to country, 14 to hour. A value that few people, or few events, have
teaches nothing: it has no code, and means nothing. `app.offline.learning.fit_sides` makes all this.
How it lies in a bundle is written here.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from app.core.bounds import are_below, are_finite, are_offsets, is_plain
from app.core.errors import BundleError
from app.core.types import Attributes, Codes, Context, Matrix, Rows, Vector
from app.domain.columns import Arrays, decode_column, encode_column, parts_of, prefixed
from app.domain.named_values import text_of

Entry: TypeAlias = tuple[str, str]
"""A name, and the text of a value or of a range of numbers."""

_PARTS = ("attributes", "context")


class SideVocabulary:
    """The values that have codes: the positions of its entries, sorted by name and text.

    An entry is a value, or a range of numbers (`range_text`). Numbers of a name with ranges belong
    to the last one that begins at or below them, or to the first.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        """Give a code to each of some entries."""
        self.entries = tuple(sorted(entries))
        self._code_of = {entry: code for code, entry in enumerate(self.entries)}
        ranges = ((name, _low(text), text) for name, text in self.entries)
        self._ranges: dict[str, list[tuple[float, str]]] = {}
        for name, low, text in ranges:
            if low is not None:
                self._ranges.setdefault(name, []).append((low, text))
        for each in self._ranges.values():
            each.sort()

    def __len__(self) -> int:
        return len(self.entries)

    def code(self, name: str, text: str) -> int:
        """Return the code of the text of a value or a range; -1 if it has none."""
        return self._code_of.get((name, text), -1)

    def codes(self, values: Attributes | Context) -> list[int]:
        """Return the codes of named values; unknown ones are left out."""
        found = [self.code(name, text) for name, text in self.entries_of(values)]
        return [code for code in found if code >= 0]

    def entries_of(self, values: Attributes | Context) -> Iterator[Entry]:
        """Yield the name and text of everything that may have a code, for a list of each text.

        >>> vocabulary = SideVocabulary([("age", "18..24"), ("age", "25..60")])
        >>> list(vocabulary.entries_of((("age", 31.0), ("likes", ("jam", "tea")))))
        [('age', '25..60'), ('likes', 'jam'), ('likes', 'tea')]
        """
        for name, value in values:
            for each in value if isinstance(value, tuple) else [value]:
                ranges = self._ranges.get(name) if type(each) is float else None
                if ranges is None:
                    yield name, text_of(each)
                else:
                    at = bisect_right(ranges, each, key=itemgetter(0))
                    yield name, ranges[max(at - 1, 0)][1]


def range_text(low: float, high: float) -> str:
    """Return the text of a range of numbers.

    >>> range_text(18.0, 24.5)
    '18..24.5'
    """
    return f"{low:.15g}..{high:.15g}"


def _low(text: str) -> float | None:
    """Return where a range begins; None if the text is not one."""
    low, dots, high = text.partition("..")
    try:
        return float(low) if dots and float(low) <= float(high) else None
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class SideValues:
    """What was learned of v values, over n items.

    The codes of contexts come behind those of attributes.

    Attributes:
        attributes: the values of users.
        context: the values of moments.
        offsets: int64[v + 1], where the items of each value begin.
        rows: int32[p], items that people with a value take more or less than others do, each once.
        lifts: float32[p], the logarithm of how many times as often; all other items have 0.
        vectors: float32[v, d], in the space of taste: what such people take beyond what all take.
    """

    attributes: SideVocabulary
    context: SideVocabulary
    offsets: Rows
    rows: npt.NDArray[np.int32]
    lifts: Vector
    vectors: Matrix

    def __len__(self) -> int:
        return len(self.attributes) + len(self.context)

    def codes(self, attributes: Attributes, context: Context) -> Codes:
        """Return int32[s], the codes of what is known of a user and a moment."""
        first = len(self.attributes)
        found = self.attributes.codes(attributes)
        found += [first + code for code in self.context.codes(context)]
        return np.array(found, np.int32)

    def known(self, context: Context) -> Context:
        """Return the part of a context that has codes, as the texts of its values."""
        texts = [(name, text_of(value)) for name, value in context]
        return tuple([entry for entry in texts if self.context.code(*entry) >= 0])

    def split(self, codes: Codes) -> tuple[Codes, Codes]:
        """Return the codes of attributes, and those of contexts."""
        is_who = codes < len(self.attributes)
        return codes[is_who], codes[~is_who]

    def add_lifts(self, codes: Codes, to: Vector) -> None:
        """Add the lifts of some values to float32[n]."""
        for code in codes.tolist():
            part = slice(*self.offsets[code : code + 2].tolist())
            to[self.rows[part]] += self.lifts[part]

    def clear(self, codes: Codes, to: Vector) -> None:
        """Set float32[n] to 0 where `add_lifts` added something."""
        for code in codes.tolist():
            to[self.rows[slice(*self.offsets[code : code + 2].tolist())]] = 0.0


def side_arrays(sides: SideValues) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of a bundle; `side_values_of` reads them."""
    arrays: dict[str, npt.NDArray[Any]] = {
        "offsets": sides.offsets,
        "rows": sides.rows,
        "lifts": sides.lifts,
        "vectors": sides.vectors,
    }
    for part, vocabulary in zip(_PARTS, (sides.attributes, sides.context), strict=True):
        for field, texts in zip(("name", "text"), _columns(vocabulary), strict=True):
            arrays |= prefixed(f"{part}/{field}", encode_column("string", texts))
    return arrays


def side_values_of(arrays: Arrays, n_items: int, dim: int) -> SideValues:
    """Return what `side_arrays` wrote.

    Raises:
        BundleError: an array is missing, or the arrays do not fit each other or the items.
    """
    try:
        attributes, context = (_vocabulary(arrays, part) for part in _PARTS)
        sides = SideValues(
            attributes=attributes,
            context=context,
            offsets=arrays["offsets"],
            rows=arrays["rows"],
            lifts=arrays["lifts"],
            vectors=arrays["vectors"],
        )
    except KeyError as error:
        raise BundleError(f"the bundle lacks what was learned of who and where: {error}") from error
    if not _fits(sides, n_items, dim):
        raise BundleError("what the bundle has learned of who and where does not fit its items")
    return sides


def _fits(sides: SideValues, n_items: int, dim: int) -> bool:
    rows = sides.rows
    return (
        is_plain(rows, np.int32)
        and are_offsets(sides.offsets, len(rows), len(sides))
        and is_plain(sides.lifts, np.float32, len(rows))
        and is_plain(sides.vectors, np.float32, len(sides), dim)
        and are_below(rows, n_items)
        and are_finite(sides.lifts)
        and are_finite(sides.vectors)
    )


def _columns(vocabulary: SideVocabulary) -> tuple[Sequence[str], Sequence[str]]:
    return [name for name, _ in vocabulary.entries], [text for _, text in vocabulary.entries]


def _vocabulary(arrays: Arrays, part: str) -> SideVocabulary:
    names, texts = (
        decode_column("string", parts_of(arrays, f"{part}/{field}")) for field in ("name", "text")
    )
    return SideVocabulary(
        (str(names.value(row)), str(texts.value(row))) for row in range(len(names))
    )
