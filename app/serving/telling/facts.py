"""What is known of an answer, and what a text about it may say: `Facts`, made of its JSON."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from app.core.types import Item, JsonValue
from app.serving.telling.languages import Language, fields_by_group, is_suspicious, language_of

MOST_TOLD: Final = 3
"""Items, from the first, of which a text is made."""

_MOST_KNOWN: Final = 10
_MOST_CHARACTERS: Final = 300
_MOST_QUERY_CHARACTERS: Final = 80
_YEARS: Final = range(1000, 3000)

FieldValue = str | float | bool | tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ItemFacts:
    """What is known of an item.

    Attributes:
        id, title: of the item.
        fields: name -> value, of those that it has; long texts are cut.
        reason: why it is in the list, in the words of the explanation; "" = nobody asked.
    """

    id: str
    title: str | None
    fields: Mapping[str, FieldValue] = field(default_factory=dict)
    reason: str = ""

    @property
    def year(self) -> int | None:
        """The year it is of; None = unknown, or there are several."""
        values = (self.fields.get(name) for name in fields_by_group()["year"])
        found = {year for value in values if (year := year_of(value)) is not None}
        return found.pop() if len(found) == 1 else None


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of an answer.

    Attributes:
        query: the words; "" = none.
        language: in which the text is written.
        items: the first of its items.
        n_items: how many items it has.
        known_fields: names of the fields of the catalogue.
    """

    query: str
    language: Language
    items: tuple[ItemFacts, ...]
    n_items: int
    known_fields: tuple[str, ...] = ()

    @property
    def digest(self) -> bytes:
        """16 bytes that are the same exactly for the same facts."""
        items = [[item.id, item.title, dict(item.fields), item.reason] for item in self.items]
        content = [self.query, self.language.code, self.n_items, items]
        text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
        return hashlib.blake2b(text, digest_size=16).digest()


def facts_of(
    body: bytes,
    query: str,
    item_of: Callable[[str], Item | None],
    known_fields: tuple[str, ...] = (),
) -> Facts:
    """Return the facts of an answer.

    Args:
        body: JSON of the answer.
        query: what was asked, in words.
        item_of: returns an item of the catalogue, with all fields.
        known_fields: names of the fields of the catalogue.
    """
    answer: dict[str, Any] = orjson.loads(body)
    items = answer["items"]
    intent = answer.get("intent") or {}
    return Facts(
        query=query if len(query) <= _MOST_QUERY_CHARACTERS else "",
        language=language_of(intent.get("language") or ""),
        items=tuple(_item_facts(item, item_of(item["id"])) for item in items[:_MOST_KNOWN]),
        n_items=len(items),
        known_fields=known_fields,
    )


def _item_facts(shown: Mapping[str, Any], known: Item | None) -> ItemFacts:
    # What the answer shows wins: the item may have changed since it was made.
    fields: dict[str, JsonValue] = {**(known.fields if known else {}), **shown["fields"]}
    kept = {name: value for name, raw in fields.items() if (value := _usable(raw)) is not None}
    title = shown["title"]
    return ItemFacts(shown["id"], title and " ".join(title.split()), kept, _reason_of(shown))


def _reason_of(shown: Mapping[str, Any]) -> str:
    reason = shown.get("reason")
    return reason if isinstance(reason, str) else ""


def _usable(value: JsonValue) -> FieldValue | None:
    """Return a value as a text may use it; None = it has none, or it may speak to a model."""
    if value is None:
        return None
    if isinstance(value, str):
        if is_suspicious(value):
            return None
        return _cut(value) or None
    if isinstance(value, bool | int | float):
        return value
    kept = tuple(
        part
        for each in value
        if isinstance(each, str) and not is_suspicious(each)
        if (part := _cut(each))
    )
    return kept or None


def _cut(text: str) -> str:
    """Return the beginning of a text, whole words only."""
    text = " ".join(text.split())
    if len(text) <= _MOST_CHARACTERS:
        return text
    return text[:_MOST_CHARACTERS].rpartition(" ")[0] or text[:_MOST_CHARACTERS]


def year_of(value: object) -> int | None:
    """Return the year of a year or a date.

    >>> year_of(1994), year_of("2026-03-14T08:00:00Z"), year_of("²⁰¹⁹-03-14"), year_of(90)
    (1994, 2026, None, None)
    """
    if isinstance(value, str) and len(value) >= 10 and value[4:5] == "-" and value[:4].isdecimal():
        value = int(value[:4])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if value in _YEARS else None
