"""The promotion gate: a build that ranks worse than the bundle being served is not published.

    1  hold out the newest fifth of the events that the served bundle has not seen
    2  ask the served bundle for each user's next new item among them, before the build learns
    3  ask the finished build the same; refuse it if it is worse beyond chance

The same is asked again with words: one or two of the title of that item, as the protocol `search`
draws them. A build must not be worse in either way. Both bundles are asked with the same history,
and only about items that both of them contain: other items are removed from the lists. Where
nothing can be compared, nothing is held out, and the verdict says
why. This module does not know how bundles are built or published.
"""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeAlias

import numpy as np

from app.bundle.reader import CURRENT, Bundle, open_bundle
from app.core.errors import BundleError, EngineError, PromotionError
from app.core.ports import Engine
from app.engine.open import columns_of
from app.evaluation.answers import Numbering, ask_engine
from app.evaluation.evaluate import OpenEngine, open_served
from app.evaluation.protocols import Case, time_split
from app.evaluation.search_cases import DrawableWords
from app.offline.learning.signals import EventLog
from app.offline.metrics.intervals import Estimate, paired_difference
from app.offline.metrics.ranking import Numbers, ndcg_at, ranks_in
from app.offline.promotion import Trial

HELD_OUT_SHARE = 0.2
"""Share of the events that are new to the served bundle; the build does not learn from them."""
MIN_CASES = 50
MAX_CASES = 2000
RESAMPLES = 2000
TOP = 10
SEED = 0

NEXT_ITEM, WITH_WORDS = "", "with words "
"""The kinds of questions, as the verdict names them."""

Questions: TypeAlias = Mapping[str, Sequence[Case]]
"""Kind -> cases; none where there are too few."""


class _NothingToCompareError(Exception):
    """There is no comparison; the text says why, and ": published" follows it."""


@dataclass(frozen=True, slots=True)
class PromotionGate:
    """Starts the trial of a build; see `app.offline.promotion.Gate`.

    `force`: a worse build is published too, and the verdict says so. `open_engine`: how bundles are
    opened; tests pass fakes.
    """

    force: bool = False
    open_engine: OpenEngine = open_served

    def __call__(self, root: Path, log: EventLog, ids: Sequence[str]) -> Trial:
        """Ask the bundle being served; return the trial, which says what the build may learn from.

        Args:
            root: `models/NAME`; its `current` generation is the one being served.
            log: the whole event log of the build.
            ids: item ids of the build's catalogue.
        """
        try:
            served = _served(root)
            split = _split(served, log)
            titles = _titles(served)
            numbering = Numbering.of(sorted(titles.keys() & set(ids)))
            questions = _questions(_cases(log, split, numbering), titles)
            ndcg = self._served_ndcg(served, questions, numbering)
        except _NothingToCompareError as reason:
            return _NoComparison(str(reason))
        return _Comparison(
            gate=self, split=split, questions=questions, numbering=numbering, served_ndcg=ndcg
        )

    def _served_ndcg(
        self, served: Bundle, questions: Questions, numbering: Numbering
    ) -> dict[str, Numbers]:
        try:
            return self.ndcg_of(served, questions, numbering)
        except (BundleError, EngineError) as error:
            raise _unusable(error) from error

    def ndcg_of(
        self, bundle: Bundle, questions: Questions, numbering: Numbering
    ) -> dict[str, Numbers]:
        """Return float64[n] per kind: the NDCG@10 of each case among the items of `numbering`.

        Raises:
            BundleError, EngineError: the bundle cannot be opened, or does not answer.
        """
        with closing(self.open_engine(bundle.path)) as engine:
            return {
                kind: _ndcg(engine, cases, numbering) for kind, cases in questions.items() if cases
            }


def _ndcg(engine: Engine, cases: Sequence[Case], numbering: Numbering) -> Numbers:
    answers = ask_engine(
        engine=engine,
        requests=[case.request for case in cases],
        targets=numbering.targets(cases),
        numbering=numbering,
        label="gate",
    )
    # Items outside the numbering have row -1. Their score becomes -inf, so that they do not push
    # the target down.
    scores = np.where(answers.rows >= 0, answers.scores, -np.inf)
    position = answers.target_position
    ranks = np.where(position >= 0, ranks_in(scores, position), np.inf)
    return ndcg_at(ranks, TOP)


