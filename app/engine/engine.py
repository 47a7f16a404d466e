"""One blocking pass over a batch of requests: interpret, encode, retrieve, score.

    prepare: interpret ▸ encode     rank: demands ▸ resolve ▸ retrieve ▸ score ▸ order ▸ fill up

A pass keeps no state, and reads the clock only for its stage timings. Between two passes the items
may change (`app.engine.live`). The engine knows no users, caches, deadlines or HTTP.
"""

import logging
from collections.abc import Callable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from app.core.explanation import KeptOut, LostItem
from app.core.ranking import BatchResult, RankRequest, RankResult, StageTimings
from app.core.survey import CatalogueSurvey
from app.core.types import Change, Context, EngineInfo, Facets, Item, Rows, Vector
from app.domain.filters import parse_filter
from app.domain.intent import INTENT_OFF, Intent, intent_of
from app.engine import live
from app.engine.arranging.posed import Posed
from app.engine.arranging.results import ScoredCandidates, results_of
from app.engine.catalogue.facets import field_facts
from app.engine.demands import asked_for, ids_of_titles, posed
from app.engine.encoding.query_cache import MOST, RememberedQueries
from app.engine.encoding.text_vectors import text_vectors
from app.engine.explaining.explainer import Explainer
from app.engine.explaining.why_not import AskedEngine, Walked, why_not
from app.engine.filling import STEPS, Short, joined, missing, summed
from app.engine.interpretation import NO_QUERY, Parser, interpret
from app.engine.kernels.topk import Hits
from app.engine.live import raw_of
from app.engine.parts import EngineParts
from app.engine.retrieval.resolve import EncodedQuery, ResolvedRequest, resolve
from app.engine.retrieval.sources import found_by, retrieval_order, skipped
from app.engine.scoring.boosts import add_boosts
from app.engine.scoring.learned import ScoredPairs
from app.engine.scoring.popularity_bias import popularity_term
from app.engine.survey import survey_of

log = logging.getLogger(__name__)

_MAX_QUERY_TOKENS = 256
_REST_TOKENS = 8
_DEMAND_BYTES = 256
"""Bytes of filters and of a sent intent that take about as long to apply as a token to encode."""
"""What a request costs beside the encoder, in encoder tokens: `recserve bench` measured 5 for words
and 9 for a history.
"""


@dataclass(frozen=True, slots=True)
class EncodedBatch:
    """A batch after the first half of its pass.

    Attributes:
        intents: what the query of each request asks for, in the order of the batch.
        vectors: float32[dim], of unit norm, of each residual text that has a vector.
        approximated: the residual texts that the fast encoding, or nothing, could encode.
        encode_ms: milliseconds that this half took.
    """

    intents: tuple[Intent, ...]
    vectors: Mapping[str, Vector]
    approximated: Set[str]
    encode_ms: float


@dataclass(frozen=True, slots=True)
class _Pass:
    """What a pass found for each request of its batch.

    Attributes:
        results: in the order of the batch.
        sizes: how many items each request asks for.
        candidates: int64[c] rows to choose from, for each request.
        timings: of the whole pass.
    """

    results: tuple[RankResult, ...]
    sizes: list[int]
    candidates: list[Rows]
    timings: StageTimings


def _text_of(request: RankRequest) -> str:
    """Return the text that is encoded for a request, before its query is parsed."""
    if request.intent and request.intent != INTENT_OFF:
        return intent_of(request.intent).residual_text
    return request.query


