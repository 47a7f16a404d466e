"""The two-tower model: learns item vectors from words and meaning, and users as means of items.

    item  = unit(head(Σ_w tfidf_w · token_w + P · text vector)), a head for inputs, one for targets
    user  = unit(Σ_p softmax(recency)_p · input vector of item_p), over the newest 20 items
    loss  = softmax over in-batch targets and uniformly drawn items, with the logQ correction

No vector belongs to an item id, so an item without events gets a vector like any other. The target
is a later item at a random distance, most often the next one: the space learns what a user wants
soon, not only next. Sampled softmax with logQ: Yi et al., "Sampling-Bias-Corrected Neural
Modeling", RecSys 2019.

Time is O(steps · batch · d). Memory is 16 bytes per (word, dimension) and 4 per (item, text
dimension). This module does not know what the space is used for.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from app.core.types import Matrix
from app.engine.catalogue.behaviour import RECENT, TasteSpace
from app.offline.learning.sequences import Ints, Sequences, Weights

DIM = 256
BATCH = 512
NEGATIVES = 1024
LEARNING_RATE = 1e-3
MIN_EPOCHS, MAX_EPOCHS, TARGET_STEPS = 3, 16, 400
MAX_TARGETS_PER_EPOCH = 1_000_000
"""Targets read in one epoch: with more events, memory grows and time does not."""

_NEWEST = 50  # of very long histories only the newest events are targets
_VALIDATIONS = 6
_PATIENCE = 2  # validations without a gain before training stops
_MASKED = -1e9

Validate: TypeAlias = Callable[[TasteSpace], float]
"""Returns how good a space is on held-out events; higher is better."""


@dataclass(frozen=True, slots=True)
class ItemTexts:
    """The texts of n items: sparse float32[n, v] tf-idf rows, and float32[n, dim] vectors."""

    words: Any
    vectors: Matrix

    def __len__(self) -> int:
        return len(self.vectors)


@dataclass(frozen=True, slots=True)
class Schedule:
    """`epochs`: what the learning rate is planned for. `stop`: the last epoch that is trained."""

    epochs: int
    stop: int


class _TargetBatch(NamedTuple):
    """int64[b, 20] recent rows, bool[b, 20] which of them count, int64[b] target, and weights."""

    recent: Ints
    present: npt.NDArray[np.bool_]
    target: Ints
    sample_weight: Weights


class _Towers(nn.Module):
    """The item vectors under training, and the mean that makes a user of them."""

    def __init__(self, texts: ItemTexts, dim: int) -> None:
        super().__init__()
        words, vectors = texts.words, texts.vectors
        self.n_items = len(texts)
        self._offsets = torch.from_numpy(words.indptr.astype(np.int64))
        self._words = torch.from_numpy(words.indices.astype(np.int64))
        self._weights = torch.from_numpy(words.data)
        self._vectors = torch.from_numpy(np.require(vectors, requirements="W"))
        self.token = nn.EmbeddingBag(max(words.shape[1], 1), dim, mode="sum")
        self.text = nn.Linear(vectors.shape[1], dim, bias=False)
        self.inputs, self.targets = nn.Linear(dim, dim), nn.Linear(dim, dim)
        for weight in (self.token.weight, self.text.weight):
            nn.init.normal_(weight, 0.0, dim**-0.5)
        # Both heads begin as the identity: at first an item lies near items with like words.
        for head in (self.inputs, self.targets):
            nn.init.eye_(head.weight)
            nn.init.zeros_(head.bias)
        # At first an item weighs e^(−1/2) of the next newer one.
        self.recency = nn.Parameter(-torch.arange(RECENT) / 2.0)
        # Log of the factor on cosines, which lie between −1 and 1: e^2.3 ≈ 10 at first.
        self.log_scale = nn.Parameter(torch.tensor(2.3))

    def items(self, rows: Tensor, head: nn.Linear) -> Tensor:
        """Return float32[len(rows), dim], unit vectors of items."""
        first = self._offsets[rows]
        lengths = self._offsets[rows + 1] - first
        starts = torch.cumsum(lengths, 0) - lengths
        at = torch.arange(int(lengths.sum())) + torch.repeat_interleave(first - starts, lengths)
        bags = self.token(self._words[at], starts, per_sample_weights=self._weights[at])
        return functional.normalize(head(bags + self.text(self._vectors[rows])), dim=-1)

    def users(self, recent: Ints, present: npt.NDArray[np.bool_]) -> Tensor:
        """Return float32[b, dim] for int64[b, 20] rows, newest first, where `present` is true."""
        # Each item is computed once, however many users of the batch took it.
        rows, index = np.unique(recent[present], return_inverse=True)
        positions = np.zeros(recent.shape, np.int64)
        positions[present] = index
        mask = torch.from_numpy(present)
        weights = torch.where(mask, self.recency.expand(mask.shape), _MASKED).softmax(-1)
        vectors = self.items(torch.from_numpy(rows), self.inputs)[torch.from_numpy(positions)]
        return functional.normalize((vectors * weights[..., None]).sum(1), dim=-1)

    @torch.inference_mode()
    def space(self) -> TasteSpace:
        """Return the space as it is now."""
        rows = torch.split(torch.arange(self.n_items), 8192)
        inputs, targets = (
            torch.cat([self.items(part, head) for part in rows]).numpy()
            for head in (self.inputs, self.targets)
        )
        # exp without the softmax's denominator: the user's vector is normalised anyway.
        recency = self.recency.numpy()
        return TasteSpace(inputs, targets, np.exp(recency - recency.max()).astype(np.float32))


class _Batches:
    """Draws (recent items, target) pairs of all users, mixed at random."""

    def __init__(self, sequences: Sequences, rng: np.random.Generator) -> None:
        self._items, self._rng, self._sample_weight = sequences.items, rng, sequences.weights
        user, self._position = sequences.positions()
        self._n_later = sequences.lengths[user] - 1 - self._position
        self._usable = np.flatnonzero((self._position > 0) & (self._n_later < _NEWEST))

    @property
    def per_epoch(self) -> int:
        """Number of batches."""
        return max(1, -(-min(len(self._usable), MAX_TARGETS_PER_EPOCH) // BATCH))

    def epoch(self) -> Iterator[_TargetBatch]:
        """Yield the batches of one epoch."""
        order = self._rng.permutation(self._usable)[:MAX_TARGETS_PER_EPOCH]
        for at in np.array_split(order, self.per_epoch):
            age = np.arange(RECENT)
            present = age < self._position[at][:, None]
            recent = self._items[np.where(present, at[:, None] - 1 - age, 0)]
            # The whole part of an exponential variable is geometric: 0 = the next item, in 63 %.
            ahead = np.floor(self._rng.exponential(1.0, len(at))).astype(np.int64)
            target = at + np.minimum(ahead, self._n_later[at])
            yield _TargetBatch(
                recent=recent,
                present=present,
                target=self._items[target],
                sample_weight=self._sample_weight[target],
            )


def fit_taste(
    sequences: Sequences,
    texts: ItemTexts,
    seed: int,
    validate: Validate | None = None,
    schedule: Schedule | None = None,
) -> tuple[TasteSpace, Schedule]:
    """Learn a space from sequences; return it with the schedule that was trained.

    Args:
        sequences: what to learn from; at least one user has two items.
        texts: words and vectors of all items.
        seed: of weights and draws.
        validate: measures the space several times during training; the best space is returned.
        schedule: how long to train. With `validate` given, training may stop earlier.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    towers, batches = _Towers(texts, DIM), _Batches(sequences, rng)
    plan = schedule or _plan(batches.per_epoch)
    loss_of = _SampledSoftmax(towers, sequences, rng)
    # One fused update: most of the time goes into the vectors of the vocabulary.
    optimizer = torch.optim.AdamW(towers.parameters(), LEARNING_RATE, weight_decay=0.0, fused=True)
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=plan.epochs * batches.per_epoch + 1, pct_start=0.1
    )
    best = (-np.inf, 0, towers.space())
    every = max(1, plan.epochs // _VALIDATIONS)
    for epoch in range(1, plan.stop + 1):
        bar = tqdm(
            batches.epoch(), desc="taste", total=batches.per_epoch, leave=False, disable=None
        )
        for batch in bar:
            optimizer.zero_grad()
            loss_of(batch).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        if validate is not None and (epoch % every == 0 or epoch == plan.stop):
            space = towers.space()
            best = max(best, (validate(space), epoch, space), key=lambda one: one[0])
            if epoch - best[1] >= _PATIENCE * every:
                break
    if validate is None:
        return towers.space(), plan
    return best[2], Schedule(plan.epochs, best[1])


def _plan(steps_per_epoch: int) -> Schedule:
    """Return about `TARGET_STEPS` steps: many epochs over few events, few epochs over many."""
    epochs = int(np.clip(-(-TARGET_STEPS // steps_per_epoch), MIN_EPOCHS, MAX_EPOCHS))
    return Schedule(epochs, epochs)


class _SampledSoftmax:
    """The loss of a batch: a softmax over the targets of the batch and uniformly drawn items.

    Popular items are in the batch more often than others, as targets of somebody. Left alone, the
    model would learn to push them down. The logQ correction subtracts log(chance to be in the list)
    from each logit, so that the loss is that of a softmax over all items.
    """

    def __init__(self, towers: _Towers, sequences: Sequences, rng: np.random.Generator) -> None:
        # + 1: an item without events can be drawn too.
        counts = np.bincount(sequences.items, minlength=towers.n_items) + 1.0
        self._target_share = torch.from_numpy((counts / counts.sum()).astype(np.float32))
        self._towers, self._rng = towers, rng

    def __call__(self, batch: _TargetBatch) -> Tensor:
        towers = self._towers
        drawn = self._rng.integers(0, towers.n_items, NEGATIVES)
        rows = torch.from_numpy(np.unique(np.concatenate([batch.target, drawn])))
        # How often an item is expected in this list, as somebody's target or drawn. As a Poisson
        # count it is there at all with chance 1 − e^(−expected), of which we take the logarithm.
        expected = len(batch.target) * self._target_share[rows] + NEGATIVES / towers.n_items
        logits = towers.users(batch.recent, batch.present) @ towers.items(rows, towers.targets).T
        logits = logits * towers.log_scale.exp() - torch.log(-torch.expm1(-expected))
        label = torch.searchsorted(rows, torch.from_numpy(batch.target))
        losses = functional.cross_entropy(logits, label, reduction="none")
        return (losses * torch.from_numpy(batch.sample_weight)).mean()
