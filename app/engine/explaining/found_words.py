"""Which words of a query stand in which fields of an item: words themselves, not similar ones."""

from collections.abc import Iterator

from app.engine.catalogue.catalogue import Catalogue
from app.engine.retrieval.word_cutting import STOP_WORDS, spans_of, words_of

_TEXTS = frozenset({"string", "strings"})


class QueryWords:
    """The words of one query, as they were typed and as they are compared, over one catalogue."""

    def __init__(self, query: str, catalogue: Catalogue) -> None:
        """Cut a query. Stop words do not count, unless there are no others."""
        self._catalogue = catalogue
        self._texts = [name for name, kind in catalogue.attributes.items() if kind in _TEXTS]
        cut = list(_cut(query))
        some = [each for each in cut if not STOP_WORDS.issuperset(each[1])]
        self._words = list(dict(some or cut).items())
        # What a text in ASCII has to have for a word of it to be one of these: all but the ending,
        # which stemming alters.
        self._beginnings = [words[0][:-1] for _, words in self._words]

    def fields_having(self, row: int) -> dict[str, tuple[str, ...]]:
        """Return typed word -> the fields of a row that have it; other words are left out."""
        found: dict[str, list[str]] = {}
        for field, text in self._texts_of(row):
            if not self._may_be_in(text):
                continue
            words = set(words_of(text))
            for typed, cut in self._words:
                if words.issuperset(cut):
                    found.setdefault(typed, []).append(field)
        if not found:
            return {}
        return {typed: tuple(found[typed]) for typed, _ in self._words if typed in found}

    def _texts_of(self, row: int) -> list[tuple[str, str]]:
        """Return the fields of a row that are text, and the text of each."""
        texts: list[tuple[str, str]] = []
        if title := self._catalogue.title(row):
            texts.append(("title", title))
        for name, value in self._catalogue.fields(row, self._texts).items():
            if isinstance(value, str):
                texts.append((name, value))
            elif isinstance(value, list | tuple):
                texts.append((name, "\n".join(value)))
        return texts

    def _may_be_in(self, text: str) -> bool:
        """Tell whether a text may have one of the words: most have none, and need no cutting."""
        if not text.isascii():
            return True
        lower = text.lower()
        for beginning in self._beginnings:  # noqa: SIM110 - `any` takes as long as all of this
            if beginning in lower:
                return True
        return False


def _cut(query: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    for start, end, _ in spans_of(query):
        typed = query[start:end]
        if words := words_of(typed):
            yield typed, tuple(words)
