"""Candidates of people, found and described as serving does, kept to be ranked in several ways.

This module does not know what ranks them, nor what the ranks are compared with.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from app.engine.behaviour import behaviour_sources
from app.engine.candidates import Source
from app.features import Behaviour, Features
from app.offline.evaluation.answers import Numbering
from app.offline.evaluation.protocols import Case
from app.offline.evaluation.rankers import Score
from app.offline.examples import Examples, Question, draw, passes
from app.offline.learn import examples_of
from app.offline.metrics import Numbers, rank_in
from app.offline.sequences import Ints
from app.types import Rows

SOURCES = ("behaviour", "alike", "taste")
_NOBODY: Rows = np.empty(0, np.int64)


def sources_without(off: str | None, behaviour: Behaviour, alike_share: float) -> list[Source]:
    """Return all sources but one; without *alike*, its share in *behaviour* is gone too."""
    share = 0.0 if off == "alike" else alike_share
    return [source for source in behaviour_sources(behaviour, share) if source.name != off]


@dataclass
class Drawn:
    """Draws the examples of a build, and beside them those that each missing source would leave.

    `without`: source -> examples drawn without it; filled by the call.
    """

    without: dict[str | None, Examples] = field(default_factory=dict)

    def __call__(
        self, questions: Sequence[Question], behaviour: Behaviour, alike_share: float, seed: int
    ) -> Examples:
        """Return the examples with all sources; see `app.offline.learn.Draws`."""
        for off in SOURCES:
            sources = sources_without(off, behaviour, alike_share)
            self.without[off] = draw(questions, sources, Features(behaviour), seed)
        self.without[None] = examples_of(questions, behaviour, alike_share, seed)
        return self.without[None]


def questions_about(cases: Sequence[Case], numbering: Numbering) -> list[Question]:
    """Return the cases in the terms of learning: repeats in a row are one step, as in serving."""
    found = []
    for case, target in zip(cases, numbering.targets(cases).tolist(), strict=True):
        taken = numbering.rows(case.request.history)
        taken = taken[np.diff(taken, prepend=-1) != 0]
        found.append(Question(taken[::-1], target, 1.0, _NOBODY))
    return found


@dataclass(frozen=True, slots=True)
class _Part:
    """Some people: float16[f, N] features, where each one's begin, and their right candidate.

    `right`: places in each one's own candidates; -1 = no source brought it.
    """

    features: npt.NDArray[np.float16]
    starts: Ints
    right: list[int]


class Pools:
    """The candidates of n people with their features. Takes 2 · f bytes a candidate."""

    def __init__(
        self, questions: Sequence[Question], sources: Sequence[Source], features: Features
    ) -> None:
        """Ask the sources and compute the features."""
        self._parts = []
        for batch, candidates, columns in passes(questions, sources, features):
            right = [_place(*each) for each in zip(batch, candidates, strict=True)]
            starts = np.cumsum([0, *map(len, candidates)])[:-1]
            self._parts.append(_Part(columns.astype(np.float16), starts, right))

    @property
    def found(self) -> float:
        """The share of people whose right candidate some source brought."""
        right = [place >= 0 for part in self._parts for place in part.right]
        return float(np.mean(right))

    @property
    def size(self) -> float:
        """The mean number of candidates."""
        asked = sum(len(part.right) for part in self._parts)
        return float(sum(part.features.shape[1] for part in self._parts) / asked)

    def ranks(self, score: Score, muted: Sequence[int] = ()) -> Numbers:
        """Return float64[n], the rank of each right candidate, ties half; inf = not found.

        `muted`: features that are 0 for everybody.
        """
        ranks = []
        for part in self._parts:
            columns = part.features.astype(np.float32)
            columns[list(muted)] = 0.0
            scores = np.split(score(columns), part.starts[1:])
            ranks += [
                rank_in(mine, place) if place >= 0 else np.inf
                for mine, place in zip(scores, part.right, strict=True)
            ]
        return np.array(ranks)


def _place(question: Question, rows: Rows) -> int:
    places = np.flatnonzero(rows == question.target)
    return int(places[0]) if places.size else -1
