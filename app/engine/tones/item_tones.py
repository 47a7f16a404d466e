"""Tells which items have a tone.

    attribute `tone`   of an item that has the field, as `recserve enrich` writes it
    lexicon            of every other item, by the words of its title, text and categories

An item whose field is an empty list has no tone: whoever filled it in has said so. The words are
looked up when a tone is asked for the first time, and kept until items change.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from app.core.types import Mask, Vector
from app.domain.filters import filter_text
from app.engine.catalogue.catalogue import Catalogue
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.tones.lexicon import lexicon

TONE_FIELD: Final = "tone"
_HAS_FIELD: Final = filter_text({TONE_FIELD: {"exists": True}})


class ItemTones:
    """The tones of the items of a catalogue. One thread at a time uses it: the one that ranks."""

    def __init__(self, catalogue: Catalogue, words: LexicalSearch) -> None:
        """Take the items, and what finds them by words."""
        self._catalogue, self._words = catalogue, words
        self._has_field = catalogue.attributes.get(TONE_FIELD) in {"string", "strings"}
        self._by_words: dict[str, Mask] = {}

    def shares(self, tones: Sequence[str]) -> Vector | None:
        """Return float32[n]: what share of some tones each item has; None where none has any.

        `tones`: at least one, each once, of `app.domain.intent.TONES`.
        """
        shares = np.zeros(len(self._catalogue), np.float32)
        for tone in tones:
            shares += self._having(tone)
        shares /= len(tones)
        return shares if shares.any() else None

    def forget(self) -> None:
        """Look the words up again, because the texts of some items have changed."""
        self._by_words.clear()

    def _having(self, tone: str) -> Mask:
        """Return bool[n]: the items with a tone."""
        if tone not in self._by_words:
            self._by_words[tone] = self._with_words_of(tone)
        by_words = self._by_words[tone]
        if not self._has_field:
            return by_words
        lacking = self._catalogue.blocked(filter_text({TONE_FIELD: {"any": [tone]}}))
        unsaid = self._catalogue.blocked(_HAS_FIELD)
        assert lacking is not None and unsaid is not None  # noqa: S101, PT018 - of filters
        having: Mask = ~lacking | (unsaid & by_words)
        return having

    def _with_words_of(self, tone: str) -> Mask:
        mask = np.zeros(len(self._catalogue), np.bool_)
        for phrase in lexicon().get(tone, ()):
            mask[self._words.rows_with(phrase)] = True
        return mask
