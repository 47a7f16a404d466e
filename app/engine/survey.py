"""Looks at a sample of the items, one by one: what words, vectors and titles they have."""

from typing import Final

import numpy as np

from app.core.survey import CatalogueSurvey, SurveyedItem
from app.core.types import JsonValue
from app.engine.encoding.encoder import PackedEncoder
from app.engine.parts import EngineParts

_LEAST_TOKENS: Final = 16
"""Texts of fewer characters are never cut, so they need not be cut into tokens."""


def survey_of(parts: EngineParts, most: int) -> CatalogueSurvey:
    """Return at most `most` ≥ 1 items, evenly spread over the catalogue.

    It reads single items only, so any thread may call it. Deleted items are left out.
    """
    catalogue = parts.catalogue
    n_rows = catalogue.n_used
    rows = np.unique(np.linspace(0, n_rows - 1, min(most, n_rows), dtype=np.int64)).tolist()
    known = [row for row in rows if catalogue.row(catalogue.id(row)) == row]
    items = tuple([_surveyed(parts, row) for row in known])
    return CatalogueSurvey(catalogue.n_known, items, dict(parts.roles))


def _surveyed(parts: EngineParts, row: int) -> SurveyedItem:
    catalogue = parts.catalogue
    item_id, title = catalogue.id(row), catalogue.title(row)

    def value(name: str) -> JsonValue:
        return item_id if name == "id" else catalogue.value(row, name)

    def beside_title(name: str) -> JsonValue:
        return None if name == "title" else value(name)

    return SurveyedItem(
        id=item_id,
        title=title if title and title.strip() else None,
        has_text=any(map(str.isalnum, parts.texts.render(beside_title))),
        has_vector=bool(parts.texts.vectors[row].any()),
        is_cut=_is_cut(parts, parts.texts.render(value)),
        visible=catalogue.is_visible(item_id),
    )


def _is_cut(parts: EngineParts, text: str) -> bool:
    encoder = parts.encoder
    if len(text) < _LEAST_TOKENS or not isinstance(encoder, PackedEncoder):
        return False
    return encoder.is_cut(text)
