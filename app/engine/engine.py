"""One blocking pass over a batch: encode ▸ retrieve ▸ score. The whole model work of a request.

It keeps no state between calls and reads no clock for anything but its stage timings. It does not
know users, caches, deadlines or HTTP.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np

from app.engine.candidates import SOURCE_SIZE, Hits, hits_of, union
from app.engine.catalogue import Catalogue
from app.engine.fusion import Wants, disliked_vector, fuse, taste_vector
from app.engine.index import FlatIndex
from app.ports import Encoder
from app.types import (
    BatchResult,
    EngineInfo,
    Item,
    Matrix,
    RankedItem,
    RankRequest,
    RankResult,
    Rows,
    StageTimings,
    Vector,
)

_MAX_QUERY_TOKENS = 256


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of; all arrays are in catalogue row order.

    `popularity`: float32[n] in [0, 1]. `popular`: int64[n], every row, the most popular first.
    """

    catalogue: Catalogue
    encoder: Encoder
    index: FlatIndex
    vectors: Matrix
    popularity: Vector
    popular: Rows


class RankEngine:
    """The engine over one bundle. Implements the port `Engine`."""

    def __init__(self, parts: Parts, info: EngineInfo) -> None:
        """Wire the parts."""
        self._parts = parts
        self._info = info

    def __repr__(self) -> str:
        return (
            f"<RankEngine {self._info.bundle_name}/{self._info.bundle} items={self._info.n_items}>"
        )

    @property
    def info(self) -> EngineInfo:
        """What this engine was opened from."""
        return self._info

    def cost(self, request: RankRequest) -> int:
        """Estimate encoder tokens: a token is seldom shorter than three bytes of UTF-8."""
        return min(2 + len(request.query.encode()) // 3, _MAX_QUERY_TOKENS)

    def item(self, item_id: str) -> Item | None:
        """Look up one item; None if the catalogue does not hold it."""
        return self._parts.catalogue.item(item_id)

    def close(self) -> None:
        """Do nothing: all it holds is memory, which goes with the object."""

    def rank(self, batch: Sequence[RankRequest]) -> BatchResult:
        """Rank every request of a batch; results keep its order. Raises `EngineError`."""
        start = perf_counter()
        queries = self._encode(batch)
        encoded = perf_counter()
        wants = [self._wants(request, queries) for request in batch]
        excluded = [self._parts.catalogue.rows(request.exclude) for request in batch]
        sources = self._retrieve(batch, wants, excluded)
        retrieved = perf_counter()
        results = tuple(map(self._rank_one, batch, wants, excluded, sources))
        done = perf_counter()
        timings = StageTimings(
            (encoded - start) * 1e3, (retrieved - encoded) * 1e3, (done - retrieved) * 1e3
        )
        return BatchResult(results, timings)

    def _encode(self, batch: Sequence[RankRequest]) -> Mapping[str, Vector]:
        texts = list(dict.fromkeys(request.query for request in batch if request.query))
        if not texts:
            return {}
        return dict(zip(texts, self._parts.encoder.encode(texts), strict=True))

    def _wants(self, request: RankRequest, queries: Mapping[str, Vector]) -> Wants:
        rows, vectors = self._parts.catalogue.rows, self._parts.vectors
        return Wants(
            query=queries.get(request.query),
            taste=taste_vector(vectors, rows(request.history), rows(request.like)),
            disliked=disliked_vector(vectors, rows(request.dislike)),
        )

    def _retrieve(
        self, batch: Sequence[RankRequest], wants: Sequence[Wants], excluded: Sequence[Rows]
    ) -> list[dict[str, Hits]]:
        """Ask FAISS once for all probes of all requests, then fall back to the popular."""
        sources: list[dict[str, Hits]] = [{} for _ in batch]
        probes: list[tuple[int, str, Vector]] = []
        for place, (request, want) in enumerate(zip(batch, wants, strict=True)):
            if request.candidates is None:
                named = (("meaning", want.query), ("taste", want.taste))
                probes += [(place, name, probe) for name, probe in named if probe is not None]
        if probes:
            # Excluded rows may fill the top: ask for that many more, so that none costs a place.
            size = SOURCE_SIZE + max(excluded[place].size for place, _, _ in probes)
            scores, rows = self._parts.index.search(np.stack([p for _, _, p in probes]), size)
            for at, (place, name, _) in enumerate(probes):
                sources[place][name] = Hits(rows[at], scores[at]).without(excluded[place])
        for place, request in enumerate(batch):
            if request.candidates is None and union(sources[place]).size < request.k:
                sources[place]["popular"] = self._popular(excluded[place])
        return sources

    def _popular(self, excluded: Rows) -> Hits:
        rows = self._parts.popular[: SOURCE_SIZE + excluded.size]
        return Hits(rows, self._parts.popularity[rows]).without(excluded)

    def _rank_one(
        self, request: RankRequest, wants: Wants, excluded: Rows, sources: Mapping[str, Hits]
    ) -> RankResult:
        catalogue = self._parts.catalogue
        if request.candidates is None:
            rows = union(sources)
        else:
            rows = catalogue.rows(dict.fromkeys(request.candidates))
            rows = rows[~np.isin(rows, excluded)]
        scores = fuse(self._parts.vectors, self._parts.popularity, rows, wants)
        best = np.argsort(-scores, kind="stable")[: request.k]
        items = tuple(
            RankedItem(
                id=catalogue.id(int(rows[i])),
                score=float(scores[i]),
                title=catalogue.title(int(rows[i])),
                fields=catalogue.fields(int(rows[i]), request.fields),
                sources=hits_of(int(rows[i]), sources),
            )
            for i in best
        )
        named = (*request.history, *request.like, *request.dislike, *(request.candidates or ()))
        return RankResult(items, tuple(catalogue.unknown(named)))
