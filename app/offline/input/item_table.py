"""The items of a file as typed columns.

How the columns are read is in `app.offline.input.items`.
"""

from dataclasses import dataclass
from typing import Any

from app.domain.columns import Kind
from app.offline.input.read_report import ReadReport
from app.offline.input.recipe import ItemColumns

FIELD_KINDS: dict[str, Kind] = {
    "id": "string",
    "title": "string",
    "text": "string",
    "categories": "strings",
    "published_at": "time",
}


@dataclass(frozen=True, slots=True)
class Items:
    """The n items of a file.

    Attributes:
        names: the columns of the file that our fields were read from.
        columns: field -> n values, None = missing. The fields of `FIELD_KINDS` are always there;
            the others are attributes.
        kinds: field -> kind of its values.
        report: what was counted while reading.
    """

    columns: dict[str, list[Any]]
    kinds: dict[str, Kind]
    report: ReadReport
    names: ItemColumns

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> list[str]:
        """The item ids in row order."""
        return self.columns["id"]
