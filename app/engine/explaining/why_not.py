"""Where an item was lost that is not in an answer: the stages of a pass, one after the other.

    known and visible ▸ asked for ▸ rules, filter, intent ▸ sources ▸ min_score ▸ rank ▸ places

An item that nothing forbids is looked for among the candidates. If it is there, the request is
asked again without its last stage, then without the last two, and so on: the first stage without
which the item is in the answer has lost it. Otherwise other candidates have the higher scores.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np

from app.core.explanation import GROUPS, KeptOut, LostItem
from app.core.rank_rules import NO_RULES, RankRules, RuleAction
from app.core.ranking import RankRequest, RankResult
from app.core.types import Rows
from app.domain.filters import filter_text
from app.engine.arranging.capping import value_of
from app.engine.arranging.posed import Posed
from app.engine.arranging.results import ScoredCandidates
from app.engine.explaining.explainer import grouped_score
from app.engine.explaining.met_demands import clauses_of, meets
from app.engine.explaining.sentences import LOST, sentence
from app.engine.intent.denials import denies
from app.engine.kernels.topk import Hits
from app.engine.parts import EngineParts
from app.engine.retrieval.sources import retrieve

_DIGITS: Final = 6

Details: TypeAlias = dict[str, Any]
Found: TypeAlias = tuple[str, str, Details]
"""The stage, the fact that its sentence tells, and what is known of it."""


@dataclass(frozen=True, slots=True)
class Walked:
    """The first pass of one request: what was asked, what each source brought, the scores."""

    posed: Posed
    hits: Mapping[str, Hits]
    rows: Rows
    scored: ScoredCandidates


@dataclass(frozen=True, slots=True)
class AskedEngine:
    """What is asked of an engine.

    Attributes:
        parts: what the engine is made of now.
        walked: the first pass of a request, with all that explains its scores.
        ranked: the whole answer to a request.
    """

    parts: EngineParts
    walked: Callable[[RankRequest], Walked]
    ranked: Callable[[RankRequest], RankResult]


def why_not(
    passes: AskedEngine, request: RankRequest, item_id: str, kept_out: KeptOut | None
) -> LostItem:
    """Return the stage that lost an item, or that it is in the answer.

    Args:
        passes: of the engine.
        request: what was asked.
        item_id: of the item.
        kept_out: why the service has put it among the excluded or seen ones; None = it has not.
    """
    search = _Search(passes, request._replace(explain=True), item_id, kept_out)
    stage, fact, details = search.stage()
    said = sentence(search.language or request.language, LOST, fact, **details)
    return LostItem(stage, details, said)


class _Search:
    """Looks for the stage that lost one item of one request."""

    def __init__(
        self, passes: AskedEngine, request: RankRequest, item_id: str, kept_out: KeptOut | None
    ) -> None:
        self._passes, self._request, self._id = passes, request, item_id
        self._kept_out, self._parts = kept_out, passes.parts
        self._row = self._parts.catalogue.row(item_id)
        self.language = ""

    def stage(self) -> Found:
        """Return the stage, the fact that its sentence tells, and the details."""
        found = self._not_there()
        if found is not None:
            return found
        result = self._passes.ranked(self._request)
        if (place := _place(result, self._id)) is not None:
            return "answered", "answered", {"place": place}
        walked = self._passes.walked(self._request)
        self.language = walked.posed.asked.intent.language
        for look in (self._not_asked_for, self._blocked, self._failing, self._not_found):
            found = look(walked)
            if found is not None:
                return found
        return self._arranged_away(walked) or self._outranked(walked, result)

    def _not_there(self) -> Found | None:
        """Tell whether there is no such item, or nobody gets it."""
        catalogue = self._parts.catalogue
        if self._row < 0:
            known = catalogue.is_deleted(self._id)
            return ("hidden", "deleted", {"by": "deleted"}) if known else ("unknown", "unknown", {})
        if catalogue.is_visible(self._id):
            return None
        record = catalogue.records().get(self._row)
        if record is None or record.hidden:
            return "hidden", "hidden", {"by": "hidden"}
        if record.start > self._request.now:
            return "hidden", "early", {"by": "available_from"}
        return "hidden", "late", {"by": "available_until"}

    def _not_asked_for(self, walked: Walked) -> Found | None:
        """Tell whether the request itself, an earlier page, or an event keeps it out."""
        asked = walked.posed.asked
        if self._request.candidates is not None and self._id not in self._request.candidates:
            return "excluded", "candidates", {"by": "candidates"}
        if self._row not in walked.posed.resolved.hidden:
            return None
        if self._kept_out is not None:
            stage, by, details = self._kept_out
            return stage, by, {"by": by, **details}
        named = (*asked.intent.like, *asked.intent.dislike)
        by = "intent" if self._id in named else "exclude"
        return "excluded", by, {"by": by}

    def _blocked(self, walked: Walked) -> Found | None:
        """Tell whether a rule blocks it."""
        applied = walked.posed.asked.rules
        if applied is None:
            return None
        for rule in self._request.rules.rules:
            if rule.action != "block" or rule.id not in applied.ids:
                continue
            if all(meets(self._parts.catalogue, self._row, c) for c in clauses_of(rule.filter)):
                return "blocked", "blocked", {"rule": rule.id}
        return None

    def _failing(self, walked: Walked) -> Found | None:
        """Tell which clauses of the caller's filter, or of the intent, it does not meet."""
        intent = walked.posed.asked.intent
        blocked = walked.posed.resolved.blocked
        if blocked is None or not blocked[self._row]:
            return None
        for by, fact, filter_ in (
            ("filter", "filter", self._request.filter),
            ("intent", "demand", intent.filters),
        ):
            failed = [
                clause
                for clause in clauses_of(filter_)
                if not meets(self._parts.catalogue, self._row, clause)
            ]
            if failed:
                clause = filter_text(failed[0])
                return "filtered", fact, {"by": by, "clauses": failed, "clause": clause}
        words = [word for word in intent.without if self._has(word)]
        return "filtered", "without", {"by": "intent", "words": words, "word": ", ".join(words)}

    def _has(self, word: str) -> bool:
        parts = self._parts
        if self._row not in parts.texts.words.rows_with(word):
            return False
        text = parts.texts.render(lambda name: parts.catalogue.value(self._row, name))
        return not denies(text, word)

    def _not_found(self, walked: Walked) -> Found | None:
        """Tell how far it is from the last one that each source has brought."""
        named, ordering = walked.posed.resolved.named, walked.posed.ordering
        if ordering is not None and ordering.key is not None and self._row not in walked.rows:
            return self._sorted_out(walked)
        if self._row in (walked.rows if named is None else named):
            return None
        return "not_retrieved", "not_retrieved", {"sources": list(self._sources(walked))}

    def _sources(self, walked: Walked) -> Iterator[Details]:
        parts, request = self._parts, walked.posed.resolved
        only = np.zeros(len(parts.catalogue), np.bool_)
        only[self._row] = True
        (alone,) = retrieve([request.only(only)], (*parts.sources, *parts.fallback))
        for source in (*parts.sources, *parts.fallback):
            hits = walked.hits.get(source.name)
            if hits is None or not hits.rows.size:
                continue
            last = float(hits.scores[-1])
            found: Details = {"name": source.name, "brought": len(hits.rows), "last_score": last}
            own = alone.get(source.name)
            score = None if own is None else float(own.scores[0])
            if source.name == "similar" and request.liked is not None:
                # The most similar candidates make the scale: it is compared among them.
                rows = np.append(hits.rows, self._row)
                score = float(parts.similarity.scores(request.liked, rows, request.by)[-1])
            yield {**found, "score": score, "behind": None if score is None else last - score}

    def _sorted_out(self, walked: Walked) -> Found:
        """Tell that a strict order puts others before it."""
        ordering = walked.posed.ordering
        assert ordering is not None and ordering.key is not None  # noqa: S101, PT018 - asked before
        request, value = walked.posed.resolved, ordering.key[self._row]
        before = ordering.key > value
        if request.blocked is not None:
            before &= ~request.blocked
        before[request.hidden] = False
        return (
            "outranked",
            "sorted" if np.isfinite(value) else "no_value",
            {"sort": walked.posed.asked.intent.sort, "rank": 1 + int(before.sum())},
        )

    def _arranged_away(self, walked: Walked) -> Found | None:
        """Tell which stage has lost a candidate, that would be in the answer without the stage."""
        request = self._request
        for stage, fact, change in _stages(request):
            without = request._replace(**change)
            if _place(self._passes.ranked(without), self._id) is not None:
                return stage, fact, self._details(stage, walked, request)
            request = without
        return None

    def _details(self, stage: str, walked: Walked, request: RankRequest) -> Details:
        """Return what is known of a stage, which is the last one of a request."""
        match stage:
            case "below_min_score":
                score = float(walked.scored.log_odds(walked.scored.scores)[self._position(walked)])
                return {"score": round(score, _DIGITS), "min_score": request.min_score}
            case "max_per":
                result = self._passes.ranked(request)
                rows = [*self._parts.catalogue.rows([item.id for item in result.items]).tolist()]
                rows += self._parts.catalogue.rows(request.shown).tolist()
                return {"max_per": dict(request.max_per), "full": self._full(request, rows)}
            case _:
                return {}

    def _full(self, request: RankRequest, rows: Sequence[int]) -> dict[str, list[Any]]:
        """Return field -> its values that some rows have as often as the request allows."""
        full = {}
        for field, most in request.max_per:
            values_of = value_of(field, self._parts.catalogue)
            counts = Counter(value for row in rows for value in values_of(row))
            if some := [value for value in values_of(self._row) if counts[value] >= most]:
                full[field] = some
        return full

    def _position(self, walked: Walked) -> int:
        return int(np.flatnonzero(walked.scored.rows == self._row)[0])

    def _outranked(self, walked: Walked, result: RankResult) -> Found:
        """Tell the rank, how far it is from the last item shown, and on which group mostly."""
        if walked.posed.ordering is not None and walked.posed.ordering.key is not None:
            return self._sorted_out(walked)
        scored, position = walked.scored, self._position(walked)
        rank = 1 + int((scored.scores > scored.scores[position]).sum())
        shown = scored.log_odds(scored.scores)
        details: Details = {
            "rank": rank,
            "of": len(scored.rows),
            "score": round(float(shown[position]), _DIGITS),
        }
        last = self._parts.catalogue.row(result.items[-1].id) if result.items else -1
        if last not in scored.rows or "rerank" in scored.degraded:
            return "outranked", "rank", details
        other = int(np.flatnonzero(scored.rows == last)[0])
        _, shares = grouped_score(self._parts, walked.posed, scored).contributions(
            np.array([position, other])
        )
        lacks = {
            group: float(shares[group][1] - shares[group][0]) for group in GROUPS if group in shares
        }
        group = max(lacks, key=lambda each: lacks[each], default=None)
        details |= {
            "last_score": round(float(shown[other]), _DIGITS),
            "behind": round(float(shown[other] - shown[position]), _DIGITS),
        }
        if group is None or lacks[group] <= 0.0:
            return "outranked", "rank", details
        details |= {"group": group, "by_group": round(lacks[group], _DIGITS)}
        return "outranked", "outranked", details


def _place(result: RankResult, item_id: str) -> int | None:
    return next((n for n, item in enumerate(result.items, 1) if item.id == item_id), None)


def _stages(request: RankRequest) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Yield the stages that a request has, the last one first, and what leaves each of them out."""
    rules = request.rules
    for action, stage in (("pin", "pins"), ("promote", "promotion")):
        if any(rule.action == action for rule in rules.rules):
            rules = _without(rules, action)
            yield stage, stage, {"rules": rules}
    if request.exposure:
        yield "exposure", "exposure", {"exposure": ""}
    if request.explore:
        yield "explore", "explore", {"explore": 0.0}
    if request.diversity:
        yield "diversity", "diversity", {"diversity": 0.0}
    if request.max_per:
        yield "max_per", "max_per", {"max_per": ()}
    if request.min_score is not None:
        yield "below_min_score", "below_min_score", {"min_score": None}


def _without(rules: RankRules, action: RuleAction | str) -> RankRules:
    kept = tuple([rule for rule in rules.rules if rule.action != action])
    return RankRules(f"{rules.key} but {action}", kept) if kept else NO_RULES
