"""The stages that the scored candidates of one request go through, walked top to bottom.

    sort ▸ titles first ▸ max_per ▸ promoted share ▸ pins

Candidates below `min_score` are gone before (`app.engine.arranging.results`). A request that asks
for none of the stages does not come here: its best candidates by score are its answer. No stage
alters a score.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from app.core.types import Rows, Vector
from app.engine.arranging.ordering import Ordering, is_ordered, ordered
from app.engine.arranging.posed import Posed
from app.engine.catalogue.catalogue import Catalogue
from app.engine.kernels.topk import Hits

_BY_SCORE = Ordering(
    key=None, first=np.empty(0, np.int64), max_per=(), counted=np.empty(0, np.int64)
)


@dataclass(frozen=True, slots=True)
class Arranged:
    """The items of one answer, in their order.

    Attributes:
        hits: int64[k] rows and float32[k] scores.
        placed_by: `RankedItem.placed_by` of each; () = all stand there by their score.
        propensities: `RankedItem.propensity` of each; () = none has one.
    """

    hits: Hits
    placed_by: Sequence[str] = ()
    propensities: Sequence[float | None] = ()


def is_arranged(posed: Posed, best: Hits) -> bool:
    """Tell whether the best candidates by score, best first, are the answer as they are."""
    return posed.ordering is None or is_ordered(best, posed.ordering)


def arranged(posed: Posed, rows: Rows, scores: Vector, catalogue: Catalogue) -> Arranged:
    """Return the first k of int64[c] candidates with float32[c] scores, stage after stage."""
    # Sort, titles first, max_per.
    hits = ordered(rows, scores, posed.resolved.k, posed.ordering or _BY_SCORE, catalogue)
    # Promoted share and pins come here, last of all.
    return Arranged(hits)
