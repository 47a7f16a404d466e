"""JSON schemas of requests and answers, but those of items and of people.

Those of answers are written by hand because finished bytes are sent. `tests/api` validates real
answers against them, and mutated answers to prove that this can fail.
"""

from copy import deepcopy
from typing import Final

from pydantic import TypeAdapter

from app.api.explanation_schemas import CONTRIBUTIONS, EVIDENCE
from app.api.schema_parts import (
    COUNT,
    FIELDS,
    GENERATION,
    MS,
    NUMBER,
    SECONDS,
    STRING,
    TITLE,
    Schema,
    array_of,
    object_of,
    one_of,
)
from app.domain.intent import SORTS, TONES
from app.domain.request import MAX_BATCH, RecommendRequest
from app.domain.request_parts import FILTER_SCHEMA, MAX_K, Query

_REQUEST: Final = RecommendRequest.model_json_schema()


def recommend_request() -> Schema:
    """Return the schema of a request, made from the model that validates it; a copy, to change."""
    return deepcopy(_REQUEST)


_SOURCE: Final = object_of(
    "Source", {"name": STRING, "rank": {"type": "integer", "minimum": 1}, "score": NUMBER}
)

_RANKED_ITEM: Final = object_of(
    "RankedItem",
    {
        "id": STRING,
        "score": {**NUMBER, "description": "the scorer's own; comparable within one answer"},
        "title": TITLE,
        "fields": FIELDS,
        "sources": array_of(_SOURCE),
        "seen": {
            "type": "boolean",
            "description": "true: the user has taken it; it is here because the query is its title",
        },
        "placed_by": {
            **STRING,
            "description": "what put the item at its place, where its score did not: explore, "
            "exposure, promotion:<rule> or pin:<rule>",
        },
        "propensity": {
            "type": "number",
            "minimum": 0,
            "maximum": 1,
            "description": "with explore: the probability with which the item came to its place, "
            "given the places before",
        },
        "contributions": {
            **CONTRIBUTIONS,
            "description": "explain: what each group of signals adds; with `baseline` they add up "
            "to `score`",
        },
        "evidence": {**EVIDENCE, "description": "explain: the facts behind it"},
        "reason": {
            "type": ["string", "null"],
            "description": "explain: one sentence; null: it was not scored",
        },
    },
    optional=("seen", "placed_by", "propensity", "contributions", "evidence", "reason"),
)

ERROR: Final = object_of(
    "ErrorAnswer",
    {
        "error": object_of(
            "Problem",
            {
                "code": STRING,
                "message": STRING,
                "field": STRING,
                "retry_after_ms": COUNT,
                "request_id": STRING,
            },
            optional=("field", "retry_after_ms"),
        )
    },
)

INTENT: Final = object_of(
    "Intent",
    {
        "sort": {"title": "SortOrder", **one_of(*SORTS)},
        "filters": {
            **FILTER_SCHEMA,
            "description": "what items must be, as `filter` in a request",
        },
        "prefers": {
            **FILTER_SCHEMA,
            "description": "the same: items that pass come before others of like score",
        },
        "without": {**array_of(STRING), "description": "words that no item of the answer has"},
        "like": {**array_of(STRING), "description": "ids of the items that the query likes"},
        "dislike": {**array_of(STRING), "description": "ids of those that it dislikes"},
        "tone": array_of({"title": "Tone", **one_of(*TONES)}),
        "count": {
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": MAX_K,
            "description": "items that the query asks for; null: it does not say",
        },
        "residual_text": {**STRING, "description": "the words that are left to search by"},
        "language": {**STRING, "description": "code of the language; empty: unknown"},
        "confidence": {"type": "number", "minimum": 0, "maximum": 1},
        "spans": {
            **array_of(object_of("Span", {"start": COUNT, "end": COUNT, "means": STRING})),
            "description": "characters [start, end) of the query, and what they were taken for",
        },
        "title": {
            "type": "boolean",
            "description": "items that have the query as their title come first",
        },
    },
)

_SHARE: Final[Schema] = {"type": ["number", "null"], "minimum": 0, "maximum": 1}

_EXPOSURE: Final = object_of(
    "ExposureReport",
    {
        "field": {**STRING, "description": "the field of the items that tells the groups apart"},
        "groups": {
            "type": "object",
            "additionalProperties": object_of(
                "GroupShare",
                {
                    "share": {"type": "number", "minimum": 0, "maximum": 1},
                    "wanted": object_of("WantedShare", {"min": _SHARE, "max": _SHARE}),
                    "met": {
                        "type": "boolean",
                        "description": "whether so many whole items are within what was wanted",
                    },
                },
            ),
        },
    },
)

