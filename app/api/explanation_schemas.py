"""JSON schemas of explanations: why an item is in an answer."""

from typing import Final

from app.api.schema_parts import COUNT, NUMBER, STRING, TITLE, array_of, object_of, one_of
from app.core.explanation import GROUPS
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
        "rules": {
            **array_of(object_of("RuleFact", {"id": STRING, "adds": NUMBER})),
            "description": "rules that put it forward or back, and what each adds to the score",
        },
    },
    optional=("items", "words", "filter", "intent", "context", "popularity", "freshness", "rules"),
)
