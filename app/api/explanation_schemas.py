"""JSON schemas of explanations: why an item is in an answer, and why it is not."""

from typing import Final

from app.api.schema_parts import (
    COUNT,
    NUMBER,
    SECONDS,
    STRING,
    TITLE,
    array_of,
    object_of,
    one_of,
)
from app.core.explanation import GROUPS, LOST_STAGES
from app.domain.intent import SORTS
from app.domain.request_parts import FILTER_SCHEMA

CONTRIBUTIONS: Final = object_of("Contributions", dict.fromkeys(GROUPS, NUMBER), optional=GROUPS)

_KNOWN_ITEM: Final = object_of(
    "KnownItem",
    {
        "id": STRING,
        "title": TITLE,
        "given": {
            **one_of("history", "like", "intent"),
            "description": "where the request has it from: what the user took, `like`, the query",
        },
        "by": {
            **one_of("behaviour", "taste", "content", "both"),
            "description": "what makes them near: the same people took both; the learned space; "
            "their texts; texts and behaviour together",
        },
    },
)

EVIDENCE: Final = object_of(
    "Evidence",
    {
        "items": {**array_of(_KNOWN_ITEM), "description": "your items that lie nearest"},
        "words": {
            **array_of(object_of("FoundWord", {"word": STRING, "fields": array_of(STRING)})),
            "description": "words of the query, and the fields of the item that have them",
        },
        "filter": {
            **array_of(FILTER_SCHEMA),
            "description": "clauses of the caller's filter that it meets",
        },
        "intent": {
            **array_of(
                object_of(
                    "MetSpan", {"start": COUNT, "end": COUNT, "words": STRING, "means": STRING}
                )
            ),
            "description": "characters of the query that ask for something that it is",
        },
        "context": {
            **array_of(object_of("KnownValue", {"name": STRING, "value": STRING})),
            "description": "who asks, and where: people and moments that take it more often",
        },
        "popularity": {
            **object_of("PopularityFact", {"rank": COUNT, "of": COUNT}),
            "description": "its place by popularity, from 1, among so many items",
        },
        "freshness": {
            **object_of("FreshnessFact", {"newer_than": NUMBER}),
            "description": "the share of the dated items that are older",
        },
        "order": {
            **object_of(
                "OrderFact",
                {
                    "sort": one_of(*SORTS),
                    "field": {**STRING, "description": "absent: it is sorted by what is taken"},
                    "value": {"description": "null: it has none, and comes last"},
                },
                optional=("field", "value"),
            ),
            "description": "the strict order that it stands in, and the value that counts there",
        },
        "rules": {
            **array_of(object_of("RuleFact", {"id": STRING, "adds": NUMBER})),
            "description": "rules that put it forward or back, and what each adds to the score",
        },
    },
    optional=(
        *("items", "words", "filter", "intent", "context", "popularity", "freshness", "order"),
        "rules",
    ),
)

_SOURCE_LOST: Final = object_of(
    "MissedSource",
    {
        "name": STRING,
        "brought": {**COUNT, "description": "candidates that it brought"},
        "last_score": {**NUMBER, "description": "score of the last of them in this source"},
        "score": {
            "type": ["number", "null"],
            "description": "that of the item; null: it does not match at all",
        },
        "behind": {"type": ["number", "null"], "description": "by how much it was missed"},
    },
)

_LOST_DETAILS: Final = {
    "by": {**STRING, "description": "which part of the request, or what else, did it"},
    "place": {**COUNT, "description": "in the answer, from 1"},
    "clauses": {
        **array_of(FILTER_SCHEMA),
        "description": "clauses of a filter, or demands of the query, that it fails",
    },
    "clause": {**STRING, "description": "the first of them, as JSON text"},
    "words": {**array_of(STRING), "description": "unwanted words that it has"},
    "word": STRING,
    "rule": {**STRING, "description": "id of the rule that blocks it"},
    "event": {**STRING, "description": "kind of the stored event"},
    "time": SECONDS,
    "sources": {
        **array_of(_SOURCE_LOST),
        "description": "the sources that brought candidates, and how far it is from them",
    },
    "rank": {**COUNT, "description": "by score, or in the strict order"},
    "of": {**COUNT, "description": "candidates"},
    "score": NUMBER,
    "last_score": {**NUMBER, "description": "of the last item shown"},
    "behind": {**NUMBER, "description": "last_score - score"},
    "group": {**one_of(*GROUPS), "description": "group of signals that it lacks most of"},
    "by_group": {**NUMBER, "description": "how much it lacks there"},
    "sort": one_of(*SORTS),
    "min_score": NUMBER,
    "max_per": {"type": "object", "additionalProperties": COUNT},
    "full": {
        "type": "object",
        "additionalProperties": array_of({"type": ["string", "number", "boolean"]}),
        "description": "its values that the answer has as often as `max_per` allows, by field",
    },
}

LOST_ITEM: Final = object_of(
    "LostItem",
    {
        "stage": {
            **one_of(*LOST_STAGES),
            "description": "answered: it is in the answer; else where it was lost",
        },
        "details": object_of("LostDetails", _LOST_DETAILS, optional=tuple(_LOST_DETAILS)),
        "sentence": STRING,
    },
)
