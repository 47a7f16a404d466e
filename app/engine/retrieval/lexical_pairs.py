"""Prepares a query for its lexical features: what an index has of each word, and how it is written.

What the features are: `app.engine.kernels.lexical_features`.
"""

from collections.abc import Sequence

from app.engine.kernels.lexical_features import AskedQuery, AskedWord, Titles
from app.engine.kernels.topk import Piece
from app.engine.retrieval.lexical_arrays import MAX_TITLE_WORDS
from app.engine.retrieval.variants import NUMERALS, WITH_VARIANTS, variants_of
from app.engine.retrieval.vocabulary import ItemWords, Vocabulary, WordMatch
from app.engine.retrieval.word_cutting import STOP_WORDS, words_of


class QueryPreparation:
    """Prepares queries for the features over one index.

    Attributes:
        titles: those of the index.
    """

    def __init__(self, items: ItemWords, vocabulary: Vocabulary) -> None:
        self._postings, self._number = items.postings, vocabulary.number
        self.titles = Titles(*items.titles, vocabulary.kinds())

    def asked(self, query: str, texts: Sequence[str], matches: Sequence[WordMatch]) -> AskedQuery:
        """Return a query as the index reads it: the words that are read, and what each matches."""
        typed = words_of(query)[:MAX_TITLE_WORDS]
        distinct: dict[str, int] = {}
        keys: dict[str, int] = {}
        numbers: dict[int, int] = {}
        for text in dict.fromkeys([*typed, *texts]):
            keys[text] = key = distinct.setdefault(NUMERALS.get(text, text), len(distinct))
            for number in self._ways_to_write(text):
                numbers[number] = key
        words = [
            AskedWord(
                keys[text],
                matched.items,
                matched.titles,
                self._exactly(text) if text[0].isdecimal() else None,
            )
            for text, matched in zip(texts, matches, strict=True)
        ]
        of_typed = tuple([keys[text] for text in typed])
        return AskedQuery(tuple(words), of_typed, numbers, STOP_WORDS.issuperset(texts))

    def _exactly(self, text: str) -> tuple[Piece, ...]:
        posted = self._postings
        bounds = [posted.offsets[word : word + 2].tolist() for word in self._ways_to_write(text)]
        return tuple(Piece(posted.rows[first:last], None) for first, last in bounds)

    def _ways_to_write(self, text: str) -> list[int]:
        """Return the words of the vocabulary that are this one: itself, and as a numeral."""
        others = variants_of(text, before="") if text in WITH_VARIANTS else ()
        numbers = map(self._number, (text, *others))
        return [number for number in numbers if number >= 0]
