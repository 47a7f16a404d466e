"""Trains the scorer: a small network, listwise softmax over the candidates of each example.

Seeds are fixed; a tenth of the examples decides when to stop. What is written is read by
`app.engine.scorer`. This module does not know what the features mean.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from app.engine.scorer import CLIP
from app.offline.examples import Examples
from app.offline.sequences import Ints
from app.types import Matrix

HIDDEN = (64, 32)
BATCH = 64
LEARNING_RATE, WEIGHT_DECAY, DROPOUT = 2e-3, 1e-3, 0.1
LEAST_EPOCHS, LEAST_STEPS = 4, 600
PATIENCE = 2
VALIDATION_SHARE = 0.1

Arrays = dict[str, np.ndarray]

_NOWHERE = -1e9


@dataclass(frozen=True, slots=True)
class Trained:
    """Arrays for `Scorer`, and how it went: loss and epoch of the best state, on validation."""

    arrays: Arrays
    loss: float
    epoch: int


class _Network(nn.Module):
    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        self.first = nn.Linear(len(mean), HIDDEN[0])
        self.second = nn.Linear(*HIDDEN)
        # Within a list only differences count: the last layer needs no bias.
        self.third = nn.Linear(HIDDEN[1], 1, bias=False)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        """Return [..., c] scores for [..., c, f] features."""
        inputs = ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)
        hidden = self.drop(functional.relu(self.first(inputs)))
        scores: Tensor = self.third(functional.relu(self.second(hidden))).squeeze(-1)
        return scores

    def arrays(self) -> Arrays:
        """Return what `app.engine.scorer.Scorer` takes."""
        tensors = {
            "mean": self.mean,
            "deviation": self.deviation,
            "w1": self.first.weight,
            "b1": self.first.bias,
            "w2": self.second.weight,
            "b2": self.second.bias,
            "w3": self.third.weight[0],
        }
        return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}


def split(n: int, seed: int) -> tuple[Ints, Ints]:
    """Return which of n examples to train on, and which to stop by."""
    order = np.random.default_rng(seed).permutation(n)
    held = max(1, int(n * VALIDATION_SHARE))
    return order[held:], order[:held]


def train(examples: Examples, seed: int) -> Trained:
    """Fit the network; at least two examples are needed.

    Time O(epochs · candidates kept · parameters); memory is that of the examples.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learn, stop = split(len(examples), seed)
    network = _Network(*map(torch.from_numpy, _moments(examples)))
    steps = -(-len(learn) // BATCH)
    epochs = max(LEAST_EPOCHS, -(-LEAST_STEPS // steps))
    optimizer = torch.optim.AdamW(
        network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * steps + 1, pct_start=0.1
    )
    best = Trained(network.arrays(), float("inf"), 0)
    for epoch in range(1, epochs + 1):
        network.train()
        for chosen in tqdm(np.array_split(rng.permutation(learn), steps), "scorer", disable=None):
            optimizer.zero_grad()
            _losses(network, examples, chosen).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        loss = _validation(network, examples, stop)
        if loss < best.loss:
            best = Trained(network.arrays(), loss, epoch)
        elif epoch - best.epoch >= PATIENCE:
            break
    return best


def _moments(examples: Examples) -> tuple[Matrix, Matrix]:
    some = examples.features[:: max(1, len(examples.features) // 500_000)].astype(np.float32)
    mean, deviation = some.mean(axis=0), some.std(axis=0)
    # A feature that hardly varies says nothing, and dividing by almost 0 would cost all digits.
    steady = deviation <= 1e-3 * np.abs(mean) + 1e-9
    return mean, np.where(steady, np.maximum(np.abs(mean), 1.0), deviation).astype(np.float32)


@torch.inference_mode()
def _validation(network: _Network, examples: Examples, chosen: Ints) -> float:
    network.eval()
    parts = [_losses(network, examples, part) for part in _parts(chosen)]
    return float(torch.cat(parts).mean())


def _parts(chosen: Ints) -> Iterator[Ints]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _losses(network: _Network, examples: Examples, chosen: Ints) -> Tensor:
    """Return [b]: −log softmax of the right candidate, each candidate standing for several."""
    features, log_weights = padded(examples, chosen)
    scores = network(torch.from_numpy(features)) + torch.from_numpy(log_weights)
    right = torch.zeros(len(chosen), dtype=torch.int64)
    losses = functional.cross_entropy(scores, right, reduction="none")
    return losses * torch.from_numpy(examples.worth[chosen])


def padded(examples: Examples, chosen: Ints) -> tuple[Matrix, Matrix]:
    """Return float32[b, c, f] features and float32[b, c] log weights of some lists, padded."""
    first, last = examples.offsets[chosen], examples.offsets[chosen + 1]
    places = np.arange(int((last - first).max()))
    inside = places < (last - first)[:, None]
    at = np.where(inside, first[:, None] + places, 0)
    log_weights = np.where(inside, examples.log_weights[at], np.float32(_NOWHERE))
    return examples.features[at].astype(np.float32), log_weights