class RankEngine:
    """The engine over one bundle. Implements the port `Engine`."""

    def __init__(self, parts: EngineParts, info: EngineInfo, remembered: int = MOST) -> None:
        """Take the parts; the vectors of the newest `remembered` queries are kept."""
        self._parts = parts
        self._info = info
        self._queries = RememberedQueries(parts.encoder, remembered)
        self._explainer = Explainer()
        self._changed: dict[str, int] = {}  # item -> seq of its last change
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
        """Estimate the cost in encoder tokens: few are shorter than three bytes of UTF-8."""
        rest = _REST_TOKENS + (len(request.filter) + len(request.intent)) // _DEMAND_BYTES
        text = _text_of(request)
        if request.fast_encoding or not text:
            return rest
        return rest + min(2 + len(text.encode()) // 3, _MAX_QUERY_TOKENS)

    def fast_encoding(self, request: RankRequest) -> RankRequest | None:
        """Return the request with fast encoding, if the bundle has it; see the port."""
        if self._parts.fast_encoder is None or not _text_of(request):
            return None
        return request._replace(fast_encoding=True)

    def item(self, item_id: str) -> Item | None:
        """Look up one item; None if it is not in the catalogue."""
        return self._parts.catalogue.item(item_id)

    def contains(self, item_id: str) -> bool:
        """Tell whether an item is in the catalogue."""
        return self._parts.catalogue.row(item_id) >= 0

    def unchanged(self, item_id: str, since: int) -> bool:
        """Tell whether an item has not changed since a seq; see the port."""
        return self._changed.get(item_id, 0) <= since

    def visible(self, item_id: str) -> bool:
        """Tell whether an item may come back; see the port."""
        return self._parts.catalogue.is_visible(item_id)

    def record(self, item_id: str) -> dict[str, object] | None:
        """Return the journal record of an item as it is now; None if unknown."""
        return raw_of(item_id, self._parts.catalogue)

    def plan(self, changes: Sequence[Change], now: float) -> Callable[[], None]:
        """Prepare an update of the catalogue, and return a call that performs it; see the port."""
        update = live.plan(self._parts, self._info.catalogue, changes, now)
        return partial(self._perform, update)

    def _perform(self, update: live.CatalogueUpdate) -> None:
        self._parts = live.perform(update)
        self._changed |= update.changed
        if update.now >= self.next_boundary:
            # The next boundary is one after `now`: nobody would advance to this one any more.
            self._parts.catalogue.advance(update.now)
        self._refresh_info(update.now, update.seq, update.visible_since_seq)

    def merge(self) -> Callable[[], None] | None:
        """Prepare the merge of changed rows into the main index; see the port."""
        return self._parts.texts.index.merge()

    def advance(self, now: float) -> None:
        """Show and hide the items that become visible or invisible at `now`, unix seconds."""
        self._parts.catalogue.advance(now)
        self._refresh_info(now)

    def _refresh_info(self, now: float, seq: int = 0, visible_since_seq: int = 0) -> None:
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
        """Do nothing: there is only memory, which is freed with the object."""

    def check_filter(self, filter_text: str, where: str = "filter") -> None:
        """Refuse a filter that does not fit the catalogue. Raises `InvalidRequestError`."""
        parse_filter(filter_text, self._info.attributes, where)

    def known_context(self, context: Context) -> Context:
        """Return the part of a context that may change answers; see the port."""
        learned = self._parts.learned
        if learned is None or learned.behaviour.sides is None:
            return ()
        return learned.behaviour.sides.known(context)

    def facets(self, filter_text: str, fields: Sequence[str], limit: int) -> Facets:
        """Count the values that the items that pass a filter have in some fields; see the port."""
        catalogue = self._parts.catalogue
        blocked = catalogue.blocked(filter_text)
        rows = catalogue.visible() if blocked is None else ~blocked
        facts = tuple(field_facts(catalogue, rows, field, limit) for field in fields)
        return Facets(int(np.count_nonzero(rows)), facts)

    def survey(self, most: int) -> CatalogueSurvey:
        """Look at a sample of the items; see the port."""
        return survey_of(self._parts, most)

    @property
    def parser(self) -> Parser | None:
        """What understands queries over the items of this moment; None = nothing does."""
        return self._parts.parser

    def interpret(self, query: str, now: float, *, look_up: bool) -> str | None:
        """Return what a query asks for, as JSON text; see the port."""
        request = RankRequest(query=query, now=now)
        intent = self._intent(request)
        if look_up:
            return asked_for(request, intent, self._parts).intent.text()
        return None if intent.like_titles or intent.dislike_titles else intent.text()

    def item_of_title(self, title: str) -> str | None:
        """Return the id of the item that a title means; see the port."""
        return next(iter(ids_of_titles([title], self._parts)), None)

    def prepare(self, batch: Sequence[RankRequest]) -> Callable[[], BatchResult]:
        """Encode the queries of a batch, and return a call that ranks; see the port."""
        return partial(self._rank, batch, self.encode(batch))

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank every request of a batch; results keep its order. Raises `EngineError`."""
        return self.prepare(batch)()

    def pairs(
        self, batch: Sequence[RankRequest]
    ) -> tuple[list[ResolvedRequest], list[Rows], list[ScoredPairs]]:
        """Return what the scorer sees of a batch, for evaluation.

        Returns the requests in the terms of the catalogue, the candidates of each (int64[c]), and
        the pairs of each network. Raises `EngineError`.
        """
        requests = [each.resolved for each in self._posed(batch, self.encode(batch))]
        _, rows = self._retrieve(requests)
        return requests, rows, list(self._parts.scorer.pairs(requests, rows))

    def why_not(self, request: RankRequest, item_id: str, kept_out: KeptOut | None) -> LostItem:
        """Return where an item is lost that a request does not bring back; see the port."""
        passes = AskedEngine(self._parts, self._walked, lambda again: self.rank([again]).results[0])
        return why_not(passes, request, item_id, kept_out)

    def _walked(self, request: RankRequest) -> Walked:
        """Return the first pass of a request, with all that explains its scores."""
        encoded = self.encode([request])
        (asked,) = self._posed([request], encoded)
        (hits,), (rows,) = self._retrieve([asked.resolved])
        (scored,) = self._score(
            [asked.resolved], [rows], [hits], encoded.approximated, frozenset({0})
        )
        return Walked(asked, hits, rows, scored)

    def encode(self, batch: Sequence[RankRequest]) -> EncodedBatch:
        """Interpret and encode the queries of a batch; one that fails has no vector."""
        start = perf_counter()
        intents = tuple([self._intent(request) for request in batch])
        # A text that one request has time to encode in full is encoded in full for all of them.
        full, fast = dict[str, None](), dict[str, None]()
        fast_encoder = self._parts.fast_encoder
        for request, intent in zip(batch, intents, strict=True):
            text = intent.residual_text
            if not text:
                continue
            in_time = not request.fast_encoding or text in self._queries
            (full if fast_encoder is None or in_time else fast)[text] = None
        encoded = self._queries.encode_each(list(full))
        lost = full.keys() - encoded.keys()
        if fast_encoder is not None and fast:
            fast_texts = [text for text in fast if text not in full]
            fast_vectors = text_vectors(fast_texts, fast_encoder, "query")
            encoded |= zip(fast_texts, fast_vectors, strict=True)
        # A row of zeros is a text without a vector.
        vectors = {text: vector for text, vector in encoded.items() if vector.any()}
        return EncodedBatch(
            intents=intents,
            vectors=vectors,
            approximated=((vectors.keys() & fast.keys()) - full.keys()) | lost,
            encode_ms=(perf_counter() - start) * 1e3,
        )

    def _intent(self, request: RankRequest) -> Intent:
        intent = interpret(request, self._parts.parser)
        # Pictures (emoji) are no words, but some titles have them.
        if intent is NO_QUERY and request.query and self._parts.texts.words.pictured(request.query):
            return Intent(residual_text=request.query)
        return intent

    def _rank(self, batch: Sequence[RankRequest], encoded: EncodedBatch) -> BatchResult:
        first = self._pass(batch, encoded)
        enough = [
            len(result.items) >= size
            for result, size in zip(first.results, first.sizes, strict=True)
        ]
        if all(enough):
            return BatchResult(first.results, first.timings, self._info.generation)
        return self._filled(batch, encoded, first)

    def _filled(
        self, batch: Sequence[RankRequest], encoded: EncodedBatch, first: _Pass
    ) -> BatchResult:
        """Fill up the answers of a first pass that came out short."""
        timings, sizes = first.timings, first.sizes
        answers = [
            Short(*each)
            for each in zip(batch, encoded.intents, first.results, first.candidates, strict=True)
        ]
        for step in STEPS:
            rest = missing(answers, sizes, step, self._parts.catalogue)
            if not rest:
                continue
            requests, intents = zip(*rest.values(), strict=True)
            more = self._pass(requests, replace(encoded, intents=intents, encode_ms=0.0))
            timings = summed(timings, more.timings)
            for position, result, rows in zip(rest, more.results, more.candidates, strict=True):
                answers[position] = joined(answers[position], result, rows, step)
        results = tuple([answer.result for answer in answers])
        return BatchResult(results, timings, self._info.generation)

    def _pass(self, batch: Sequence[RankRequest], encoded: EncodedBatch) -> _Pass:
        start = perf_counter()
        parts = self._parts
        posed_requests = self._posed(batch, encoded)
        requests = [each.resolved for each in posed_requests]
        hits, rows = self._retrieve(requests)
        retrieved = perf_counter()
        to_explain = frozenset([n for n, request in enumerate(batch) if request.explain])
        scored = self._score(requests, rows, hits, encoded.approximated, to_explain)
        results = results_of(
            parts.catalogue, parts.topk, posed_requests, scored, vectors=parts.texts.vectors
        )
        if to_explain:
            results = self._explainer.explained(parts, posed_requests, scored, results)
        return _Pass(
            results=results,
            sizes=[request.k for request in requests],
            candidates=[
                some if request.named is None else request.named
                for request, some in zip(requests, rows, strict=True)
            ],
            timings=StageTimings(
                encode_ms=encoded.encode_ms,
                retrieve_ms=(retrieved - start) * 1e3,
                rerank_ms=(perf_counter() - retrieved) * 1e3,
            ),
        )

    def _posed(self, batch: Sequence[RankRequest], encoded: EncodedBatch) -> list[Posed]:
        """Return the requests in the terms of the catalogue, under the demands of their intents."""
        parts = self._parts
        queries: dict[str, EncodedQuery] = {}
        if encoded.vectors:
            cosines = parts.texts.index.cosines(np.stack(list(encoded.vectors.values())))
            for line, (text, vector) in enumerate(encoded.vectors.items()):
                known = None if cosines is None else cosines[line]
                queries[text] = EncodedQuery(text, vector, known)
        behaviour = None if parts.learned is None else parts.learned.behaviour
        requests = []
        for request, intent in zip(batch, encoded.intents, strict=True):
            asked = asked_for(request, intent, parts)
            text = asked.intent.residual_text
            resolved = resolve(
                asked.request,
                queries.get(text) or EncodedQuery(text),
                parts.catalogue,
                parts.texts.vectors,
                parts.texts.words,
                n_learned=None if behaviour is None else behaviour.n_learned,
                sides=None if behaviour is None else behaviour.sides,
            )
            requests.append(posed(asked, resolved, parts))
        return requests

    def _retrieve(
        self, requests: Sequence[ResolvedRequest]
    ) -> tuple[list[dict[str, Hits]], list[Rows]]:
        """Ask the sources, and the fallback for requests that got less than they asked for.

        Returns for each request the hits of each source, and the candidates, int64[c].
        """
        hits = found_by(requests, self._parts.sources)
        for request, by_source in zip(requests, hits, strict=True):
            by_source.update(request.extra)
        candidates = self._candidates(requests, hits)
        short = [
            position
            for position, request in enumerate(requests)
            if request.named is None and candidates[position].size < request.k
        ]
        if short:
            more = found_by([requests[position] for position in short], self._parts.fallback)
            for position, fallback_hits in zip(short, more, strict=True):
                hits[position] |= fallback_hits
            candidates = self._candidates(requests, hits)
        if any(request.needed for request in requests):
            self._add_needed(requests, hits, candidates)
            candidates = self._candidates(requests, hits)
        return hits, candidates

    def _add_needed(
        self,
        requests: Sequence[ResolvedRequest],
        hits: Sequence[dict[str, Hits]],
        candidates: Sequence[Rows],
    ) -> None:
        """Ask all sources for the rows of which the candidates of a request have too few."""
        lacking = [
            (position, replace(request.only(needed.rows), k=needed.least))
            for position, request in enumerate(requests)
            for needed in request.needed
            if request.named is None
            and np.count_nonzero(needed.rows[candidates[position]]) < needed.least
        ]
        narrowed = [request for _, request in lacking]
        for sources in (self._parts.sources, self._parts.fallback):
            for (position, _), more in zip(lacking, found_by(narrowed, sources), strict=True):
                for name, some in more.items():
                    before = hits[position].get(name)
                    hits[position][name] = some if before is None else before.followed_by(some)

    def _candidates(
        self, requests: Sequence[ResolvedRequest], hits: Sequence[Mapping[str, Hits]]
    ) -> list[Rows]:
        """Return for each request the rows of its hits, and those it names, each row once."""
        lists = []
        for request, by_source in zip(requests, hits, strict=True):
            rows = [source_hits.rows for source_hits in by_source.values()]
            lists.append(rows if request.named is None else [*rows, request.named])
        return self._parts.topk.union(lists)

    def _score(
        self,
        requests: Sequence[ResolvedRequest],
        rows: Sequence[Rows],
        hits: Sequence[Mapping[str, Hits]],
        approximated: Set[str],
        to_explain: frozenset[int],
    ) -> list[ScoredCandidates]:
        """Score all candidates; where scoring fails, they keep the order of retrieval."""
        failed: tuple[str, ...] = ()
        terms: dict[int, dict[str, Vector]] = {position: {} for position in to_explain}
        try:
            learned = self._parts.scorer.scores(requests, rows, to_explain)
            scores = self._parts.blend.scores(requests, rows, learned, terms)
            for position, request in enumerate(requests):
                if request.popularity_bias:
                    scores[position] += popularity_term(
                        request.popularity_bias,
                        self._parts.signals["popularity"],
                        rows[position],
                        learned=learned[position] is not None,
                    )
        except Exception:
            if len(requests) > 1:  # one of them may be at fault
                one = [slice(at, at + 1) for at in range(len(requests))]
                alone = [frozenset({0} if at in to_explain else ()) for at in range(len(one))]
                return [
                    self._score(requests[at], rows[at], hits[at], approximated, explain)[0]
                    for at, explain in zip(one, alone, strict=True)
                ]
            log.exception("scoring failed: answering in the order of retrieval")
            failed, learned = ("rerank",), [None] * len(requests)
            scores = [retrieval_order(*each) for each in zip(rows, hits, strict=True)]
        boosts = [()] * len(requests) if failed else add_boosts(scores, requests, rows, learned)
        return [
            ScoredCandidates(
                rows=some,
                scores=score,
                hits=by_source,
                degraded=(
                    *(["encoder"] if request.query in approximated else ()),
                    *skipped(by_source),
                    *failed,
                ),
                learned=known,
                boosts=added,
                terms=terms.get(position, {}),
            )
            for position, (request, some, score, by_source, known, added) in enumerate(
                zip(requests, rows, scores, hits, learned, boosts, strict=True)
            )
        ]
