"""The promotion gate: a build that ranks worse than the bundle being served is not published.

    1  hold the newest fifth of what the served bundle has not seen back from the build
    2  ask the served bundle for each user's next new item in there, before anything is learned
    3  ask the finished build the same; refuse it if it is worse beyond chance

Both are asked with the same history, only about items that both hold, and what only one of them
holds takes no place in a list. Where nothing can be compared, nothing is held back, and the verdict
says why. This module does not know how bundles are built or published.
"""

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from app.bundle.reader import CURRENT, Bundle, open_bundle
from app.core.errors import BundleError, EngineError, PromotionError
from app.engine.open import columns_of
from app.evaluation.answers import Numbering, ask_engine
from app.evaluation.evaluate import OpenEngine, open_served
from app.evaluation.protocols import Case, time_split
from app.offline.learning.signals import EventLog
from app.offline.metrics.intervals import Estimate, paired_difference
from app.offline.metrics.ranking import Numbers, ndcg_at, ranks_in
from app.offline.promotion import Trial

HELD_OUT_SHARE = 0.2
MIN_CASES = 50
MAX_CASES = 2000
RESAMPLES = 2000
TOP = 10
SEED = 0


class _NothingToCompareError(Exception):
    """Why there is no comparison, in words that go on with ": published"."""


@dataclass(frozen=True, slots=True)
class PromotionGate:
    """Opens the trial of a build; see `app.offline.promotion.Gate`.

    `force`: a worse build is published too, and the verdict says so. `open_engine`: how bundles are
    opened; tests put fakes here.
    """

    force: bool = False
    open_engine: OpenEngine = open_served

    def __call__(self, root: Path, log: EventLog, ids: Sequence[str]) -> Trial:
        """Ask the bundle being served, and say what is held back from the build.

        Args:
            root: `models/NAME`; its `current` generation is the one being served.
            log: the whole log of the build.
            ids: the catalogue of the build.
        """
        try:
            served = _served(root)
            split = _split(served, log)
            numbering = Numbering.of(sorted(_ids(served).intersection(ids)))
            cases = _cases(log, split, numbering)
            gains = self._ask_served(served, cases, numbering)
        except _NothingToCompareError as reason:
            return _Unopposed(str(reason))
        return _Comparison(self, split, cases, numbering, gains)

    def _ask_served(self, served: Bundle, cases: Sequence[Case], numbering: Numbering) -> Numbers:
        try:
            return self.ask(served, cases, numbering)
        except (BundleError, EngineError) as error:
            raise _unusable(error) from error

    def ask(self, bundle: Bundle, cases: Sequence[Case], numbering: Numbering) -> Numbers:
        """Return float64[n], the NDCG@10 of each case among the items of `numbering`.

        Raises:
            BundleError, EngineError: the bundle cannot be opened, or does not answer.
        """
        requests, targets = [case.request for case in cases], numbering.targets(cases)
        with closing(self.open_engine(bundle.path)) as engine:
            answers = ask_engine(engine, requests, targets, numbering, "gate")
        scores = np.where(answers.rows >= 0, answers.scores, -np.inf)
        ranks = np.where(answers.at >= 0, ranks_in(scores, answers.at), np.inf)
        return ndcg_at(ranks, TOP)


@dataclass(frozen=True, slots=True)
class _Unopposed:
    """The trial of a build that cannot be compared: it learns from everything and is published."""

    reason: str
    split: float | None = None

    def judge(self, bundle: Bundle) -> str:  # noqa: ARG002 - whatever it is
        return f"gate: no comparison, {self.reason}: published"


@dataclass(frozen=True, slots=True)
class _Comparison:
    """The trial of a build against `served`, float64[n]: the NDCG@10 of each case."""

    gate: PromotionGate
    split: float | None
    cases: Sequence[Case]
    numbering: Numbering
    served: Numbers

    def judge(self, bundle: Bundle) -> str:
        gains = self.gate.ask(bundle, self.cases, self.numbering)
        difference = paired_difference(gains, self.served, SEED, RESAMPLES)
        found = (
            f"NDCG@{TOP} {_figure(gains.mean())} against {_figure(self.served.mean())} being "
            f"served, difference {_shown(difference)} over {len(gains):,} users"
        )
        if difference.high >= 0.0:
            return f"gate: {found}: published"
        if self.gate.force:
            return f"gate: {found}: worse, published because it was forced"
        raise PromotionError(
            f"the new bundle ranks worse than the one being served and was not published: {found}; "
            "publish it anyway with --force"
        )


def _served(root: Path) -> Bundle:
    if not (root / CURRENT).is_symlink():
        raise _NothingToCompareError("nothing was being served yet")
    try:
        return open_bundle(root)
    except BundleError as error:
        raise _unusable(error) from error


def _unusable(error: BundleError | EngineError) -> _NothingToCompareError:
    return _NothingToCompareError(f"the bundle being served cannot be used ({error})")


def _ids(bundle: Bundle) -> set[str]:
    try:
        column = columns_of(bundle)["id"]
    except BundleError as error:
        raise _unusable(error) from error
    return {str(column.value(row)) for row in range(len(column))}


def _split(served: Bundle, log: EventLog) -> float:
    """Return the last second to learn from: the newest fifth of what is new comes later.

    Events of one second are not parted, so it may be more than a fifth.
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
    first_held = later[-max(1, int(len(later) * HELD_OUT_SHARE))]
    earlier = times[times < first_held]
    if not len(earlier):
        raise _NothingToCompareError("all dated positive events are of one moment")
    return max(float(earlier[-1]), seen)


def _cases(log: EventLog, split: float, numbering: Numbering) -> list[Case]:
    """Return each user's next new item after the split, if both bundles hold it; a sample."""
    _, cases = time_split(log.events, log.weights > 0, split)
    known = numbering.targets(cases) >= 0
    places = np.flatnonzero(known)
    if len(places) < MIN_CASES:
        raise _NothingToCompareError(
            f"only {len(places)} users took a new item that both bundles hold after "
            f"{_moment(split)}, {MIN_CASES} are needed"
        )
    drawn = np.random.default_rng(SEED).permutation(places)[:MAX_CASES]
    return [cases[place] for place in np.sort(drawn).tolist()]


def _moment(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def _shown(difference: Estimate) -> str:
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
