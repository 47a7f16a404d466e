"""The interface of a baseline, the data that it is fitted on, and parts that several share.

A baseline sees rows of the catalogue and titles, never ids. It does not know what is held out.
"""

import importlib
from collections.abc import Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import scipy.sparse as sp

from app.core.types import Matrix, Rows

DENSE_BYTES = 6e9
"""The most memory of a dense item-to-item product; at its peak it has three float32 matrices."""

NEWEST = 50
"""Items of a history that are read where older items weigh less."""


class UnavailableError(Exception):
    """A baseline cannot run here; the report shows the text, which says why."""


@dataclass(frozen=True, slots=True)
class TrainingData:
    """What a baseline may learn from.

    Attributes:
        sequences: for each user the rows of the positive events on known items, oldest first.
        titles: n_items texts, "" where there is none.
        vectors: float32[n_items, dim] of unit norm: the titles, encoded by the plain encoder.
        seed: of everything random.
    """

    sequences: Sequence[Rows]
    titles: Sequence[str]
    vectors: Matrix
    seed: int

    @property
    def n_items(self) -> int:
        """Number of items of the catalogue."""
        return len(self.titles)

    def counts(self) -> npt.NDArray[np.float64]:
        """Return float64[n_items], how often each item occurs."""
        flat = np.concatenate([np.empty(0, np.int64), *self.sequences])
        return np.bincount(flat, minlength=self.n_items).astype(np.float64)


@dataclass(frozen=True, slots=True)
class BaselineQuery:
    """What a baseline is asked with: a history, or the words of a query.

    Attributes:
        history: int64[h], rows, oldest first.
        query: the words; "" where there are none.
        query_vector: float32[dim] of unit norm; None without words.
    """

    history: Rows
    query: str = ""
    query_vector: npt.NDArray[np.float32] | None = None


class Baseline(Protocol):
    """A model that gives every item a score.

    `fit` is called once, before `scores`. Both block, and give the same for the same seed.
    """

    def fit(self, train: TrainingData) -> None:
        """Learn from the data. Raises `UnavailableError` where that is impossible here."""
        ...

    def scores(self, queries: Sequence[BaselineQuery]) -> Matrix:
        """Return float32[len(queries), n_items]; higher is better, nothing is masked yet."""
        ...


def decayed(
    histories: Sequence[Rows], n_items: int, decay: float, newest: int | None = NEWEST
) -> sp.csr_matrix:
    """Return sparse float32[n, n_items]: the weight decay ** age of the newest items of histories.

    The last item of a history has age 0. An item that is in a history twice has its newer weight.

    Args:
        histories: n arrays of rows, oldest first.
        n_items: size of the catalogue.
        decay: weight of an item relative to the next newer one.
        newest: how many items of each history count; None = all.

    >>> decayed([np.array([2, 0])], 3, 0.5).toarray().tolist()
    [[1.0, 0.0, 0.5]]
    """
    users, items, weights = [], [], []
    for user, history in enumerate(histories):
        distinct, age = np.unique(history[::-1][:newest], return_index=True)
        users.append(np.full(len(distinct), user))
        items.append(distinct)
        weights.append(decay**age)
    shape = (len(histories), n_items)
    if not users:
        return sp.csr_matrix(shape, dtype=np.float32)
    flat = np.concatenate(weights).astype(np.float32)
    return sp.csr_matrix((flat, (np.concatenate(users), np.concatenate(items))), shape=shape)


def dense(product: Any) -> Matrix:  # noqa: ANN401 - scipy has no types
    """Return a product, sparse or not, as a plain C-contiguous float32 matrix."""
    array = product.toarray() if sp.issparse(product) else np.asarray(product)
    return np.ascontiguousarray(array, dtype=np.float32)


def check_dense(n_items: int) -> None:
    """Raise `UnavailableError` where a dense item-to-item product takes over `DENSE_BYTES`."""
    needed = 3 * 4.0 * n_items**2
    if needed > DENSE_BYTES:
        raise UnavailableError(
            f"{n_items:,} items: the dense product would take {needed / 1e9:.0f} GB, "
            f"more than {DENSE_BYTES / 1e9:.0f}"
        )


def optional(name: str) -> ModuleType:
    """Import a library of the extra `eval`. Raises `UnavailableError` where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise UnavailableError(f"{name} is not installed: pip install 'recserve[eval]'") from error
