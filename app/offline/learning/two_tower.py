"""Learns the space of taste: item vectors from words and meaning, users as means of their items.

    item  = unit(head(Σ_w tfidf_w · token_w + P · text vector)), one head for taken, one for wanted
    user  = unit(Σ_p softmax(recency)_p · taken item_p), over the newest 20
    loss  = softmax over in-batch targets and uniformly drawn items, with the logQ correction

No vector belongs to an id, so an item without events has as good a place as any other. The target
is a future item at a geometric distance: what is wanted soon, not only next. Sampled softmax with
logQ: Yi et al., "Sampling-Bias-Corrected Neural Modeling", RecSys 2019.

Costs O(steps · batch · d) time, 16 bytes per (word, dimension) and 4 per (item, text dimension).
This module does not know what the space is used for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from app.core.types import Matrix
from app.engine.catalogue.behaviour import RECENT, TasteSpace
from app.offline.learning.sequences import Ints, Sequences

DIM = 256
BATCH = 512
NEGATIVES = 1024
LEARNING_RATE = 1e-3
LEAST_EPOCHS, MOST_EPOCHS, STEPS = 3, 16, 400
MOST_PLACES = 1_000_000
"""Places read in one epoch: more events than that cost memory, not time."""

_NEWEST = 50  # of very long histories only the newest places are learned from
_PROBES = 6

Probe = Callable[[TasteSpace], float]
"""How good a space is on what was held back; higher is better."""


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """What the texts of n items say: sparse float32[n, v], tf-idf rows, and float32[n, dim]."""

    words: Any
    vectors: Matrix

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`epochs`: what the learning rate is planned for; `stop`: the epoch after which to stop."""

    epochs: int
    stop: int


class _Towers(nn.Module):
    """The item vectors under training, and how a user is made of them."""

    def __init__(self, texts: ItemTexts, dim: int) -> None:
        super().__init__()
        words, vectors = texts.words, texts.vectors
        self._offsets = torch.from_numpy(words.indptr.astype(np.int64))
        self._words = torch.from_numpy(words.indices.astype(np.int64))
        self._weights = torch.from_numpy(words.data)
        self._vectors = torch.from_numpy(np.require(vectors, requirements="W"))
        self.token = nn.EmbeddingBag(max(words.shape[1], 1), dim, mode="sum")
        self.text = nn.Linear(vectors.shape[1], dim, bias=False)
        self.taken, self.targets = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for weight in (self.token.weight, self.text.weight):
            nn.init.normal_(weight, 0.0, dim**-0.5)
        for head in (self.taken, self.targets):
            nn.init.eye_(head.weight)
            nn.init.zeros_(head.bias)
        self.recency = nn.Parameter(-torch.arange(RECENT) / 2.0)
        self.sharpness = nn.Parameter(torch.tensor(2.3))

    def items(self, rows: Tensor, head: nn.Linear) -> Tensor:
        """Return float32[len(rows), dim], unit vectors of items."""
        first = self._offsets[rows]
        lengths = self._offsets[rows + 1] - first
        starts = torch.cumsum(lengths, 0) - lengths
        at = torch.arange(int(lengths.sum())) + torch.repeat_interleave(first - starts, lengths)
        bags = self.token(self._words[at], starts, per_sample_weights=self._weights[at])
        return functional.normalize(head(bags + self.text(self._vectors[rows])), dim=-1)

    def users(self, recent: Ints, taken: npt.NDArray[np.bool_]) -> Tensor:
        """Return float32[b, dim] for int64[b, 20] rows, newest first, where `taken` says so."""
        rows, where = np.unique(recent[taken], return_inverse=True)
        places = np.zeros(recent.shape, np.int64)
        places[taken] = where
        mask = torch.from_numpy(taken)
        weights = torch.where(mask, self.recency.expand(mask.shape), -1e9).softmax(-1)
        vectors = self.items(torch.from_numpy(rows), self.taken)[torch.from_numpy(places)]
        return functional.normalize((vectors * weights[..., None]).sum(1), dim=-1)

    @torch.inference_mode()
    def space(self) -> TasteSpace:
        """Return the space as it stands."""
        rows = torch.split(torch.arange(len(self._vectors)), 8192)
        inputs, targets = (
            torch.cat([self.items(part, head) for part in rows]).numpy()
            for head in (self.taken, self.targets)
        )
        recency = self.recency.numpy()
        return TasteSpace(inputs, targets, np.exp(recency - recency.max()).astype(np.float32))


