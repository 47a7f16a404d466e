"""Sources that need no behaviour: *meaning*, *words*, *taste* by text, and what is popular or new.

Each answers the wants it applies to and leaves the others alone; see `candidates.Source`.
"""

from collections.abc import Callable, Sequence

import numpy as np

from app.engine.candidates import SOURCE_SIZE, hits_where
from app.engine.index import VectorIndex
from app.engine.selection import Hits, Selection
from app.engine.wants import Want
from app.engine.words import Words
from app.types import Rows, Vector


class VectorSource:
    """The items whose texts lie nearest to a vector of the want: one search a batch."""

    def __init__(
        self, name: str, index: VectorIndex, probe: Callable[[Want], Vector | None]
    ) -> None:
        """Search an index for what `probe` finds in a want."""
        self.name = name
        self._index, self._probe = index, probe

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with such a vector its nearest rows."""
        probes = [self._probe(want) for want in wants]
        asked = [place for place, probe in enumerate(probes) if probe is not None]
        found: list[Hits | None] = [None] * len(wants)
        # Equal filters share one mask, and a search takes one.
        for group in _grouped(asked, [id(wants[place].blocked) for place in asked]):
            # Hidden rows may fill the top: ask for that many more, so that none costs a place.
            size = SOURCE_SIZE + max(wants[place].hidden.size for place in group)
            vectors = np.stack([np.asarray(probes[place]) for place in group])
            hits = self._index.search(vectors, size, wants[group[0]].blocked)
            for place, scores, rows in zip(group, *hits, strict=True):
                real = rows >= 0
                mine = Hits(rows[real], scores[real])
                found[place] = mine.without(wants[place].hidden, SOURCE_SIZE)
        return found


def _grouped(places: Sequence[int], keys: Sequence[int]) -> list[list[int]]:
    groups: dict[int, list[int]] = {}
    for place, key in zip(places, keys, strict=True):
        groups.setdefault(key, []).append(place)
    return list(groups.values())


class MeaningSource:
    """The items whose texts lie nearest to the words of the query."""

    name = "meaning"

    def __init__(self, index: VectorIndex, selection: Selection) -> None:
        """Search an index where the want does not know how near every item lies."""
        self._selection = selection
        self._unknown = VectorSource(
            self.name, index, lambda want: want.query_vector if want.cosines is None else None
        )

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with words its nearest rows."""
        unknown = self._unknown.search(wants)
        known = hits_where(lambda want: want.cosines is not None, wants, self._nearest)
        return [one or other for one, other in zip(known, unknown, strict=True)]

    def _nearest(self, wants: Sequence[Want]) -> list[Hits]:
        cosines = [want.cosines for want in wants if want.cosines is not None]
        without = [want.without for want in wants]
        return self._selection.best(cosines, without, [SOURCE_SIZE] * len(wants))


class WordSource:
    """The items whose text holds the words of the query, or words spelt like them."""

    name = "words"

    def __init__(self, index: Words, selection: Selection) -> None:
        """Search an index."""
        self._index, self._selection = index, selection

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return for each want with words the rows that match them best."""
        return hits_where(lambda want: bool(want.query), wants, self._matches)

    def _matches(self, wants: Sequence[Want]) -> list[Hits]:
        sums = [self._index.items(want.query) for want in wants]
        return self._selection.best_sums(sums, [want.without for want in wants], SOURCE_SIZE)


class FixedSource:
    """The same list for everybody: what is popular, trending or new."""

    def __init__(self, name: str, order: Rows, values: Vector, size: int = SOURCE_SIZE) -> None:
        """Take all rows, best first, and float32[n], the value of each row of the catalogue."""
        self.name = name
        self._order, self._values, self._size = order, values, size

    def search(self, wants: Sequence[Want]) -> list[Hits | None]:
        """Return the first rows of the list for every want."""
        return [self._search(want) for want in wants]

    def _search(self, want: Want) -> Hits:
        rows = self._order
        if want.blocked is None:
            rows = rows[: self._size + want.hidden.size]
        else:
            rows = rows[~want.blocked[rows]][: self._size + want.hidden.size]
        return Hits(rows, self._values[rows]).without(want.hidden, self._size)
