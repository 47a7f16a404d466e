"""Prepares a query for its lexical features: what an index has of each word, and how it is written.

What the features are: `app.engine.kernels.lexical_features`.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.engine.kernels.lexical_features import AskedQuery, AskedWord, Titles
from app.engine.kernels.topk import Piece
from app.engine.retrieval.lexical_arrays import MAX_TITLE_WORDS
from app.engine.retrieval.variants import NUMERALS, WITH_VARIANTS, variants_of
from app.engine.retrieval.vocabulary import ItemWords, Vocabulary, WordMatch
from app.engine.retrieval.word_cutting import STOP_WORDS, is_character, words_of

_NOTHING: Final = Piece(np.empty(0, np.int32), None)


class QueryPreparation:
    """Prepares queries for the features over one index.

    Attributes:
        titles: those of the index.
    """

    def __init__(self, items: ItemWords, vocabulary: Vocabulary) -> None:
        self._postings, self._number = items.postings, vocabulary.number
        self.titles = Titles(*items.titles, vocabulary.kinds())

    def asked(
        self,
        query: str,
        texts: Sequence[str],
        matches: Sequence[WordMatch],
        instead: Sequence[Piece | None],
    ) -> AskedQuery:
        """Return a query as the index reads it: the words that are read, and what each matches.

        `instead`: of each word what stands for it, should no item have it; None = all it matches.
        """
        typed = words_of(query)[:MAX_TITLE_WORDS]
        distinct: dict[str, int] = {}
        keys: dict[str, int] = {}
        numbers: dict[int, int] = {}
        for text in dict.fromkeys([*typed, *texts]):
            keys[text] = key = distinct.setdefault(NUMERALS.get(text, text), len(distinct))
            for number in self._ways_to_write(text):
                numbers[number] = key
        words = [
            self._word(keys[text], text, matched, other)
            for text, matched, other in zip(texts, matches, instead, strict=True)
        ]
        of_typed = tuple([keys[text] for text in typed])
        return AskedQuery(tuple(words), of_typed, numbers, STOP_WORDS.issuperset(texts))

    def _word(self, key: int, text: str, matched: WordMatch, instead: Piece | None) -> AskedWord:
        exactly = self._exactly(text, matched.items)
        if exactly.rows.size:
            instead = _NOTHING
        elif instead is None:
            instead = matched.items
        return AskedWord(key, matched.items, matched.titles, exactly, instead, text[0].isdecimal())

    def _exactly(self, text: str, matched: Piece) -> Piece:
        """Return the rows that have a word itself, of those that it matches."""
        if is_character(text):
            return matched  # it stands in pairs, each of which has it
        posted = self._postings
        bounds = [posted.offsets[word : word + 2].tolist() for word in self._ways_to_write(text)]
        if not bounds:
            return _NOTHING
        rows = [posted.rows[first:last] for first, last in bounds]
        if len(rows) == 1:
            return Piece(rows[0], None)
        return Piece(np.intersect1d(np.concatenate(rows), matched.rows), None)

    def _ways_to_write(self, text: str) -> list[int]:
        """Return the words of the vocabulary that are this one: itself, and as a numeral."""
        others = variants_of(text, before="") if text in WITH_VARIANTS else ()
        numbers = map(self._number, (text, *others))
        return [number for number in numbers if number >= 0]
