"""Labelled queries: what people type, and what they ask for by it.

The format is described in tests/data/intent/README.md. This module reads `queries.jsonl`. It knows
neither a parser nor an engine.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import orjson

Half: TypeAlias = Literal["open", "frozen"]
LabelIntent: TypeAlias = Mapping[str, Any]
"""The object `intent` of a line."""

NOW: Final = datetime(2026, 11, 30, 12, tzinfo=UTC)
"""The moment at which the queries were asked: "today", "last year" are counted from it."""

_QUERIES: Final = "queries.jsonl"
_NEUTRAL: Final = "neutral.txt"


@dataclass(frozen=True, slots=True)
class LabelledQuery:
    """A query and what it asks for.

    Attributes:
        id: of the query, unique in the set.
        catalogue: the name of the catalogue that is asked.
        query: what was typed.
        language: "en", "zh" or "mixed".
        adversarial: it was written to be hard.
        half: "open", or "frozen": never looked at one by one.
        intents: all right answers; the first one is the label.
    """

    id: str
    catalogue: str
    query: str
    language: str
    adversarial: bool
    half: Half
    intents: tuple[LabelIntent, ...]


def read_labels(folder: Path, half: Half | None = None) -> list[LabelledQuery]:
    """Read the labelled queries of a folder; `half`: only these."""
    lines = (folder / _QUERIES).read_bytes().splitlines()
    labels = [_label(orjson.loads(line)) for line in lines]
    return [label for label in labels if half in (None, label.half)]


def read_neutral(folder: Path) -> str:
    """Return the words, in one text, that may be left over of a query or not."""
    lines = (folder / _NEUTRAL).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines if not line.startswith("#"))


def _label(raw: Mapping[str, Any]) -> LabelledQuery:
    return LabelledQuery(
        id=raw["id"],
        catalogue=raw["catalogue"],
        query=raw["query"],
        language=raw["language"],
        adversarial=raw["adversarial"],
        half=raw["half"],
        intents=(raw["intent"], *raw.get("or", [])),
    )
