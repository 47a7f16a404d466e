"""Checks that an explanation is true: every fact against the data, the sentence against the facts.

It reads an answer as a caller gets it, and the data behind the engine. It shares no code with what
makes explanations, but for the templates of the sentences.
"""

import re
from dataclasses import dataclass
from typing import Any

import numpy as np

from app.core.ranking import RankRequest
from app.domain.filters import filter_text
from app.engine.engine import RankEngine
from app.engine.explaining.sentences import languages
from app.engine.retrieval.word_cutting import words_of


@dataclass(frozen=True)
class Told:
    """An engine, what it was asked, and the intent that it found, as the answer shows it."""

    engine: RankEngine
    request: RankRequest
    intent: dict[str, Any] | None = None


def untruths(told: Told, item_id: str, explanation: Any) -> list[str]:
    """Return what is not true of an item's explanation; nothing, if all of it is true."""
    wrong = [
        f"{kind}: {fact}"
        for kind, facts in explanation.evidence.items()
        for fact in (facts if isinstance(facts, list | tuple) else [facts])
        if not _CHECKS[kind](told, item_id, fact)
    ]
    if not _follows(explanation):
        wrong.append(f"reason: {explanation.reason}")
    return wrong


def _item(told, item_id, fact):
    catalogue, parts = told.engine._parts.catalogue, told.engine._parts
    here, there = catalogue.row(item_id), catalogue.row(fact["id"])
    given = {
        "history": told.request.history,
        "like": told.request.like,
        "intent": (told.intent or {}).get("like", ()),
    }
    if fact["id"] not in given[fact["given"]] or catalogue.title(there) != fact["title"]:
        return False
    if fact["by"] == "both" or parts.learned is None:
        return fact["by"] in {"both", "content"} and here != there
    behaviour = parts.learned.behaviour
    if fact["by"] == "taste":
        near = behaviour.taste.inputs[_rows(told)] @ behaviour.taste.targets[here]
        return _is_best(told, behaviour.taste.recency, near, there)
    for name, table in behaviour.tables.items():
        if (name == "content_knn") != (fact["by"] == "content"):
            continue
        near = [
            sum(w for row, w in zip(table.rows[r], table.weights[r], strict=True) if row == here)
            for r in _rows(told)
        ]
        if any(near):  # the first table that knows them decides
            fading = behaviour.decays[name] ** np.arange(len(near))
            return _is_best(told, fading, np.array(near), there)
    return False


def _rows(told):
    """The rows of the history, newest first, at most twenty."""
    return told.engine._parts.catalogue.rows(told.request.history)[::-1][:20]


def _is_best(told, fading, near, row):
    rows = _rows(told)
    strength = np.where(rows == row, fading[: len(near)] * near, -np.inf).max()
    others = fading[: len(near)] * near
    return strength > 0 and strength >= others.max() - 1e-6


def _word(told, item_id, fact):
    item = told.engine.item(item_id)
    values = {"title": item.title, **item.fields}
    texts = {
        name: value if isinstance(value, str) else " ".join(value)
        for name, value in values.items()
        if isinstance(value, str | list | tuple)
    }
    wanted = set(words_of(fact["word"]))
    having = {name for name, text in texts.items() if wanted <= set(words_of(text))}
    return fact["word"] in told.request.query and having == set(fact["fields"])


def _clause(told, item_id, fact):
    failing = told.engine._parts.catalogue.blocked(filter_text(fact))
    return not failing[told.engine._parts.catalogue.row(item_id)]


def _span(told, item_id, fact):
    if told.request.query[fact["start"] : fact["end"]] != fact["words"]:
        return False
    parts = told.engine._parts
    row = parts.catalogue.row(item_id)
    kind, _, tone = fact["means"].partition(":")
    if kind == "tone":
        return parts.tones.shares((tone,))[row] > 0
    field, _, values = fact["means"].partition("=")
    if values:
        own = parts.catalogue.value(row, field)
        return bool(set(values.split("|")) & {*(own if isinstance(own, list | tuple) else [own])})
    tests = told.intent["filters"].get(field) or told.intent["prefers"][field]
    return _clause(told, item_id, {field: tests})


def _value(told, item_id, fact):
    parts = told.engine._parts
    sides = parts.learned.behaviour.sides
    entries = [*sides.attributes.entries, *sides.context.entries]
    code = entries.index((fact["name"], fact["value"]))
    part = slice(*sides.offsets[code : code + 2])
    row = parts.catalogue.row(item_id)
    return sides.lifts[part][sides.rows[part] == row].sum() > 0


def _rank(told, item_id, fact):
    parts = told.engine._parts
    signal, n = parts.signals["popularity"], parts.catalogue.n_used
    above = (signal[:n] > signal[parts.catalogue.row(item_id)]).sum()
    return fact == {"rank": above + 1, "of": n}


def _newness(told, item_id, fact):
    share = told.engine._parts.signals["freshness"][told.engine._parts.catalogue.row(item_id)]
    return abs(fact["newer_than"] - share) < 1e-4


def _order(told, item_id, fact):
    """The query asks for the order, and the item has the value."""
    parts = told.engine._parts
    if fact["sort"] != (told.intent or {}).get("sort"):
        return False
    if "field" not in fact:
        return fact["sort"] in {"popular", "trending", "rated"}
    return parts.catalogue.value(parts.catalogue.row(item_id), fact["field"]) == fact["value"]


_CHECKS = {
    "items": _item,
    "words": _word,
    "filter": _clause,
    "intent": _span,
    "context": _value,
    "popularity": _rank,
    "freshness": _newness,
    "order": _order,
}


def _follows(explanation):
    """The sentence is of the order, else of the group with the largest share.

    Its slots stand in the evidence.
    """
    shares = explanation.contributions
    best = max(shares, key=shares.get)
    group = best if shares[best] > 0 else "nothing"
    if "order" in explanation.evidence:
        group = "order"
    known = _leaves(explanation.evidence)
    for templates in languages().values():
        for template in templates[group].values():
            pattern = re.sub(r"\\{\w+\\}", "(.+)", re.escape(template))
            if found := re.fullmatch(pattern, explanation.reason):
                return all(_stands_in(slot, known) for slot in found.groups())
    return False


def _stands_in(slot, known):
    return slot in known or all(part in known for part in slot.split(", "))


def _leaves(node):
    if isinstance(node, dict):
        known = {leaf for value in node.values() for leaf in _leaves(value)}
        return known | {str(int(100 * node["newer_than"]))} if "newer_than" in node else known
    if isinstance(node, list | tuple):
        return {leaf for value in node for leaf in _leaves(value)}
    return {str(node)}