@dataclass(frozen=True, slots=True)
class _NoComparison:
    """The trial of a build that cannot be compared: it learns from everything and is published."""

    reason: str
    split: float | None = None

    def judge(self, bundle: Bundle) -> str:  # noqa: ARG002 - the same for every bundle
        return f"gate: no comparison, {self.reason}: published"


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The trial of a build against the bundle being served.

    `served_ndcg`: float64[n] per kind of question, the NDCG@10 of each case by the bundle being
    served.
    """

    gate: PromotionGate
    split: float | None
    questions: Questions
    numbering: Numbering
    served_ndcg: Mapping[str, Numbers]

    def judge(self, bundle: Bundle) -> str:
        ndcg = self.gate.ndcg_of(bundle, self.questions, self.numbering)
        differences = {
            kind: paired_difference(new=ndcg[kind], old=old, seed=SEED, resamples=RESAMPLES)
            for kind, old in self.served_ndcg.items()
        }
        result = "; ".join(
            f"{kind}NDCG@{TOP} {_figure(ndcg[kind].mean())} against {_figure(old.mean())} being "
            f"served, difference {_interval(differences[kind])} over {len(old):,} users"
            for kind, old in self.served_ndcg.items()
        )
        if all(difference.high >= 0.0 for difference in differences.values()):
            return f"gate: {result}: published"
        if self.gate.force:
            return f"gate: {result}: worse, published because it was forced"
        raise PromotionError(
            "the new bundle ranks worse than the one being served and was not published: "
            f"{result}; publish it anyway with --force"
        )


def _questions(cases: Sequence[Case], titles: Mapping[str, str]) -> Questions:
    """Return the cases as they are, and those whose targets have words to draw with words.

    The words are drawn from `titles`, item id -> title of the bundle being served. Too few cases
    with words are none.
    """
    words, rng = DrawableWords.of(list(titles.values())), np.random.default_rng(SEED)
    searches = []
    for case in cases:
        (target,) = case.grades
        query = words.draw(titles[target], rng)
        if query:
            searches.append(replace(case, request=case.request._replace(query=query)))
    return {NEXT_ITEM: cases, WITH_WORDS: searches if len(searches) >= MIN_CASES else []}


def _served(root: Path) -> Bundle:
    if not (root / CURRENT).is_symlink():
        raise _NothingToCompareError("nothing was being served yet")
    try:
        return open_bundle(root)
    except BundleError as error:
        raise _unusable(error) from error


def _unusable(error: BundleError | EngineError) -> _NothingToCompareError:
    return _NothingToCompareError(f"the bundle being served cannot be used ({error})")


def _titles(served: Bundle) -> dict[str, str]:
    """Return item id -> title, "" where there is none."""
    try:
        columns = columns_of(served)
    except BundleError as error:
        raise _unusable(error) from error
    ids, titles = columns["id"], columns["title"]
    return {str(ids.value(row)): str(titles.value(row) or "") for row in range(len(ids))}


def _split(served: Bundle, log: EventLog) -> float:
    """Return the last unix second to learn from.

    A fifth of the positive events that the served bundle has not seen comes later, or more than a
    fifth: events of one second are not separated.
    """
    seen = served.manifest.trained_until
    if seen is None:
        raise _NothingToCompareError("the bundle being served has learned from no dated events")
    times = log.events.timestamp[log.weights > 0]
    times = np.sort(times[~np.isnan(times)])
    later = times[times > seen]
    if not len(later):
        raise _NothingToCompareError(
            f"no dated positive events later than {_moment(seen)}, up to which the bundle being "
            "served has learned"
        )
    first_held_out = later[-max(1, int(len(later) * HELD_OUT_SHARE))]
    earlier = times[times < first_held_out]
    if not len(earlier):
        raise _NothingToCompareError("all dated positive events are of one moment")
    return max(float(earlier[-1]), seen)


def _cases(log: EventLog, split: float, numbering: Numbering) -> list[Case]:
    """Return a sample of the cases: each user's next new item, where both bundles contain it."""
    _, cases = time_split(log.events, log.weights > 0, split)
    usable = np.flatnonzero(numbering.targets(cases) >= 0)
    if len(usable) < MIN_CASES:
        raise _NothingToCompareError(
            f"only {len(usable)} users took a new item that both bundles hold after "
            f"{_moment(split)}, {MIN_CASES} are needed"
        )
    sample = np.random.default_rng(SEED).permutation(usable)[:MAX_CASES]
    return [cases[case] for case in np.sort(sample).tolist()]


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _interval(difference: Estimate) -> str:
    value, low, high = (
        _figure(x, "+") for x in (difference.value, difference.low, difference.high)
    )
    return f"{value} [{low} {high}]"


def _figure(value: float, sign: str = "") -> str:
    """Return four decimals without the leading zero.

    >>> _figure(0.0712), _figure(-0.002, "+"), _figure(1.0)
    ('.0712', '-.0020', '1.0000')
    """
    return f"{value:{sign}.4f}".replace("0.", ".", 1)
