"""What an engine tells of a sample of its items, for `app.doctor`."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class SurveyedItem(NamedTuple):
    """What is known of one item.

    Attributes:
        id: of the item.
        title: None where the data has none.
        has_text: whether it has words to be found by beside its title.
        has_vector: whether the encoder knows enough of its words.
        is_cut: whether its text is longer than what the encoder reads.
        visible: whether it may come back.
    """

    id: str
    title: str | None
    has_text: bool
    has_vector: bool
    is_cut: bool
    visible: bool


@dataclass(frozen=True, slots=True)
class CatalogueSurvey:
    """A sample of the items, evenly spread, of `n_items` in all, hidden ones among them.

    `roles`: role -> the field that plays it.
    """

    n_items: int
    items: tuple[SurveyedItem, ...]
    roles: Mapping[str, str]
