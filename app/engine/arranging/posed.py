"""A request as a pass works on it: what is asked, and the same in the terms of the catalogue."""

from dataclasses import dataclass

from app.core.ranking import RankRequest
from app.domain.intent import Intent
from app.engine.arranging.ordering import Ordering
from app.engine.retrieval.resolve import ResolvedRequest


@dataclass(frozen=True, slots=True)
class Asked:
    """What one pass is to answer for a request.

    Attributes:
        request: the request with what the intent adds: filter, items to resemble, k.
        intent: with the ids of the items that it names.
        own_filter: the filter of the caller alone.
        weak: see `RankResult`.
    """

    request: RankRequest
    intent: Intent
    own_filter: str
    weak: bool = False


@dataclass(frozen=True, slots=True)
class Posed:
    """A request as a pass works on it: what is asked, in the terms of the catalogue, its order.

    `ordering`: None = by score alone.
    """

    asked: Asked
    resolved: ResolvedRequest
    ordering: Ordering | None = None
