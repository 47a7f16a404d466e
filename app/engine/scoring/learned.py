"""The learned score of the candidates of a batch: for each mode its features and its network."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from app.core.types import Goals, Matrix, Rows, Vector
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.scoring.calibration import Calibration
from app.engine.scoring.exactness import RANGE, exactness
from app.engine.scoring.goals import GoalHeads
from app.engine.scoring.modes import MODES, Mode, mode_of
from app.engine.scoring.pair_features import PairFeatures
from app.engine.scoring.scorer import Scorer


@dataclass(frozen=True, slots=True)
class LearnedScore:
    """The learned score of a request.

    Attributes:
        values: float32[c].
        mode: whose network gave it.
        calibration: of the whole score that the values are a part of.
        features: float32[f, c], what the network read; None = they were not kept.
        worth: float32[c], what the goals of the request have added; None = it names none.
    """

    values: Vector
    mode: Mode
    calibration: Calibration | None
    features: Matrix | None = None
    worth: Vector | None = None

    @property
    def reads_words(self) -> bool:
        """Whether the query counts in it, where there is one."""
        return self.mode != "history"


@dataclass(frozen=True, slots=True)
class ScoredPairs:
    """What the network of a mode sees of a batch.

    Attributes:
        mode: whose network it is.
        positions: of the requests that it scores, in the batch.
        features: float32[f, N], a column per candidate, request after request.
    """

    mode: Mode
    positions: list[int]
    features: Matrix


class LearnedScorer:
    """The networks of one bundle over its catalogue. One thread at a time uses it."""

    def __init__(
        self,
        features: PairFeatures,
        networks: Mapping[Mode, Scorer],
        n_items: int,
        goals: GoalHeads | None = None,
    ) -> None:
        """Take the network of each mode that has one; the others have no learned score.

        `goals`: the heads of the networks; None = no request may name goals.
        """
        self.features, self.networks, self._n_items = features, networks, n_items
        self.goals = goals
        self._lexical: dict[Mode, int] = {
            mode: features.names(mode).index(f"lexical.{LEXICAL_FEATURES[0]}")
            for mode in MODES
            if mode != "history" and mode in networks
        }

    def scores(
        self,
        requests: Sequence[ResolvedRequest],
        candidates: Sequence[Rows],
        kept: frozenset[int] = frozenset(),
    ) -> list[LearnedScore | None]:
        """Return the score of each candidate of each request; None where no network applies.

        Without a network for both, the history decides alone; where it is empty, the words do.

        Args:
            requests: of a batch.
            candidates: int64[c] rows of each, each row once.
            kept: positions of requests whose features come with the score.
        """
        scores: list[LearnedScore | None] = [None] * len(requests)
        for pairs in self.pairs(requests, candidates):
            mode = pairs.mode
            ends = np.cumsum([len(candidates[position]) for position in pairs.positions])[:-1]
            parts = np.split(self.score(mode, pairs.features), ends)
            read: Sequence[Matrix | None] = [None] * len(parts)
            if not kept.isdisjoint(pairs.positions):
                read = np.split(pairs.features, ends, axis=1)
            calibration = self.networks[mode].calibration
            for position, part, features in zip(pairs.positions, parts, read, strict=True):
                known = LearnedScore(part, mode, calibration, features)
                if goals := requests[position].goals:
                    known = self._by_goals(known, candidates[position], goals)
                scores[position] = known
        return scores

    def _by_goals(self, score: LearnedScore, rows: Rows, goals: Goals) -> LearnedScore:
        """Return the score of int64[c] candidates by the goals of a request."""
        worth = None if self.goals is None else self.goals.worth(score.mode, rows, goals)
        if worth is None:
            return score
        added, calibration = worth
        values = score.values + added
        return replace(score, values=values, calibration=calibration, worth=added)

    def pairs(
        self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]
    ) -> Iterator[ScoredPairs]:
        """Yield what each network sees of a batch; arguments as in `scores`."""
        modes = [self._served(request) for request in requests]
        for mode in self.networks:
            chosen = [position for position, each in enumerate(modes) if each == mode]
            if chosen:
                some = [candidates[position] for position in chosen]
                columns = self.features.compute(mode, [requests[n] for n in chosen], some)
                yield ScoredPairs(mode, chosen, columns)

    def _served(self, request: ResolvedRequest) -> Mode | None:
        """Return the mode whose network scores a request."""
        mode = mode_of(request)
        if mode != "both" or mode in self.networks:
            return mode
        return "history" if request.recent.size or "words" not in self.networks else "words"

    def score(self, mode: Mode, columns: Matrix) -> Vector:
        """Return float32[N] for float32[f, N], the features of a mode. Raises `EngineError`."""
        network = self.networks[mode]
        if mode == "history":
            return network.score(columns)
        return searched_score(network, columns, self._lexical[mode], self._n_items)

    def network_score(self, mode: Mode, columns: Matrix) -> Vector:
        """Return the part of `score` that the network gives. Raises `EngineError`."""
        score = self.networks[mode].score(columns)
        return score if mode == "history" else _bounded(score)

    def exactness(self, mode: Mode, columns: Matrix) -> Vector:
        """Return the part of `score` that exact words give, for a mode with words."""
        first = self._lexical[mode]
        return exactness(columns[first : first + len(LEXICAL_FEATURES)], self._n_items)


def searched_score(network: Scorer, columns: Matrix, first: int, n_items: int) -> Vector:
    """Return float32[N], what a network and the exactness of the words give together.

    Args:
        network: of a mode with words.
        columns: float32[f, N], its features.
        first: the line of the first lexical feature.
        n_items: size of the catalogue.
    """
    score = _bounded(network.score(columns))
    score += exactness(columns[first : first + len(LEXICAL_FEATURES)], n_items)
    return score


def _bounded(score: Vector) -> Vector:
    """Keep the score of a network of words within its range, in place."""
    np.clip(score, -RANGE, RANGE, out=score)
    return score
