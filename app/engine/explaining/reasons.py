"""The reason of an item: its strongest fact as one sentence.

The sentence tells a fact of the group with the largest positive contribution; where there is none
to tell, that the group speaks for the item.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

from app.core.explanation import Group
from app.engine.explaining.evidence import Evidence
from app.engine.explaining.sentences import FACTS, ORDER, PLAIN, sentence

_JOINED: Final = ", "

_Told: TypeAlias = tuple[str, Mapping[str, object]]
"""The fact that a sentence tells, and what fills its slots."""


def reason_of(language: str, contributions: Mapping[Group, float], evidence: Evidence) -> str:
    """Return one sentence: the order, or a fact of the group with the largest contribution."""
    if "order" in evidence:
        fact, values = _of_order(evidence)
        return sentence(language, ORDER, fact, **values)
    best = max(contributions, key=lambda group: contributions[group], default=None)
    if best is None or contributions[best] <= 0.0:
        return sentence(language, "nothing", PLAIN)
    fact, values = _FACT_OF.get(best, _plain)(evidence)
    return sentence(language, best, fact, **values)


def _plain(_: Evidence) -> _Told:
    return PLAIN, {}


def _of_order(evidence: Evidence) -> _Told:
    order: Mapping[str, Any] = evidence["order"]
    sort = order["sort"]
    if sort == "popular":
        return sort, dict(evidence["popularity"])
    if order.get("value", sort) is None:
        return "missing", {}
    return sort, {name: order[name] for name in FACTS[ORDER][sort]}


def _of_words(evidence: Evidence) -> _Told:
    found: Sequence[Mapping[str, Any]] = evidence.get("words", ())
    if not found:
        return PLAIN, {}
    field = "title" if any("title" in each["fields"] for each in found) else found[0]["fields"][0]
    words = _JOINED.join(each["word"] for each in found if field in each["fields"])
    if field == "title":
        return "title", {"words": words}
    return "field", {"field": field, "words": words}


def _of_intent(evidence: Evidence) -> _Told:
    if spans := evidence.get("intent"):
        return "span", {"words": _JOINED.join(span["words"] for span in spans)}
    return _of_item(evidence, "item", given="intent")


def _of_taste(evidence: Evidence) -> _Told:
    tries = (
        _of_item(evidence, "like", given="like"),
        _of_item(evidence, "content", given="history", by="content"),
        _of_item(evidence, "taste", given="history", by="taste"),
        _of_item(evidence, "content", given="history", by="both"),
    )
    return next((told for told in tries if told[0] != PLAIN), (PLAIN, {}))


def _of_behaviour(evidence: Evidence) -> _Told:
    return _of_item(evidence, "item", given="history", by="behaviour")


def _of_item(evidence: Evidence, fact: str, *, given: str, by: str = "") -> _Told:
    for item in evidence.get("items", ()):
        if item["given"] == given and by in {"", item["by"]}:
            return fact, {"title": item["title"] or item["id"]}
    return PLAIN, {}


def _of_context(evidence: Evidence) -> _Told:
    return ("value", dict(evidence["context"][0])) if "context" in evidence else (PLAIN, {})


def _of_popularity(evidence: Evidence) -> _Told:
    return ("rank", dict(evidence["popularity"])) if "popularity" in evidence else (PLAIN, {})


def _of_freshness(evidence: Evidence) -> _Told:
    if "freshness" not in evidence:
        return PLAIN, {}
    return "share", {"percent": int(100 * evidence["freshness"]["newer_than"])}


_FACT_OF: Final[Mapping[Group, Callable[[Evidence], _Told]]] = {
    "words": _of_words,
    "intent": _of_intent,
    "taste": _of_taste,
    "behaviour": _of_behaviour,
    "context": _of_context,
    "popularity": _of_popularity,
    "freshness": _of_freshness,
}
