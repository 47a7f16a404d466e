"""Trains the scorer: a small network, listwise softmax over the candidates of each example.

Seeds are fixed; a tenth of the examples decides when to stop. What is written is read by
`app.engine.scoring.scorer`. This module does not know what the features mean.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from tqdm import tqdm

from app.core.types import Matrix
from app.engine.scoring.scorer import CLIP
from app.offline.learning.examples import Examples
from app.offline.learning.sequences import Ints

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


class Model(nn.Module, ABC):
    """What can be trained here, and then served: float32[f] moments make its inputs even."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation

    def inputs(self, features: Tensor) -> Tensor:
        """Return features as `app.engine.scoring.scorer.Scorer` reads them."""
        return ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)

    def arrays(self) -> Arrays:
        """Return what `app.engine.scoring.scorer.Scorer` takes."""
        tensors = {"mean": self.mean, "deviation": self.deviation, **self.layers()}
        return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}

    @abstractmethod
    def layers(self) -> dict[str, Tensor]:
        """Return `w1`, `b1`, `w2`, `b2` and `w3` of a scorer."""


class Network(Model):
    """The scorer as torch sees it."""

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(mean, deviation)
        self.first = nn.Linear(len(mean), HIDDEN[0])
        self.second = nn.Linear(*HIDDEN)
        # Within a list only differences count: the last layer needs no bias.
        self.third = nn.Linear(HIDDEN[1], 1, bias=False)
        self.drop = nn.Dropout(DROPOUT)

    def forward(self, features: Tensor) -> Tensor:
        """Return [..., c] scores for [..., c, f] features."""
        hidden = self.drop(functional.relu(self.first(self.inputs(features))))
        scores: Tensor = self.third(functional.relu(self.second(hidden))).squeeze(-1)
        return scores

    def layers(self) -> dict[str, Tensor]:
        """Return the weights under their names in a scorer."""
        return {
            "w1": self.first.weight,
            "b1": self.first.bias,
            "w2": self.second.weight,
            "b2": self.second.bias,
            "w3": self.third.weight[0],
        }


Loss: TypeAlias = Callable[[Tensor, Tensor], Tensor]
"""([b, c] scores, [b, c] log weights) -> [b]; the right candidate of each list stands first."""


def listwise(scores: Tensor, log_weights: Tensor) -> Tensor:
    """Return −log softmax of the right candidate, each candidate standing for several."""
    right = torch.zeros(len(scores), dtype=torch.int64)
    return functional.cross_entropy(scores + log_weights, right, reduction="none")


def split(n: int, seed: int) -> tuple[Ints, Ints]:
    """Return which of n examples to train on, and which to stop by."""
    order = np.random.default_rng(seed).permutation(n)
    held = max(1, int(n * VALIDATION_SHARE))
    return order[held:], order[:held]


def train(
    examples: Examples,
    seed: int,
    make: Callable[[Tensor, Tensor], Model] = Network,
    loss_of: Loss = listwise,
) -> Trained:
    """Fit the network; at least two examples are needed. Others are fitted to compare with it.

    Time O(epochs · candidates kept · parameters); memory is that of the examples.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    learn, stop = split(len(examples), seed)
    network = make(*map(torch.from_numpy, _moments(examples)))
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
            losses = _losses(network, loss_of, examples, chosen)
            losses.mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        loss = _validation(network, loss_of, examples, stop)
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
def _validation(network: Model, loss_of: Loss, examples: Examples, chosen: Ints) -> float:
    network.eval()
    parts = [_losses(network, loss_of, examples, part) for part in _parts(chosen)]
    return float(torch.cat(parts).mean())


def _parts(chosen: Ints) -> Iterator[Ints]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _losses(network: Model, loss_of: Loss, examples: Examples, chosen: Ints) -> Tensor:
    """Return [b], the loss of some lists, each times what its event is worth."""
    features, log_weights = padded(examples, chosen)
    losses = loss_of(network(torch.from_numpy(features)), torch.from_numpy(log_weights))
    return losses * torch.from_numpy(examples.sample_weight[chosen])


def padded(examples: Examples, chosen: Ints) -> tuple[Matrix, Matrix]:
    """Return float32[b, c, f] features and float32[b, c] log weights of some lists, padded."""
    first, last = examples.offsets[chosen], examples.offsets[chosen + 1]
    places = np.arange(int((last - first).max()))
    inside = places < (last - first)[:, None]
    at = np.where(inside, first[:, None] + places, 0)
    log_weights = np.where(inside, examples.log_weights[at], np.float32(_NOWHERE))
    return examples.features[at].astype(np.float32), log_weights