class _Batches:
    """Draws (recent items, target) pairs; which user they come from does not matter any more."""

    def __init__(self, sequences: Sequences, rng: np.random.Generator) -> None:
        self._items, self._rng, self._worth = sequences.items, rng, sequences.weights
        user, self._place = sequences.places()
        self._left = sequences.lengths[user] - 1 - self._place  # how many come after
        self._usable = np.flatnonzero((self._place > 0) & (self._left < _NEWEST))

    @property
    def per_epoch(self) -> int:
        """Number of batches."""
        return max(1, -(-min(len(self._usable), MOST_PLACES) // BATCH))

    def epoch(self) -> Iterator[tuple[Ints, npt.NDArray[np.bool_], Ints, npt.NDArray[np.float32]]]:
        """Yield int64[b, 20] recent rows, bool[b, 20] which count, int64[b] target, its worth."""
        order = self._rng.permutation(self._usable)[:MOST_PLACES]
        for at in np.array_split(order, self.per_epoch):
            age = np.arange(RECENT)
            taken = age < self._place[at][:, None]
            recent = self._items[np.where(taken, at[:, None] - 1 - age, 0)]
            ahead = np.floor(self._rng.exponential(1.0, len(at))).astype(np.int64)
            target = at + np.minimum(ahead, self._left[at])
            yield recent, taken, self._items[target], self._worth[target]


def fit_taste(
    sequences: Sequences,
    texts: ItemTexts,
    seed: int,
    probe: Probe | None = None,
    schedule: Schedule | None = None,
) -> tuple[TasteSpace, Schedule]:
    """Learn a space from sequences, and say how long that took.

    Args:
        sequences: what to learn from; somebody has two items.
        texts: of all items.
        seed: of weights and draws.
        probe: judges the space now and then; the best one is returned.
        schedule: without a probe, how long to learn.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    towers, batches = _Towers(texts, DIM), _Batches(sequences, rng)
    plan = schedule or _plan(batches.per_epoch)
    loss_of = _SampledSoftmax(towers, sequences, rng)
    # One fused update: the vocabulary is what most of the time goes into.
    optimizer = torch.optim.AdamW(towers.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=plan.epochs * batches.per_epoch + 1, pct_start=0.1
    )
    best = (-np.inf, 0, towers.space())
    every = max(1, plan.epochs // _PROBES)
    for epoch in range(1, plan.stop + 1):
        for batch in tqdm(batches.epoch(), "taste", batches.per_epoch, False, disable=None):
            optimizer.zero_grad()
            loss_of(*batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        if probe is not None and (epoch % every == 0 or epoch == plan.stop):
            space = towers.space()
            best = max(best, (probe(space), epoch, space), key=lambda one: one[0])
            if epoch - best[1] >= 2 * every:
                break
    if probe is None:
        return towers.space(), plan
    return best[2], Schedule(plan.epochs, best[1])


def _plan(steps_per_epoch: int) -> Schedule:
    epochs = int(np.clip(-(-STEPS // steps_per_epoch), LEAST_EPOCHS, MOST_EPOCHS))
    return Schedule(epochs, epochs)


class _SampledSoftmax:
    """The loss of a batch: targets among each other and among items drawn uniformly."""

    def __init__(self, towers: _Towers, sequences: Sequences, rng: np.random.Generator) -> None:
        n_items = towers._vectors.shape[0]  # noqa: SLF001 - its own module
        counts = np.bincount(sequences.items, minlength=n_items) + 1.0
        self._share = torch.from_numpy((counts / counts.sum()).astype(np.float32))
        self._towers, self._rng, self._n_items = towers, rng, n_items

    def __call__(
        self,
        recent: Ints,
        taken: npt.NDArray[np.bool_],
        target: Ints,
        sample_weight: npt.NDArray[np.float32],
    ) -> Tensor:
        drawn = self._rng.integers(0, self._n_items, NEGATIVES)
        rows = torch.from_numpy(np.unique(np.concatenate([target, drawn])))
        # The chance to be in this list at all: as somebody's target, or drawn.
        often = len(target) * self._share[rows] + NEGATIVES / self._n_items
        logits = (
            self._towers.users(recent, taken) @ self._towers.items(rows, self._towers.targets).T
        )
        logits = logits * self._towers.sharpness.exp() - torch.log(-torch.expm1(-often))
        label = torch.searchsorted(rows, torch.from_numpy(target))
        losses = functional.cross_entropy(logits, label, reduction="none")
        return (losses * torch.from_numpy(sample_weight)).mean()
