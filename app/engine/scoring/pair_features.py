"""The features of a (request, candidate) pair, for each mode of a request.

    history    how near the recent items lie to the candidate, the candidate itself, and who asks
               where (`app.engine.scoring.history_features`)
    words      how well the words fit it (`app.engine.retrieval.lexical`), how near its text lies to
               the query, and the candidate itself
    both       all of history, all of words, and how well the history fits the query

Training and serving compute them by this code. A feature that a request or a candidate lacks is 0:
the cosine features where a text has no vector, the item features where nobody took anything yet.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from app.core.types import Matrix, Rows, Vector
from app.engine.kernels.features import log_ranks
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.retrieval.index import EmptyRows
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.retrieval.resolve import ResolvedRequest
from app.engine.scoring.history_features import HistoryFeatures
from app.engine.scoring.modes import Mode

_COSINE: Final = ("cosine", "rank", "gap", "known", "best")
_FIT: Final = ("mean", "highest")
_ITEM: Final = ("popularity", "times_last", "share_last", "place")


@dataclass(frozen=True, slots=True)
class TextSide:
    """What the features of words are computed from, over n items.

    Attributes:
        words: the words of the items.
        vectors: float32[n, dim], unit rows, zeros where an item has no vector.
        empty: which rows have none.
        freshness: float32[n], the share of the dated items that are older; 0 = undated.
    """

    words: LexicalSearch
    vectors: Matrix
    empty: EmptyRows
    freshness: Vector


class PairFeatures:
    """Computes the features of candidates. It has buffers, so one thread at a time uses it."""

    def __init__(
        self, texts: TextSide, history: HistoryFeatures | None, items: Matrix | None
    ) -> None:
        """Take what the parts are computed from.

        Args:
            texts: the words and vectors of n items.
            history: computes the features of histories; None where nothing was learned.
            items: float32[4, n], see `app.engine.catalogue.behaviour.item_signals`; None likewise.
        """
        self._texts, self._history, self._items = texts, history, items
        self._freshness = texts.freshness.copy()

    def change(self, rows: Rows, freshness: Vector) -> None:
        """Take over the freshness of some rows (int64[c]) of float32[n]."""
        self._freshness[rows] = freshness[rows]

    def names(self, mode: Mode) -> tuple[str, ...]:
        """Return the names of the features of a mode, in order, as `group.feature`."""
        history = () if self._history is None else self._history.names
        if mode == "history":
            return history
        words = (
            *(f"lexical.{name}" for name in LEXICAL_FEATURES),
            *(f"cosine.{name}" for name in _COSINE),
            "item.freshness",
        )
        if mode == "words":
            return words if self._items is None else (*words, *(f"item.{name}" for name in _ITEM))
        return (*history, *words, *(f"fit.{name}" for name in _FIT))

    def compute(
        self, mode: Mode, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]
    ) -> Matrix:
        """Return float32[f, N], a column per candidate of each request, request after request.

        `requests`: all of this mode. `candidates`: int64[c] rows of each, each row once.
        """
        blocks: list[Matrix] = []
        if mode != "words":
            assert self._history is not None  # noqa: S101 - a history has a mode if it is there
            blocks.append(self._history.compute(requests, candidates))
        if mode == "history":
            return blocks[0]
        texts = self._texts
        blocks.append(texts.words.features([request.query for request in requests], candidates))
        rows = np.concatenate(candidates) if candidates else np.empty(0, np.int64)
        blocks.append(self._cosines(requests, candidates))
        blocks.append(self._freshness.take(rows)[None])
        if mode == "both":
            blocks.append(self._fits(requests, candidates))
        elif self._items is not None:
            blocks.append(self._items.take(rows, axis=1))
        return np.concatenate(blocks)

    def _cosines(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        out = np.zeros((len(_COSINE), sum(map(len, candidates))), np.float32)
        end = 0
        for request, rows in zip(requests, candidates, strict=True):
            block, end = out[:, end : end + len(rows)], end + len(rows)
            if request.query_vector is None or not len(rows):
                continue
            if request.cosines is not None:
                cosines = request.cosines.take(rows)
            else:
                cosines = self._texts.vectors.take(rows, axis=0) @ request.query_vector
            best = cosines.max()
            block[0] = cosines
            block[1] = log_ranks(cosines[None])[0]
            block[2] = cosines - best
            block[3] = 1.0
            block[4] = best
            if (empty := self._texts.empty.among(rows)) is not None:
                block[:4, empty] = 0.0
        return out

    def _fits(self, requests: Sequence[ResolvedRequest], candidates: Sequence[Rows]) -> Matrix:
        """Return float32[2, N]: how near the recent items of a request lie to its query."""
        out = np.zeros((len(_FIT), sum(map(len, candidates))), np.float32)
        end = 0
        for request, rows in zip(requests, candidates, strict=True):
            block, end = out[:, end : end + len(rows)], end + len(rows)
            if request.query_vector is not None and request.recent.size:
                near = self._texts.vectors.take(request.recent, axis=0) @ request.query_vector
                block[0], block[1] = near.mean(), near.max()
        return out
