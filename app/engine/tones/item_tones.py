"""Tells which items have a tone.

    attribute `tone`   of an item that has the field, as `recserve enrich` writes it
    lexicon            of every other item, by the words of its title, text and categories

An item whose field is an empty list has no tone: whoever filled it in has said so. The words are
looked up when a tone is asked for the first time, and kept until items change. What a user took
lately has tones by the attribute alone: words are too rare for that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from app.core.types import JsonValue, Mask, Rows, Vector
from app.domain.intent import TONES
from app.engine.catalogue.catalogue import Catalogue
from app.engine.catalogue.tone_taste import ToneTaste
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.tones.lexicon import lexicon

TONE_FIELD: Final = "tone"
RECENT: Final = 10
"""How many of the newest items of a history say which tones somebody likes at the moment."""

_NUMBER: Final[dict[str, int]] = {tone: number for number, tone in enumerate(TONES)}


@dataclass(frozen=True, slots=True)
class _FieldTones:
    """The attribute `tone`: bool[n, tones], and bool[n], which items have the field."""

    having: npt.NDArray[np.bool_]
    has_field: Mask

    def put(self, row: int, value: JsonValue) -> None:
        self.has_field[row] = value is not None
        self.having[row] = False
        for tone in value if isinstance(value, list) else [value]:
            number = _NUMBER.get(str(tone))
            if number is not None:
                self.having[row, number] = True


class ItemTones:
    """The tones of the items of a catalogue. One thread at a time uses it: the one that ranks."""

    def __init__(self, catalogue: Catalogue, words: LexicalSearch) -> None:
        """Take the items, and what finds them by words."""
        self._catalogue, self._words = catalogue, words
        self.has_field = catalogue.attributes.get(TONE_FIELD) in {"string", "strings"}
        self._by_field: _FieldTones | None = None
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

    def taste(self, history: Rows) -> ToneTaste | None:
        """Return the tones of int64[h] rows taken, oldest first; None where they have none."""
        if not (self.has_field and history.size):
            return None
        having = self._field_tones().having
        mean = having[history[-RECENT:]].mean(axis=0, dtype=np.float32)
        length = float(np.linalg.norm(mean))
        return ToneTaste(having, mean / np.float32(length)) if length else None

    def change(self, rows: Rows) -> None:
        """Read some rows (int64[c]) again, because their items have changed."""
        self._by_words.clear()
        if self._by_field is not None:
            for row in rows.tolist():
                self._by_field.put(row, self._changed_value(row))

    def _having(self, tone: str) -> Mask:
        """Return bool[n]: the items with a tone."""
        if tone not in self._by_words:
            self._by_words[tone] = self._with_words_of(tone)
        if not self.has_field:
            return self._by_words[tone]
        by_field = self._field_tones()
        having: Mask = by_field.having[:, _NUMBER[tone]] | (
            ~by_field.has_field & self._by_words[tone]
        )
        return having

    def _with_words_of(self, tone: str) -> Mask:
        mask = np.zeros(len(self._catalogue), np.bool_)
        for phrase in lexicon().get(tone, ()):
            mask[self._words.rows_with(phrase)] = True
        return mask

    def _field_tones(self) -> _FieldTones:
        if self._by_field is None:
            table, n = self._catalogue.table, len(self._catalogue)
            found = _FieldTones(np.zeros((n, len(TONES)), np.bool_), np.zeros(n, np.bool_))
            found.has_field[: table.n_rows] = table.present(TONE_FIELD)
            values = table.values(TONE_FIELD)
            numbers = np.array([_NUMBER.get(str(name), -1) for name in values.names] or [-1])
            known = numbers[values.codes] >= 0
            found.having[values.rows[known], numbers[values.codes[known]]] = True
            for row in self._catalogue.records():
                found.put(row, self._changed_value(row))
            self._by_field = found
        return self._by_field

    def _changed_value(self, row: int) -> JsonValue:
        record = self._catalogue.records().get(row)
        return None if record is None else record.values.get(TONE_FIELD)
