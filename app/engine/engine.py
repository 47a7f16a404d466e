"""One blocking pass over a batch: encode ▸ retrieve ▸ features ▸ score. All a request computes.

A pass keeps no state and reads no clock for anything but its stage timings; between two passes the
items may change (`live`). It does not know users, caches, deadlines or HTTP.
"""

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from app.core.errors import EngineError
from app.core.types import (
    BatchResult,
    Change,
    EngineInfo,
    Facets,
    Item,
    RankRequest,
    Rows,
    StageTimings,
    Vector,
)
from app.domain.filters import parse_filter
from app.engine import live
from app.engine.catalogue.facets import field_facts
from app.engine.encoding.query_cache import MOST, RememberedQueries
from app.engine.kernels.topk import Hits
from app.engine.live import raw_of
from app.engine.parts import Parts
from app.engine.results import Scored, best_items, joined, result_of, summed, widened
from app.engine.retrieval.resolve import Asked, ResolvedRequest, resolve
from app.engine.retrieval.sources import retrieval_order, retrieve

log = logging.getLogger(__name__)

_MAX_QUERY_TOKENS = 256
_REST_TOKENS = 8
"""What a request costs beside the encoder, in tokens of it: `recserve bench` has words at 5, and a
history at 9.
"""


@dataclass(frozen=True, slots=True)
class Prepared:
    """The encoded queries of a batch: the first half of a pass.

    `vectors`: float32[dim] of each query; `fast_encoding`: the queries whose vectors come
    from fast encoding.
    """

    vectors: Mapping[str, Vector]
    fast_encoding: Set[str]
    encode_ms: float