ANSWER: Final = object_of(
    "Answer",
    {
        "recommendation_id": STRING,
        "cache": one_of("hit", "miss", "coalesced", "bypass"),
        "timings_ms": object_of(
            "Timings", {"queue": MS, "encode": MS, "retrieve": MS, "rerank": MS, "total": MS}
        ),
        "batch_size": {**COUNT, "description": "requests in the engine pass that made the list"},
        "items": array_of(_RANKED_ITEM),
        "degraded": {
            **array_of(STRING),
            "description": "left-out parts; the list may be worse",
        },
        "generation": GENERATION,
        "missing_ids": array_of(STRING),
        "passing": {
            "type": ["integer", "null"],
            "description": "how many items, from the first, meet the filter and the demands of the "
            "intent; null = all",
        },
        "intent": {
            "anyOf": [{"type": "null"}, INTENT],
            "description": "what the query was taken to ask for; null: there was none",
        },
        "next_cursor": {"type": ["string", "null"]},
        "text": {**STRING, "description": "text: a short text about the first items"},
        "text_by": {
            **one_of("model", "template", "both"),
            "description": "text: who wrote it: the language model, the template, or both",
        },
        "baseline": {
            "type": ["number", "null"],
            "description": "explain: the score that contributions are counted from",
        },
        "exposure": _EXPOSURE,
    },
    optional=("baseline", "exposure", "text", "text_by"),
)

KEPT_ANSWER: Final = object_of(
    "KeptAnswer",
    {
        **ANSWER["properties"],
        "given_at": SECONDS,
        "request": {
            **recommend_request(),
            "description": "the fields that were sent, with those of the scenario",
        },
    },
    optional=tuple(ANSWER["properties"].keys() - set(ANSWER["required"])),
)

SENTENCE: Final = object_of(
    "Sentence",
    {
        "text": STRING,
        "by": {"title": "Writer", **one_of("model", "template")},
    },
)

TEXT_DONE: Final = object_of(
    "TextDone",
    {
        "sentences": {**COUNT, "description": "how many were sent"},
        "by_model": {**COUNT, "description": "how many of them the language model wrote"},
    },
)


def _event(title: str, data: Schema) -> Schema:
    """Return the schema of server-sent events, by name of the event."""
    content = {"contentMediaType": "application/json", "contentSchema": {"anyOf": [*data.values()]}}
    return object_of(title, {"event": one_of(*data), "data": {**STRING, **content}})


STREAM_EVENT: Final = _event("StreamEvent", {"items": ANSWER, "text": SENTENCE, "done": TEXT_DONE})

ERROR_EVENT: Final = _event("ErrorEvent", {"error": ERROR})

BATCH_ANSWER: Final = object_of("BatchAnswer", {"results": array_of({"anyOf": [ANSWER, ERROR]})})

BATCH_REQUEST: Final = object_of(
    "BatchRequest",
    {
        "requests": {
            "type": "array",
            "minItems": 1,
            "maxItems": MAX_BATCH,
            "items": recommend_request(),
            "description": "an invalid one gets its own error",
        }
    },
)

INTERPRETED: Final = object_of("InterpretAnswer", {"intent": INTENT})

INTERPRET_REQUEST: Final = object_of(
    "InterpretRequest", {"query": TypeAdapter(Query).json_schema()}
)

RELOAD_REQUEST: Final = object_of("ReloadRequest", {})

RELOAD: Final = object_of(
    "ReloadAnswer",
    {
        "generation": {**GENERATION, "description": "what is served now"},
        "previous": {
            **STRING,
            "description": "the generation before, maybe the same",
        },
        "reloaded": {"type": "boolean", "description": "whether another generation took over"},
        "seconds": {"type": "number", "minimum": 0},
    },
)

