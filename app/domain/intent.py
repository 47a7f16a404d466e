"""Intents: what a query asks for, apart from the words that are left to search by.

    newest comedies from the 90s without Adam Sandler

means: sort by date, two filters, and a word that must not occur. A parser makes an intent of a
query (`app.engine.intent`); a caller may send one; a language model may write one. All three have
the same JSON, the `intent` of docs/api.md.

This module knows neither the catalogue nor any language.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple, TypeAlias, get_args

import orjson

from app.domain.filters import filter_text

Sort: TypeAlias = Literal[
    "relevance", "newest", "oldest", "popular", "trending", "rated", "cheapest", "dearest"
]
SORTS: Final[tuple[Sort, ...]] = get_args(Sort)

SPOKEN_SORTS: Final = tuple([sort for sort in SORTS if sort != "trending"])
"""The sorts that words may mean. "Trending" in a query means popular; only a sent intent tells the
two apart."""

Tone: TypeAlias = Literal[
    "kids",
    "family",
    "light",
    "funny",
    "tense",
    "scary",
    "sad",
    "dark",
    "romantic",
    "calm",
    "energetic",
    "inspiring",
]
TONES: Final[tuple[Tone, ...]] = get_args(Tone)
"""Audience and tone: the words of `Intent.tone`."""

MAX_WITHOUT: Final = 32
MAX_SPANS: Final = 64
"""Most words and spans of an intent, whoever makes it: a word costs a look-up in all texts."""

MAX_TITLES: Final = 8
"""Most titles that a query names to resemble, and not to: each costs a search."""

INTENT_OFF: Final = "off"
"""In place of the text of an intent: the query means its own words and nothing else."""

WEAK_CONFIDENCE: Final = 0.5
"""An intent of less confidence is weak: a language model may understand the query better."""

_WITHOUT_DEMANDS: Final = (
    '{"confidence":%r,"count":null,"dislike":[],"filters":{},"language":%s,"like":[],"prefers":{},'
    '"residual_text":%s,"sort":"relevance","spans":[],"title":%s,"tone":[],"without":[]}'
)

_NEVER: Final = float("inf")
_REMEMBERED: Final = 4096


class Span(NamedTuple):
    """The characters [start, end) of a query, and what they mean, such as "sort:newest"."""

    start: int
    end: int
    means: str


@dataclass(frozen=True, slots=True)
class Intent:
    """What a query asks for.

    Attributes:
        sort: the strict order of the answer; "relevance" = by score.
        filters: JSON text as `filter_text` writes it, "" = none: what items must be.
        prefers: the same language: items that pass come before others of like relevance.
        without: words that must not stand in the text of an item.
        like, dislike: ids of items that the answer is to resemble, or not to resemble.
        like_titles, dislike_titles: the same as the query names them; the engine finds the items.
        tone: of `TONES`.
        count: how many items are asked for; None = the query does not say.
        residual_text: the words that are left to encode and to match; "" = none.
        language: code of the language of the query; "" = unknown.
        confidence: in [0, 1]: how sure this reading is.
        spans: which characters of the query said what, in their order.
        title: the whole query is also the title of an item, which then comes first.
        valid_until: unix seconds until which the same words mean the same.
    """

    sort: Sort = "relevance"
    filters: str = ""
    prefers: str = ""
    without: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    dislike: tuple[str, ...] = ()
    like_titles: tuple[str, ...] = ()
    dislike_titles: tuple[str, ...] = ()
    tone: tuple[str, ...] = ()
    count: int | None = None
    residual_text: str = ""
    language: str = ""
    confidence: float = 1.0
    spans: tuple[Span, ...] = ()
    title: bool = False
    valid_until: float = _NEVER

    @property
    def is_plain(self) -> bool:
        """Whether it asks for nothing but its residual text."""
        return not (self.title or self.has_demands)

    @property
    def has_demands(self) -> bool:
        """Whether it asks for more than its residual text or an item of that title."""
        return self.sort != "relevance" or bool(
            self.filters
            or self.prefers
            or self.without
            or self.like
            or self.dislike
            or self.like_titles
            or self.dislike_titles
            or self.count
        )

    @property
    def is_weak(self) -> bool:
        """Whether little of the query was understood. A title needs no more understanding."""
        return self.confidence < WEAK_CONFIDENCE and not self.title

    @property
    def negations(self) -> str:
        """The part of `filters` that says what items must not be, as a filter's text."""
        return _split(self.filters)[1]

    @property
    def demands(self) -> str:
        """The part of `filters` that says what items must be, as a filter's text."""
        return _split(self.filters)[0]

    def bounded(self) -> "Intent":
        """Return the intent with only so many words, spans and titles as the bounds say."""
        if (
            len(self.without) <= MAX_WITHOUT
            and len(self.spans) <= MAX_SPANS
            and len(self.like_titles) <= MAX_TITLES
            and len(self.dislike_titles) <= MAX_TITLES
        ):
            return self
        return replace(
            self,
            without=self.without[:MAX_WITHOUT],
            spans=self.spans[:MAX_SPANS],
            like_titles=self.like_titles[:MAX_TITLES],
            dislike_titles=self.dislike_titles[:MAX_TITLES],
        )

    def relaxed(self) -> "Intent":
        """Return the intent without its positive filters; the negations stay."""
        return replace(self, filters=self.negations)

    def shown(self) -> dict[str, Any]:
        """Return the JSON of an answer's `intent`; titles that stand for no item are left out."""
        return {
            "sort": self.sort,
            "filters": orjson.loads(self.filters) if self.filters else {},
            "prefers": orjson.loads(self.prefers) if self.prefers else {},
            "without": self.without,
            "like": self.like,
            "dislike": self.dislike,
            "tone": self.tone,
            "count": self.count,
            "residual_text": self.residual_text,
            "language": self.language,
            "confidence": round(self.confidence, 3),
            "spans": [span._asdict() for span in self.spans],
            "title": self.title,
        }

    def text(self) -> str:
        """Return `shown` as JSON text: equal for equal intents, and read back by `intent_of`."""
        if not (self.has_demands or self.tone or self.spans):
            # Most queries: every new one pays for this text.
            return _WITHOUT_DEMANDS % (
                round(self.confidence, 3),
                orjson.dumps(self.language).decode(),
                orjson.dumps(self.residual_text).decode(),
                "true" if self.title else "false",
            )
        return orjson.dumps(self.shown(), option=orjson.OPT_SORT_KEYS).decode()