class RankEngine:
    """The engine over one bundle. Implements the port `Engine`."""

    def __init__(self, parts: Parts, info: EngineInfo, remembered: int = MOST) -> None:
        """Wire the parts; the vectors of the newest `remembered` queries are kept."""
        self._parts = parts
        self._info = info
        self._queries = RememberedQueries(parts.encoder, remembered)
        self._changed: dict[str, int] = {}  # item -> number of its last change
        self.next_boundary = float("inf")

    def __repr__(self) -> str:
        return (
            f"<RankEngine {self._info.bundle_name}/{self._info.bundle} items={self._info.n_items}>"
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from."""
        return self._info

    def cost(self, request: RankRequest) -> int:
        """Estimate in encoder tokens: one is seldom shorter than three bytes of UTF-8."""
        if request.fast_encoding or not request.query:
            return _REST_TOKENS
        return _REST_TOKENS + min(2 + len(request.query.encode()) // 3, _MAX_QUERY_TOKENS)

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Ask for fast encoding of the query, if there are both; see the port."""
        if self._parts.fast_encoder is None or not request.query:
            return None
        return replace(request, fast_encoding=True)

    def item(self, item_id: str) -> Item | None:
        """Look up one item; None if the catalogue does not hold it."""
        return self._parts.catalogue.item(item_id)

    def contains(self, item_id: str) -> bool:
        """Tell whether the catalogue holds an item."""
        return self._parts.catalogue.row(item_id) >= 0

    def unchanged(self, item_id: str, since: int) -> bool:
        """Tell whether an item is as it was at a number; see the port."""
        return self._changed.get(item_id, 0) <= since

    def visible(self, item_id: str) -> bool:
        """Tell whether an item may come back; see the port."""
        return self._parts.catalogue.is_visible(item_id)

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return what a journal would say of an item as it is; None if unknown."""
        return raw_of(item_id, self._parts.catalogue)

    def plan(self, changes: Sequence[Change], now: float) -> Callable[[], None]:
        """Work out what changes mean, and return a call that makes them; see the port."""
        plan = live.plan(self._parts, self._info.catalogue, changes, now)
        return partial(self._perform, plan)

    def _perform(self, plan: live.Plan) -> None:
        self._parts = live.perform(plan)
        self._changed |= plan.changed
        self._look(plan.now, plan.seq, plan.visible_since_seq)

    def merge(self) -> Callable[[], None] | None:
        """Work out how what was put comes into the main index; see the port."""
        return self._parts.texts.index.merge()

    def advance(self, now: float) -> None:
        """Show and hide what a moment, in unix seconds, makes visible or not."""
        self._parts.catalogue.advance(now)
        self._look(now)

    def _look(self, now: float, seq: int = 0, visible_since_seq: int = 0) -> None:
        catalogue = self._parts.catalogue
        before, self.next_boundary = catalogue.boundaries(now)
        self._info = replace(
            self._info,
            catalogue=max(seq, self._info.catalogue),
            moment=int(before * 1e3) if np.isfinite(before) else 0,
            visible_since_seq=max(visible_since_seq, self._info.visible_since_seq),
            n_items=int(np.count_nonzero(catalogue.visible())),
        )

    def close(self) -> None:
        """Do nothing: all it holds is memory, which goes with the object."""

    def check_filter(self, filter_text: str) -> None:
        """Refuse a filter that does not fit the catalogue. Raises `InvalidRequestError`."""
        parse_filter(filter_text, self._info.attributes)

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """Count what the items that pass a filter have in some fields; see the port."""
        catalogue = self._parts.catalogue
        blocked = catalogue.blocked(filter_text)
        rows = catalogue.visible() if blocked is None else ~blocked
        found = tuple(field_facts(catalogue, rows, field, limit) for field in fields)
        return Facets(int(np.count_nonzero(rows)), found)

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Encode the queries of a batch, and return a call that ranks; see the port."""
        return partial(self._rank, batch, self.encode(batch))

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank every request of a batch; results keep its order. Raises `EngineError`."""
        return self.prepare(batch)()

    def encode(self, batch: Sequence[RankRequest]) -> Prepared:
        """Return the vectors of a batch's queries. Raises `EngineError`."""
        start = perf_counter()
        asked = dict.fromkeys(request.query for request in batch if request.query)
        # Who has time for the transformer has it for all who ask the same.
        patient = {request.query for request in batch if not request.fast_encoding}
        fast_encoder = self._parts.fast_encoder
        fast = [q for q in asked if fast_encoder and q not in patient and q not in self._queries]
        whole = [query for query in asked if query not in fast]
        vectors = dict(zip(whole, self._queries.encode(whole), strict=True))
        if fast_encoder and fast:
            vectors |= zip(fast, fast_encoder.encode(fast), strict=True)
        return Prepared(vectors, frozenset(fast), (perf_counter() - start) * 1e3)

    def _rank(self, batch: Sequence[RankRequest], prepared: Prepared) -> BatchResult:
        done = self._pass(batch, prepared)
        wider = {
            place: widened(request, result)
            for place, (request, result) in enumerate(zip(batch, done.results, strict=True))
            if request.filter and request.on_empty != "none" and len(result.items) < request.k
        }
        if not wider:
            return done
        more = self._pass(list(wider.values()), replace(prepared, encode_ms=0.0))
        results = list(done.results)
        for place, result in zip(wider, more.results, strict=True):
            results[place] = joined(results[place], result)
        return BatchResult(tuple(results), summed(done.timings, more.timings), done.generation)

    def _pass(self, batch: Sequence[RankRequest], prepared: Prepared) -> BatchResult:
        start = perf_counter()
        wants = self._wants(batch, prepared.vectors)
        hits, rows = self._retrieve(wants)
        retrieved = perf_counter()
        scores, degraded = self._scores(wants, rows, hits)
        scored = [Scored(*each) for each in zip(rows, scores, hits, strict=True)]
        parts = self._parts
        items = best_items(parts.catalogue, parts.topk, batch, wants, scored)
        results = tuple(
            result_of(
                parts.catalogue,
                request,
                mine,
                ("encoder", *degraded) if request.query in prepared.fast_encoding else degraded,
            )
            for request, mine in zip(batch, items, strict=True)
        )
        done = perf_counter()
        timings = StageTimings(
            prepared.encode_ms, (retrieved - start) * 1e3, (done - retrieved) * 1e3
        )
        return BatchResult(results, timings, self._info.generation)

    def _wants(
        self, batch: Sequence[RankRequest], queries: Mapping[str, Vector]
    ) -> list[ResolvedRequest]:
        parts = self._parts
        asked: dict[str, Asked] = {}
        if queries:
            cosines = parts.texts.index.cosines(np.stack(list(queries.values())))
            asked = {
                query: Asked(vector, None if cosines is None else cosines[place])
                for place, (query, vector) in enumerate(queries.items())
            }
        by_text = parts.learned is None
        return [
            resolve(
                request,
                parts.catalogue,
                parts.texts.vectors,
                asked,
                parts.texts.words,
                by_text=by_text,
            )
            for request in batch
        ]

    def _retrieve(
        self, wants: Sequence[ResolvedRequest]
    ) -> tuple[list[dict[str, Hits]], list[Rows]]:
        """Ask the sources, and the fallback for those who got less than they asked for.

        Returns what each source brought, and the candidates, for each want.
        """
        hits = retrieve(wants, self._parts.sources)
        rows = self._united(wants, hits)
        short = [
            place
            for place, want in enumerate(wants)
            if want.named is None and rows[place].size < want.k
        ]
        if short:
            more = retrieve([wants[place] for place in short], self._parts.fallback)
            for place, found in zip(short, more, strict=True):
                hits[place] |= found
            rows = self._united(wants, hits)
        return hits, rows

    def _united(
        self, wants: Sequence[ResolvedRequest], hits: Sequence[Mapping[str, Hits]]
    ) -> list[Rows]:
        return self._parts.topk.union(
            [
                [*(each.rows for each in found.values()), *(() if named is None else (named,))]
                for found, named in zip(hits, (want.named for want in wants), strict=True)
            ]
        )

    def _scores(
        self,
        wants: Sequence[ResolvedRequest],
        rows: Sequence[Rows],
        hits: Sequence[Mapping[str, Hits]],
    ) -> tuple[list[Vector], tuple[str, ...]]:
        """Return the scores of all candidates; in the order of retrieval if scoring fails."""
        try:
            scores = self._parts.blend.scores(wants, rows, self._learned(wants, rows))
        except (EngineError, ArithmeticError, ValueError, IndexError):
            log.exception("scoring failed: answering in the order of retrieval")
            return [retrieval_order(*each) for each in zip(rows, hits, strict=True)], ("rerank",)
        return scores, ()

    def _learned(
        self, wants: Sequence[ResolvedRequest], rows: Sequence[Rows]
    ) -> list[Vector | None]:
        """Return the scorer's part for each want with recent items: one pass for all of them."""
        found: list[Vector | None] = [None] * len(wants)
        learned = self._parts.learned
        asked = [place for place, want in enumerate(wants) if want.recent.size]
        if learned is None or not asked:
            return found
        recents = [wants[place].recent for place in asked]
        lengths = [wants[place].length for place in asked]
        mine = [rows[place] for place in asked]
        scores = learned.scorer.score(learned.features.compute(recents, lengths, mine))
        ends = np.cumsum([len(each) for each in mine])[:-1]
        for place, part in zip(asked, np.split(scores, ends), strict=True):
            found[place] = part
        return found
