"""The intent that a caller sends in place of the one that the parser would find."""

from collections.abc import Mapping
from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field, Strict, StringConstraints, WithJsonSchema

from app.domain.filters import filter_text
from app.domain.intent import MAX_SPANS, MAX_WITHOUT, TONES, Intent, Sort, Span, Tone
from app.domain.query_text import MAX_QUERY_CHARACTERS
from app.domain.request_parts import MAX_HISTORY, MAX_K, Ids, ItemFilter, Query

_MAX_SPAN_END: Final = 4 * MAX_QUERY_CHARACTERS
_MAX_LANGUAGE: Final = 35  # of a code by RFC 5646


class SentSpan(BaseModel):
    """Characters of a query and what they mean: shown to callers, and sent back by them."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    start: int = Field(ge=0, le=_MAX_SPAN_END)
    end: int = Field(ge=0, le=_MAX_SPAN_END)
    means: Annotated[str, StringConstraints(max_length=MAX_QUERY_CHARACTERS)]


class SentIntent(BaseModel):
    """The `intent` that a caller sends: one that an answer had, or part of one, edited or not.

    A key that is absent demands nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    sort: Sort = Field(
        default="relevance", title="SortOrder", description="Order of the answer; strict."
    )
    filters: ItemFilter = Field(
        default={}, description="What the fields of items must be, as in `filter`."
    )
    prefers: ItemFilter = Field(
        default={}, description="As `filter`: items that pass come before others of like score."
    )
    without: Annotated[
        tuple[Annotated[Query, StringConstraints(min_length=1)], ...], Strict(strict=False)
    ] = Field(
        default=(),
        max_length=MAX_WITHOUT,
        description="Words that must not stand in the text of an item.",
    )
    like: Ids = Field(default=(), max_length=MAX_HISTORY, description="More like these items.")
    dislike: Ids = Field(default=(), max_length=MAX_HISTORY, description="Less like these items.")
    tone: Annotated[tuple[Annotated[Tone, Field(title="Tone")], ...], Strict(strict=False)] = Field(
        default=(), max_length=len(TONES), description="Audience and tone."
    )
    count: int | None = Field(
        default=None, ge=1, le=MAX_K, description="Items wanted, where `k` is not sent."
    )
    residual_text: Query = Field(default="", description="The words to search by.")
    language: Annotated[str, StringConstraints(max_length=_MAX_LANGUAGE)] = Field(
        default="", description="Code of the language of the query."
    )
    confidence: float = Field(
        default=1.0, ge=0, le=1, allow_inf_nan=False, description="How sure the reading is."
    )
    spans: Annotated[
        tuple[Annotated[SentSpan, WithJsonSchema(SentSpan.model_json_schema())], ...],
        Strict(strict=False),
    ] = Field(
        default=(), max_length=MAX_SPANS, description="Which characters of the query said what."
    )
    title: bool = Field(
        default=False, description="Items that have the query as their title come first."
    )

    def meaning(self) -> Intent:
        """Return the intent. Raises `InvalidRequestError` for a filter that is not JSON."""
        return Intent(
            sort=self.sort,
            filters=filter_text(self.filters, "intent.filters"),
            prefers=filter_text(self.prefers, "intent.prefers"),
            without=self.without,
            like=self.like,
            dislike=self.dislike,
            tone=self.tone,
            count=self.count,
            residual_text=self.residual_text,
            language=self.language,
            confidence=self.confidence,
            spans=tuple([Span(span.start, span.end, span.means) for span in self.spans]),
            title=self.title,
        )


SWITCHED_OFF: Final = SentIntent()
"""This very object stands for `intent: false`: the query means its own words."""


def sent_intent_of(value: object) -> object:
    """Spell the two short forms out: true is as if it were not sent, false switches it off."""
    if isinstance(value, bool):
        return None if value else SWITCHED_OFF
    if value is None or isinstance(value, Mapping | SentIntent):
        return value
    raise ValueError("Input should be true, false or an object")
