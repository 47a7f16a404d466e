"""A request as a pass works on it: what is asked, and the same in the terms of the catalogue."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.core.errors import InvalidRequestError
from app.core.ranking import ExposureReport, GroupShare, RankRequest
from app.core.types import Mask, Rows
from app.domain.exposure import Exposure, exposure_of
from app.domain.filters import filter_text
from app.domain.intent import Intent
from app.engine.arranging.ordering import Ordering
from app.engine.catalogue.catalogue import Catalogue
from app.engine.retrieval.resolve import Needed, ResolvedRequest
from app.engine.rules.applied import AppliedRules


@dataclass(frozen=True, slots=True)
class Asked:
    """What one pass is to answer for a request.

    Attributes:
        request: the request with what the intent adds: filter, items to resemble, k.
        intent: with the ids of the items that it names.
        own_filter: the filter of the caller alone.
        weak: see `RankResult`.
        rules: those that apply, with all that they block in both filters; None without any.
    """

    request: RankRequest
    intent: Intent
    own_filter: str
    weak: bool = False
    rules: AppliedRules | None = None


@dataclass(frozen=True, slots=True)
class ExposureGoal:
    """The `exposure` of a request in the terms of the catalogue.

    Attributes:
        exposure: what is asked.
        members: bool[n] for each group, the rows that are in it.
        placed: int64[p], the rows that earlier passes have put into the answer.
        k: how many more items the answer shall have.
    """

    exposure: Exposure
    members: Sequence[Mask]
    placed: Rows
    k: int

    def bounds(self) -> list[tuple[int, int]]:
        """Return for each group how many of the `k` items must, and may, be in it."""
        bounds = []
        for group, members in zip(self.exposure.groups, self.members, strict=True):
            least, most = group.counts(self.k + len(self.placed))
            there = int(np.count_nonzero(members[self.placed]))
            bounds.append((max(0, least - there), max(0, most - there)))
        return bounds

    def needed(self) -> tuple[Needed, ...]:
        """Return which rows must be among the candidates, and how many, to meet all bounds."""
        needed = []
        for members, (least, most) in zip(self.members, self.bounds(), strict=True):
            if least:
                needed.append(Needed(members, least))
            if most < self.k:
                needed.append(Needed(~members, self.k - most))
        return tuple(needed)

    def report(self, rows: Rows) -> ExposureReport:
        """Return what came of it, with int64[c] further rows in the answer."""
        rows = np.concatenate([self.placed, rows])
        groups = []
        for group, members in zip(self.exposure.groups, self.members, strict=True):
            count = int(np.count_nonzero(members[rows]))
            least, most = group.counts(len(rows))
            groups.append(
                GroupShare(
                    name=group.name,
                    share=count / max(len(rows), 1),
                    least=group.least,
                    most=group.most,
                    met=least <= count <= most,
                )
            )
        return ExposureReport(self.exposure.field, tuple(groups))


@dataclass(frozen=True, slots=True)
class Arrangement:
    """What a request asks of the places of its answer, beside the order of the items.

    Attributes:
        diversity, explore, seed: see `RankRequest`.
        shown: int64[s], the rows that earlier pages have shown, oldest first.
        exposure: None = groups may have any share.
    """

    diversity: float
    explore: float
    seed: int
    shown: Rows
    exposure: ExposureGoal | None

    @property
    def needed(self) -> tuple[Needed, ...]:
        """Which rows must be among the candidates, and how many."""
        return () if self.exposure is None else self.exposure.needed()


@dataclass(frozen=True, slots=True)
class Posed:
    """A request as a pass works on it: what is asked, in the terms of the catalogue, its order.

    `ordering`: None = by score alone. `arrangement`: None = the places follow the order.
    """

    asked: Asked
    resolved: ResolvedRequest
    ordering: Ordering | None = None
    arrangement: Arrangement | None = None


def arrangement_of(request: RankRequest, catalogue: Catalogue) -> Arrangement | None:
    """Return what a request asks of its places; None where it asks for nothing."""
    if not (request.diversity or request.explore or request.exposure):
        return None
    return Arrangement(
        diversity=request.diversity,
        explore=request.explore,
        seed=request.seed,
        shown=catalogue.rows(request.shown),
        exposure=_goal_of(request, catalogue) if request.exposure else None,
    )


def _goal_of(request: RankRequest, catalogue: Catalogue) -> ExposureGoal | None:
    """Return the exposure of a request; None if another bundle took over that has no such field."""
    exposure = exposure_of(request.exposure)
    is_boolean = catalogue.attributes.get(exposure.field) == "boolean"
    members = []
    for group in exposure.groups:
        value = group.name == "true" if is_boolean else group.name
        try:
            failing = catalogue.blocked(filter_text({exposure.field: {"any": [value]}}))
        except InvalidRequestError:
            return None
        assert failing is not None  # noqa: S101 - a filter always has a mask
        members.append(~failing)
    return ExposureGoal(exposure, members, catalogue.rows(request.placed), request.k)
