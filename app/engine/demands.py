"""Applies the intent of a query to a request: its demands, in the terms of the catalogue.

    request + intent ─▶ asked ─▶ filters, items to resemble, k
                        posed ─▶ blocked rows, preferences, the order

A request whose query asks for nothing but its words passes through untouched.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import numpy as np

from app.core.errors import InvalidRequestError
from app.core.ranking import RankRequest
from app.core.types import Rows, Vector
from app.domain.columns import Floats
from app.domain.intent import Intent, all_of
from app.engine.arranging.ordering import MOST_RELEVANT, Ordering, pool_of, sort_key
from app.engine.arranging.placing import free_places, needed_by
from app.engine.arranging.posed import Asked, Posed, arrangement_of
from app.engine.intent.denials import denies
from app.engine.kernels.topk import Hits
from app.engine.parts import EngineParts
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.retrieval.title_lookup import rows_of_titles, titled
from app.engine.rules.applied import AppliedRules, Pin, applied
from app.engine.rules.conditions import applying

_NO_ROWS: Final[Rows] = np.empty(0, np.int64)
_TITLE_UNKNOWN: Final = 0.5
"""What the confidence of an intent is multiplied by that names no item by its title."""
_MOST_READ: Final = 500
"""Texts that are read to see whether they have an unwanted word only to deny it."""


def asked_for(request: RankRequest, intent: Intent, parts: EngineParts) -> Asked:
    """Return what a request and its intent ask for together, under the rules that apply.

    What does not fit the catalogue, because another bundle has taken over meanwhile, is left out.
    """
    asked = _with_demands(request, intent, parts)
    if not request.rules:
        return asked
    rules = applied(applying(request.rules, asked.intent), parts.catalogue)
    return replace(
        asked,
        request=asked.request._replace(filter=all_of(asked.request.filter, rules.blocks)),
        own_filter=all_of(asked.own_filter, rules.blocks),
        rules=rules,
    )


def _with_demands(request: RankRequest, intent: Intent, parts: EngineParts) -> Asked:
    own_filter = request.filter
    if not intent.has_demands:
        return Asked(request, intent, own_filter, weak=_is_weak(request, intent, parts))
    like = (*intent.like, *ids_of_titles(intent.like_titles, parts))
    residual_text, confidence = intent.residual_text, intent.confidence
    if intent.like_titles and not like and not residual_text:
        # No item has such a title: its words are all there is to search by.
        residual_text, confidence = " ".join(intent.like_titles), confidence * _TITLE_UNKNOWN
    intent = replace(
        intent,
        filters=_fitting(intent.filters, parts),
        prefers=_fitting(intent.prefers, parts),
        like=like,
        dislike=(*intent.dislike, *ids_of_titles(intent.dislike_titles, parts)),
        residual_text=residual_text,
        confidence=confidence,
    )
    exclude = request.exclude
    if not request.repeat:
        exclude = exclude.union(intent.like, intent.dislike)
    request = request._replace(
        filter=all_of(own_filter, intent.filters),
        like=(*request.like, *intent.like),
        dislike=(*request.dislike, *intent.dislike),
        exclude=exclude,
        k=intent.count if intent.count and request.k_is_default else request.k,
    )
    return Asked(request, intent, own_filter, weak=_is_weak(request, intent, parts))


def _is_weak(request: RankRequest, intent: Intent, parts: EngineParts) -> bool:
    """Tell whether the parser has understood little; a code that names an item says enough."""
    if request.intent or not intent.is_weak:
        return False
    return not parts.texts.words.coded(request.query).size


def posed(asked: Asked, resolved: ResolvedRequest, parts: EngineParts) -> Posed:
    """Put a resolved request under the demands of its intent, and say how it is ordered."""
    found = _ordered(asked, resolved, parts)
    return found if asked.rules is None else _ruled(found, asked.rules)


def _ordered(asked: Asked, resolved: ResolvedRequest, parts: EngineParts) -> Posed:
    intent, max_per = asked.intent, asked.request.max_per
    resolved = _with_tone_taste(resolved, asked, parts)
    arrangement = arrangement_of(asked.request, parts.catalogue)
    if arrangement is not None:
        resolved = replace(resolved, needed=arrangement.needed)
    if asked.rules is not None and asked.rules.promotions:
        needed = needed_by(asked.rules.promotions, resolved.k)
        resolved = replace(resolved, needed=(*resolved.needed, *needed))
    if intent.is_plain and not (intent.tone or max_per):
        return Posed(asked, resolved, arrangement=arrangement)
    resolved = _demanded(resolved, intent, parts)
    key = sort_key(intent.sort, parts.catalogue, parts.signals, parts.roles)
    if key is not None and resolved.preferred is not None:
        # What is preferred is sorted; the rest follows, by its score.
        key = np.where(resolved.preferred > 0.0, key, -np.inf)
    ordering = Ordering(
        key=key,
        first=_titled(resolved, asked, parts) if intent.title else _NO_ROWS,
        max_per=max_per,
        counted=parts.catalogue.rows(asked.request.shown) if max_per else _NO_ROWS,
    )
    if resolved.named is not None:
        # A title among the candidates stays, even if it fails the positive demands.
        more = ordering.first[~np.isin(ordering.first, resolved.named)]
        resolved = replace(resolved, named=np.concatenate([resolved.named, more]))
    elif ordering.key is not None:
        resolved, ordering = _sorted(resolved, ordering, ordering.key, asked.request, parts)
    if ordering.first.size:
        ones = np.ones(len(ordering.first), np.float32)
        resolved = replace(resolved, extra={**resolved.extra, "title": Hits(ordering.first, ones)})
    return Posed(asked, resolved, ordering, arrangement)


def _demanded(resolved: ResolvedRequest, intent: Intent, parts: EngineParts) -> ResolvedRequest:
    """Return a request with the words that no item may have, and what is preferred."""
    if intent.without:
        resolved = _without(resolved, intent.without, parts)
    if intent.prefers or intent.tone:
        resolved = replace(resolved, preferred=_preferred(intent, parts))
    return resolved


def _with_tone_taste(
    resolved: ResolvedRequest, asked: Asked, parts: EngineParts
) -> ResolvedRequest:
    """Add the tones of what was taken lately, where items have some and the query asks for none."""
    if asked.intent.tone or not (parts.tones.has_field and asked.request.history):
        return resolved
    history = parts.catalogue.rows(asked.request.history)
    return replace(resolved, tone_taste=parts.tones.taste(history))


def _ruled(found: Posed, rules: AppliedRules) -> Posed:
    """Give a request the rows that rules put into it: those that may come back."""
    resolved, request = found.resolved, found.asked.request
    pins: tuple[Pin, ...] = ()
    if rules.pins and not request.shown:
        candidates = None if request.candidates is None else resolved.named
        some = [pin for pin in rules.pins if _may_come(pin.row, resolved, candidates)]
        pins = free_places(some, resolved.k)
    rules = rules.with_pins(pins)
    extra, named = resolved.extra, resolved.named
    rows = np.array([pin.row for pin in pins], np.int64)
    if rows.size:
        extra = {**extra, "pin": Hits(rows, np.ones(len(rows), np.float32))}
    if named is not None and request.candidates is None:
        named = np.union1d(named, rows)  # a sort has named the rows that it chooses from
    return replace(found, resolved=replace(resolved, rules=rules, extra=extra, named=named))


def _may_come(row: int, resolved: ResolvedRequest, candidates: Rows | None) -> bool:
    """Tell whether a row may come back. `candidates`: int64[c], all that may; None = any."""
    if resolved.blocked is not None and resolved.blocked[row]:
        return False
    return row not in resolved.hidden and (candidates is None or row in candidates)


def _preferred(intent: Intent, parts: EngineParts) -> Vector | None:
    """Return float32[n]: 1 for each row with the values asked for, and the share of the tones."""
    shares = parts.tones.shares(intent.tone) if intent.tone else None
    failing = parts.catalogue.blocked(intent.prefers) if intent.prefers else None
    if failing is None:
        return shares
    valued = (~failing).astype(np.float32)
    return valued if shares is None else valued + shares


def _sorted(
    resolved: ResolvedRequest,
    ordering: Ordering,
    key: Floats,
    request: RankRequest,
    parts: EngineParts,
) -> tuple[ResolvedRequest, Ordering]:
    """Name the rows that a sort chooses from, or limit the sort to the most relevant ones."""
    shown = parts.catalogue.rows(request.shown)
    pool = _holding_all_words(resolved, parts)
    if resolved.query and len(pool) < resolved.k:
        n_before = 0
        if shown.size:
            n_before = int(np.isin(shown, parts.texts.words.rows_with(resolved.query)).sum())
        if n_before + len(pool) < resolved.k:
            n_before = 0
        else:
            # The first page sorted the items that hold all words: the last of them come first.
            ordering = replace(ordering, before=pool)
            resolved = replace(resolved, extra={"sort": _hits_by(key, pool)})
        window = MOST_RELEVANT - (len(shown) - n_before) % MOST_RELEVANT
        return resolved, replace(ordering, window=window)
    popularity = parts.signals["popularity"]
    # What is not taken for its place alone needs more rows than are asked for.
    wide = request.max_per or request.explore or request.exposure
    named = pool_of(key, pool, len(pool) if wide else resolved.k, popularity)
    for needed in resolved.needed:
        more = pool_of(key, pool[needed.rows[pool]], needed.least, popularity)
        named = np.union1d(named, more)
    pool, named = named, np.union1d(ordering.first, named)
    return replace(resolved, named=named, extra={"sort": _hits_by(key, pool)}), ordering


def _hits_by(key: Floats, rows: Rows) -> Hits:
    """Return int64[m] rows, best first by the key; those without a value are left out."""
    valued = rows[np.isfinite(key[rows])]
    best_first = valued[np.argsort(-key[valued], kind="stable")]
    return Hits(best_first, key[best_first].astype(np.float32))


def _fitting(filter_: str, parts: EngineParts) -> str:
    """Return a filter, or "" if it does not fit the catalogue."""
    if not filter_:
        return ""
    try:
        parts.catalogue.blocked(filter_)
    except InvalidRequestError:
        return ""
    return filter_


def ids_of_titles(titles: Sequence[str], parts: EngineParts) -> tuple[str, ...]:
    """Return the ids of the items that typed titles mean, each once, in their order."""
    if not titles:
        return ()
    popularity = parts.signals["popularity"]
    rows = rows_of_titles(titles, parts.texts.words, parts.catalogue, popularity, parts.topk)
    return tuple(map(parts.catalogue.id, rows))


def _titled(resolved: ResolvedRequest, asked: Asked, parts: EngineParts) -> Rows:
    """Return the rows whose title is the query; the positive demands do not count for them.

    The title may also be what is left of the query.
    """
    rows = titled(asked.request.query, parts.texts.words)
    if not rows.size:  # "show me 2012"
        rows = titled(asked.intent.residual_text, parts.texts.words)
    if resolved.hidden.size:
        rows = rows[~np.isin(rows, resolved.hidden)]
    if asked.request.candidates is not None:
        rows = rows[np.isin(rows, parts.catalogue.rows(asked.request.candidates))]
    blocked = parts.catalogue.blocked(all_of(asked.own_filter, asked.intent.negations))
    return rows if blocked is None else rows[~blocked[rows]]


def _holding_all_words(resolved: ResolvedRequest, parts: EngineParts) -> Rows:
    """Return the rows that may come back and have all words of the query in their text."""
    if resolved.query:
        rows = parts.texts.words.rows_with(resolved.query)
    else:
        rows = np.arange(len(parts.catalogue))
    if resolved.blocked is not None:
        rows = rows[~resolved.blocked[rows]]
    return rows[~np.isin(rows, resolved.hidden)] if resolved.hidden.size else rows


def _without(
    resolved: ResolvedRequest, words: Sequence[str], parts: EngineParts
) -> ResolvedRequest:
    """Return the request with the rows blocked whose text has one of these words."""
    blocked = np.zeros(len(parts.catalogue), np.bool_)
    for word in words:
        blocked[_rows_having(word, parts)] = True
    if resolved.blocked is not None:
        blocked |= resolved.blocked
    named = resolved.named
    return replace(
        resolved, blocked=blocked, named=None if named is None else named[~blocked[named]]
    )


def _rows_having(word: str, parts: EngineParts) -> Rows:
    """Return the rows of items whose text has a word; "sugar-free" does not count as sugar."""
    rows = parts.texts.words.rows_with(word)
    if (gone := parts.catalogue.blocked()) is not None:
        rows = rows[~gone[rows]]
    texts = [parts.texts.render(partial(parts.catalogue.value, row)) for row in rows[:_MOST_READ]]
    denied = [denies(text, word) for text in texts]
    return rows[~np.array(denied + [False] * (len(rows) - len(denied)), np.bool_)]
