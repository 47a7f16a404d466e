"""Explains the first items of an answer, once they are known.

    scored candidates ▸ the score by groups ▸ Shapley values ▸ contributions ▸ facts ▸ reason

It reads what the pass has computed anyway: the candidates, and the features that the network read.
An answer whose scoring failed has no contributions. An explanation that cannot be made costs the
explanation, never the answer.
"""

import logging
from collections.abc import Iterator, Sequence, Set
from dataclasses import replace
from functools import lru_cache, partial
from typing import Final

import numpy as np

from app.core.errors import EngineError
from app.core.explanation import GROUPS, MOST_EXPLAINED, Explanation, Group
from app.core.ranking import RankedItem, RankResult
from app.engine.arranging.posed import Posed
from app.engine.arranging.results import ScoredCandidates
from app.engine.explaining.evidence import FactFinder
from app.engine.explaining.grouped_score import GroupedScore, NetworkScore, Summand, adding_up
from app.engine.explaining.groups import group_of_feature
from app.engine.explaining.reasons import reason_of
from app.engine.parts import EngineParts
from app.engine.scoring.blend import LEARNED_MATCH_WEIGHT, SIGNAL_WEIGHTS, TIE_WEIGHT
from app.engine.scoring.popularity_bias import popularity_term

log = logging.getLogger(__name__)

_GROUP_OF_SIGNAL: Final[dict[str, Group]] = {
    "popularity": "popularity",
    "trending": "popularity",
    "freshness": "freshness",
}
_DIGITS: Final = 6
"""Digits behind the point; scores are float32, and have no more that mean something."""
_NOT_EXPLAINED: Final = Explanation({})


class Explainer:
    """Explains the answers of one engine. One thread at a time uses it: the one that ranks."""

    def __init__(self) -> None:
        self._facts = FactFinder()

    def explained(
        self,
        parts: EngineParts,
        batch: Sequence[Posed],
        scored: Sequence[ScoredCandidates],
        results: Sequence[RankResult],
    ) -> tuple[RankResult, ...]:
        """Return the results of a pass, with explanations where they are asked for.

        Args:
            parts: of the engine.
            batch: the requests of the pass.
            scored: the candidates of each.
            results: of each.
        """
        return tuple(
            self._explained(parts, *each) if each[0].asked.request.explain else each[-1]
            for each in zip(batch, scored, results, strict=True)
        )

    def _explained(
        self, parts: EngineParts, posed: Posed, scored: ScoredCandidates, result: RankResult
    ) -> RankResult:
        items, rest = result.items[:MOST_EXPLAINED], result.items[MOST_EXPLAINED:]
        baseline, explanations = None, [_NOT_EXPLAINED] * len(items)
        if items and "rerank" not in scored.degraded:
            try:
                baseline, explanations = self._explanations(parts, posed, scored, items)
            except (EngineError, ArithmeticError, ValueError, IndexError):
                log.exception("an answer cannot be explained")
        with_reasons = [
            item._replace(explanation=explanation)
            for item, explanation in zip(items, explanations, strict=True)
        ]
        return replace(result, items=(*with_reasons, *rest), baseline=baseline)

    def _explanations(
        self,
        parts: EngineParts,
        posed: Posed,
        scored: ScoredCandidates,
        items: Sequence[RankedItem],
    ) -> tuple[float, list[Explanation]]:
        rows = parts.catalogue.rows([item.id for item in items])
        # Compared, not searched: candidates are few, and are not sorted.
        positions = (scored.rows == rows[:, None]).argmax(axis=1)
        score = grouped_score(parts, posed, scored)
        exact, shares = score.contributions(positions)
        baseline, present = round(exact, _DIGITS), groups_of(posed, score)
        groups = [group for group in GROUPS if group in present]
        nothing = np.zeros(len(items))
        exact_shares = np.array([shares.get(group, nothing) for group in groups])
        rounded = np.round(exact_shares.reshape(len(groups), -1).T, _DIGITS) + 0.0  # no -0.0
        contributions = [
            adding_up(baseline, dict(zip(groups, each, strict=True)), item.score)
            for item, each in zip(items, rounded.tolist(), strict=True)
        ]
        language = posed.asked.intent.language or posed.asked.request.language
        evidence = self._facts.of(parts, posed, rows, contributions)
        for facts, position in zip(evidence, positions.tolist(), strict=True):
            if boosts := [each for each in scored.boosts if each.added[position]]:
                facts["rules"] = [
                    {"id": each.rule, "adds": round(float(each.added[position]), _DIGITS)}
                    for each in boosts
                ]
        return baseline, [
            Explanation(each, facts, reason_of(language, each, facts))
            for each, facts in zip(contributions, evidence, strict=True)
        ]


def groups_of(posed: Posed, score: GroupedScore) -> Set[Group]:
    """Return the groups that a request has: those that could tell its candidates apart."""
    present = {group for group, _ in (*score.terms, *score.additions)}
    if score.network is not None:
        absent = set[Group]()
        if not posed.resolved.recent.size:
            absent |= {"taste", "behaviour"}
        if not posed.resolved.sides.size:
            absent.add("context")
        present |= set(score.network.groups) - absent
    return present


def grouped_score(parts: EngineParts, posed: Posed, scored: ScoredCandidates) -> GroupedScore:
    """Return the score of the candidates of a request as a function of groups."""
    return GroupedScore(
        network=_features(parts, scored),
        terms=tuple(_terms(parts, posed, scored)),
        calibration=scored.calibration,
        additions=tuple([("boosts", boost.added) for boost in scored.boosts]),
    )


def _features(parts: EngineParts, scored: ScoredCandidates) -> NetworkScore | None:
    learned = scored.learned
    if learned is None or learned.features is None:
        return None
    return NetworkScore(
        features=learned.features,
        groups=_groups_of_features(parts.scorer.features.names(learned.mode)),
        reads=parts.scorer.networks[learned.mode].reads,
        score=partial(parts.scorer.network_score, learned.mode),
    )


@lru_cache
def _groups_of_features(names: tuple[str, ...]) -> tuple[Group, ...]:
    return tuple(map(group_of_feature, names))


def _terms(parts: EngineParts, posed: Posed, scored: ScoredCandidates) -> Iterator[Summand]:
    """Yield what is added to the network's score, or is the score where there is no network."""
    learned, request = scored.learned, posed.resolved
    if learned is None:
        part = TIE_WEIGHT if request.similar_only else 1.0
        for name, weight in SIGNAL_WEIGHTS.items():
            values = parts.signals[name][scored.rows]
            yield _GROUP_OF_SIGNAL[name], np.float32(part * weight) * values
    elif learned.worth is not None:
        yield "goals", learned.worth
    if learned is not None and learned.features is not None and learned.reads_words:
        yield "words", parts.scorer.exactness(learned.mode, learned.features)
    if request.popularity_bias:
        yield (
            "popularity",
            popularity_term(
                request.popularity_bias,
                parts.signals["popularity"],
                scored.rows,
                learned=learned is not None,
            ),
        )
    times = np.float32(1.0 if learned is None else LEARNED_MATCH_WEIGHT)
    for name, values in scored.terms.items():
        yield _group_of_term(name, posed), times * values


def _group_of_term(name: str, posed: Posed) -> Group:
    request, intent = posed.asked.request, posed.asked.intent
    match name:
        case "match" | "code":
            return "words"
        case "preferences":
            return "intent"
        # What the intent likes or dislikes stands behind what the caller does.
        case "likes" if intent.like and request.like == intent.like:
            return "intent"
        case "dislikes" if intent.dislike and request.dislike == intent.dislike:
            return "intent"
        case _:
            return "taste"