@lru_cache(_REMEMBERED)
def intent_of(text: str) -> Intent:
    """Return the intent of a JSON text; keys that are absent are absent demands.

    The text has been checked: a caller's by the model of the request, a learned one when it was
    stored.

    >>> intent_of('{"sort": "newest", "residual_text": "space"}').residual_text
    'space'
    """
    raw: Mapping[str, Any] = orjson.loads(text)
    return Intent(
        sort=raw.get("sort", "relevance"),
        filters=filter_text(raw.get("filters")),
        prefers=filter_text(raw.get("prefers")),
        without=_texts(raw.get("without")),
        like=_texts(raw.get("like")),
        dislike=_texts(raw.get("dislike")),
        tone=_texts(raw.get("tone")),
        count=raw.get("count"),
        residual_text=raw.get("residual_text", ""),
        language=raw.get("language", ""),
        confidence=raw.get("confidence", 1.0),
        spans=tuple([Span(**span) for span in raw.get("spans") or ()]),
        title=raw.get("title", False),
    )


def all_of(*filters: str) -> str:
    """Return the text of a filter that passes what all filters pass; "" passes everything.

    >>> all_of("", '{"year":{"gte":1990}}')
    '{"year":{"gte":1990}}'
    >>> all_of('{"a":{"eq":1}}', '{"b":{"eq":2}}')
    '{"$and":[{"a":{"eq":1}},{"b":{"eq":2}}]}'
    """
    some = [text for text in filters if text]
    return some[0] if len(some) == 1 else f'{{"$and":[{",".join(some)}]}}' if some else ""


@lru_cache(_REMEMBERED)
def _split(text: str) -> tuple[str, str]:
    """Return the positive and the negative part of a filter's text."""
    if not text:
        return "", ""
    positive, negative = _parts(orjson.loads(text))
    return filter_text(positive), filter_text(negative)


def _parts(raw: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    positive: dict[str, Any] = {}
    negative: dict[str, Any] = {}
    for name, value in raw.items():
        if name == "$not":
            negative[name] = value
        elif name == "$or":
            positive[name] = value
        else:
            for whole, part in zip((positive, negative), _parts_of(name, value), strict=True):
                if part:
                    whole[name] = part
    return positive, negative


def _parts_of(name: str, value: Any) -> tuple[Any, Any]:  # noqa: ANN401 - JSON
    """Return the positive and the negative part of one entry of a filter; empty = none."""
    if name == "$and":
        pairs = [_parts(part) for part in value]
        return [one for one, _ in pairs if one], [other for _, other in pairs if other]
    tests = {test: operand for test, operand in value.items() if test != "not"}
    return tests, {"not": value["not"]} if "not" in value else {}


def _texts(raw: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(raw or ())