LEARNED_INTENTS: Final = object_of(
    "LearnedIntents",
    {
        "enabled": {"type": "boolean", "description": "whether a language model is set"},
        "model": {"type": ["string", "null"]},
        "intents": array_of(
            object_of(
                "LearnedIntent",
                {
                    "seq": COUNT,
                    "words": {**STRING, "description": "of the query, in lower case"},
                    "intent": {
                        "anyOf": [{"type": "null"}, INTENT],
                        "description": "what is used; null: the parser's reading",
                    },
                    "learned_at": SECONDS,
                    "used_at": SECONDS,
                    "uses": COUNT,
                },
            )
        ),
        "next": {
            "type": ["integer", "null"],
            "description": "`after` of the next page; null on the last one",
        },
    },
)

FORGOTTEN_INTENTS: Final = object_of("ForgottenIntents", {"removed": COUNT})

DOCTOR: Final = object_of(
    "Checkup",
    {
        "bundle": object_of("ExaminedBundle", {"name": STRING, "generation": STRING}),
        "looked_at": object_of(
            "LookedAt",
            {
                "items": {**COUNT, "description": "of a large catalogue a sample"},
                "events": {**COUNT, "description": "of the bundle and of the store"},
                "queries": {**COUNT, "description": "the newest that were computed here"},
            },
        ),
        "findings": {
            **array_of(
                object_of(
                    "Finding",
                    {
                        "id": {**STRING, "description": "with a field or a mode behind a colon"},
                        "severity": one_of("error", "warning", "notice"),
                        "number": {**NUMBER, "description": "a share from 0 to 1, or a count"},
                        "sentence": {**STRING, "description": "what is wrong"},
                        "remedy": {**STRING, "description": "what to do"},
                    },
                )
            ),
            "description": "the worst first",
        },
    },
)

STATUS_ANSWER: Final = object_of("Health", {"status": one_of("ok", "not_ready")})
READY_ANSWER: Final = object_of(
    "Readiness",
    {"status": one_of("ok", "not_ready"), "saturation": {**NUMBER, "minimum": 0}},
)

INFO: Final = object_of(
    "Info",
    {
        "version": STRING,
        "libraries": {"type": "object", "additionalProperties": STRING},
        "bundle": object_of(
            "InfoBundle", {"name": STRING, "generation": STRING, "catalogue": COUNT}
        ),
        "items": COUNT,
        "users": COUNT,
        "events": COUNT,
        "encoder": object_of("InfoEncoder", {"id": STRING, "dim": COUNT}),
        "index": STRING,
        "scorer": STRING,
        "training": {
            "type": "boolean",
            "description": "whether `recserve demo` trains this bundle now",
        },
        "fields": {"type": "object", "additionalProperties": STRING},
        "user_attributes": {
            "type": "object",
            "additionalProperties": STRING,
            "description": "kind of each attribute that the bundle has of users",
        },
        "goals": {
            "type": "array",
            "items": STRING,
            "description": "kinds of events that goals of a request may name",
        },
        "goal_weights": {
            "type": "object",
            "additionalProperties": {"type": "number"},
            "description": "goals of a request that names none",
        },
        "backend": object_of("InfoBackend", {"device": STRING, "threads": COUNT, "workers": COUNT}),
        "cache": object_of("InfoCache", {"local_bytes": COUNT, "shared": {"type": "boolean"}}),
        "store": object_of("InfoStore", {"shared": {"type": "boolean"}}),
        "limits": {"type": "object", "additionalProperties": {"type": "integer"}},
    },
)

EXAMPLES: Final = {
    "words": {"value": {"query": "space adventure with robots", "k": 5}},
    "user": {"value": {"user_id": "7", "k": 5, "fields": ["categories", "published_at"]}},
    "both": {"value": {"query": "funny", "user_id": "7"}},
    "history": {"value": {"history": ["1", "260", "1196"], "k": 5}},
    "rank these": {"value": {"query": "heist", "candidates": ["1", "2", "6", "50"]}},
    "like": {"value": {"like": ["1"], "dislike": ["2"], "k": 5}},
    "demands": {"value": {"query": "newest comedies from the 90s"}},
    "an intent of its own": {
        "value": {"intent": {"sort": "newest", "residual_text": "space", "like": ["1"]}}
    },
    "words only": {"value": {"query": "newest comedies", "intent": False}},
    "one of a title": {"value": {"query": "hamlet", "max_per": {"title": 1}}},
    "unlike each other": {"value": {"query": "space", "diversity": 0.5}},
    "with draws": {"value": {"user_id": "7", "explore": 0.1, "popularity_bias": -0.3}},
}
INTERPRET_EXAMPLES: Final = {"demands": {"value": {"query": "newest comedies from the 90s"}}}
