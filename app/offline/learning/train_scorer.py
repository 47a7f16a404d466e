"""Trains the scorer: a small network with a listwise softmax over the candidates of each example.

Seeds are fixed. A tenth of the examples, the validation examples, decides when to stop. The result
is a set of arrays that `app.engine.scoring.scorer` reads. This module does not know what the
features mean.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Lock
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
MIN_EPOCHS, MIN_STEPS = 4, 400
PATIENCE = 2
VALIDATION_SHARE = 0.1

Arrays = dict[str, np.ndarray]

_FIRST_WEIGHTS = Lock()
"""Torch draws them from one generator of the process; several models may be fitted side by side."""

_PADDING = -1e9
"""Log weight of a padded candidate: its share of the softmax is 0."""


@dataclass(frozen=True, slots=True)
class TrainedScorer:
    """Arrays for `Scorer`; the validation loss of this state, and the epoch after which it was."""

    arrays: Arrays
    loss: float
    epoch: int


class Model(nn.Module, ABC):
    """A model that can be trained here and then served by `Scorer`.

    `mean`, `deviation`: float32[f] of the features; they bring all inputs to the same scale.
    `generator`: of what is random in training.
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__()
        self.mean, self.deviation = mean, deviation
        self.generator = torch.Generator()

    def inputs(self, features: Tensor) -> Tensor:
        """Return standardised features, clipped as `app.engine.scoring.scorer.Scorer` does it."""
        return ((features - self.mean) / self.deviation).clamp(-CLIP, CLIP)

    def arrays(self) -> Arrays:
        """Return the arrays that `app.engine.scoring.scorer.Scorer` reads."""
        tensors = {"mean": self.mean, "deviation": self.deviation, **self.layers()}
        return {name: tensor.detach().numpy().copy() for name, tensor in tensors.items()}

    def outputs(self, features: Tensor) -> Tensor:
        """Return [m, ..., c] scores of the m models that are fitted side by side; here it is one.

        Each has a loss of its own; their mean is served.
        """
        scores: Tensor = self(features)
        return scores[None]

    @abstractmethod
    def layers(self) -> dict[str, Tensor]:
        """Return `w1`, `b1`, `w2`, `b2` and `w3` of a scorer."""


class _ListDropout(nn.Module):
    """Drops hidden units, the same ones for all candidates of a list.

    Its masks are a hundred times smaller than those of a dropout for each candidate, which took
    almost half of the time of training. The accuracy is the same.
    """

    def __init__(self, generator: torch.Generator) -> None:
        super().__init__()
        self._generator = generator

    def forward(self, hidden: Tensor) -> Tensor:
        """Return [..., c, h] for [..., c, h]."""
        if not self.training:
            return hidden
        shape = (*hidden.shape[:-2], 1, hidden.shape[-1])
        kept = torch.rand(shape, generator=self._generator) >= DROPOUT
        return hidden * kept / (1 - DROPOUT)


class Network(Model):
    """The scorer that is served, as a torch module."""

    def __init__(self, mean: Tensor, deviation: Tensor, hidden: tuple[int, int] = HIDDEN) -> None:
        super().__init__(mean, deviation)
        self.first = nn.Linear(len(mean), hidden[0])
        self.second = nn.Linear(hidden[0], hidden[1])
        # Only differences of scores within a list count, so the last layer needs no bias.
        self.third = nn.Linear(hidden[1], 1, bias=False)
        self.drop = _ListDropout(self.generator)

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


class ThreeNetworks(Model):
    """Three small networks, fitted side by side to the same lists; their mean is served.

    They differ in their first weights and in what is dropped out. Together they cost about as much
    as one `Network`, in training and in serving.
    """

    COUNT, HIDDEN = 3, (32, 16)

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(mean, deviation)
        width, inner = self.HIDDEN
        firsts = [nn.Linear(len(mean), width) for _ in range(self.COUNT)]
        seconds = [nn.Linear(width, inner) for _ in range(self.COUNT)]
        thirds = [nn.Linear(inner, 1, bias=False) for _ in range(self.COUNT)]
        self.w1 = nn.Parameter(torch.cat([each.weight.detach() for each in firsts]))
        self.b1 = nn.Parameter(torch.cat([each.bias.detach() for each in firsts]))
        self.w2 = nn.Parameter(torch.stack([each.weight.detach().T for each in seconds]))
        self.b2 = nn.Parameter(torch.stack([each.bias.detach()[None] for each in seconds]))
        self.w3 = nn.Parameter(torch.stack([each.weight.detach().T for each in thirds]))
        self.drop = _ListDropout(self.generator)

    def outputs(self, features: Tensor) -> Tensor:
        """Return [3, ..., c] scores for [..., c, f] features, one line a network."""
        inputs = self.inputs(features)
        first = self.drop(functional.relu(functional.linear(inputs, self.w1, self.b1)))
        each = first.view(-1, self.COUNT, self.HIDDEN[0]).transpose(0, 1)
        second = functional.relu(torch.baddbmm(self.b2, each, self.w2))
        return (second @ self.w3).view(self.COUNT, *features.shape[:-1])

    def forward(self, features: Tensor) -> Tensor:
        """Return [..., c], the mean of the three."""
        return self.outputs(features).mean(0)

    def layers(self) -> dict[str, Tensor]:
        """Return the weights as those of one wide network whose second layer is in blocks."""
        return {
            "w1": self.w1,
            "b1": self.b1,
            "w2": torch.block_diag(*self.w2.transpose(1, 2)),  # type: ignore[no-untyped-call]
            "b2": self.b2.flatten(),
            "w3": self.w3.flatten() / self.COUNT,
        }


class Linear(Model):
    """A weighted sum of the features.

    The scorer has two hidden layers with relu. Since relu(x) − relu(−x) = x, two hidden units are
    enough to pass a sum through them unchanged.
    """

    def __init__(self, mean: Tensor, deviation: Tensor) -> None:
        super().__init__(mean, deviation)
        self.weights = nn.Linear(len(mean), 1, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Return [..., c] scores for [..., c, f] features."""
        scores: Tensor = self.weights(self.inputs(features)).squeeze(-1)
        return scores

    def layers(self) -> dict[str, Tensor]:
        """Return the weights under their names in a scorer."""
        signs = torch.tensor([1.0, -1.0])
        return {
            "w1": signs[:, None] * self.weights.weight,
            "b1": torch.zeros(2),
            "w2": torch.eye(2),
            "b2": torch.zeros(2),
            "w3": signs,
        }


Loss: TypeAlias = Callable[[Tensor, Tensor, Tensor], Tensor]
"""([b, c] scores, [b, c] log weights, [b, c] gains) -> [b] losses; the highest gain comes first."""


def listwise(scores: Tensor, log_weights: Tensor, gains: Tensor) -> Tensor:
    """Return −log softmax of the target over the candidates of its list.

    A sampled negative stands for w candidates. Adding log w to its score counts its e^score w
    times, as a softmax over all candidates would. Where several candidates have gains, it is the
    mean by their shares of the gain. So items of the same gain want the same score.
    """
    if not gains[:, 1:].any():
        target = torch.zeros(len(scores), dtype=torch.int64)
        return functional.cross_entropy(scores + log_weights, target, reduction="none")
    shares = gains * log_weights.exp()
    shares = shares / shares.sum(dim=1, keepdim=True)
    return functional.cross_entropy(scores + log_weights, shares, reduction="none")


def split(n: int, seed: int) -> tuple[Ints, Ints]:
    """Return int64 twice: which of n examples are for training, and which for validation."""
    order = np.random.default_rng(seed).permutation(n)
    n_validation = max(1, int(n * VALIDATION_SHARE))
    return order[n_validation:], order[:n_validation]


def train(
    examples: Examples,
    seed: int,
    make: Callable[[Tensor, Tensor], Model] = Network,
    loss_of: Loss = listwise,
) -> TrainedScorer:
    """Fit a model to at least two examples; return its state of the lowest validation loss.

    Time is O(epochs · candidates · parameters); memory is that of the examples.

    Args:
        examples: lists of candidates, the target first.
        seed: of the split, the weights and the order of the examples.
        make: makes the model of float32[f] mean and deviation; the ablation passes other models.
        loss_of: the loss of each list; the ablation passes other losses.
    """
    rng = np.random.default_rng(seed)
    training, validation = split(len(examples), seed)
    mean, deviation = _moments(examples)
    with _FIRST_WEIGHTS:
        torch.manual_seed(seed)
        network = make(torch.from_numpy(mean), torch.from_numpy(deviation))
    network.generator.manual_seed(seed)
    steps = -(-len(training) // BATCH)
    epochs = max(MIN_EPOCHS, -(-MIN_STEPS // steps))
    optimizer = torch.optim.AdamW(
        network.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True
    )
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, LEARNING_RATE, total_steps=epochs * steps + 1, pct_start=0.1
    )
    best = TrainedScorer(network.arrays(), float("inf"), 0)
    for epoch in range(1, epochs + 1):
        network.train()
        batches = np.array_split(rng.permutation(training), steps)
        for chosen in tqdm(batches, desc="scorer", disable=None):
            optimizer.zero_grad()
            losses = _losses(network.outputs, loss_of, examples, chosen)
            losses.mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            rates.step()
        loss = _validation(network=network, loss_of=loss_of, examples=examples, chosen=validation)
        if loss < best.loss:
            best = TrainedScorer(network.arrays(), loss, epoch)
        elif epoch - best.epoch >= PATIENCE:
            break
    return best


def _moments(examples: Examples) -> tuple[Matrix, Matrix]:
    """Return float32[f] twice: mean and standard deviation of the features of the candidates."""
    # Half a million rows are enough for moments.
    sample = examples.features[:: max(1, len(examples.features) // 500_000)].astype(np.float32)
    mean, deviation = sample.mean(axis=0), sample.std(axis=0)
    # A feature that hardly varies tells nothing. Dividing by its deviation, almost 0, would only
    # blow up rounding errors.
    is_constant = deviation <= 1e-3 * np.abs(mean) + 1e-9
    scale = np.where(is_constant, np.maximum(np.abs(mean), 1.0), deviation)
    return mean, scale.astype(np.float32)


@torch.inference_mode()
def _validation(network: Model, loss_of: Loss, examples: Examples, chosen: Ints) -> float:
    network.eval()
    losses = [_losses(network, loss_of, examples, part) for part in _batches(chosen)]
    return float(torch.cat(losses).mean())


def _batches(chosen: Ints) -> Iterator[Ints]:
    for start in range(0, len(chosen), BATCH):
        yield chosen[start : start + BATCH]


def _losses(
    scores_of: Callable[[Tensor], Tensor], loss_of: Loss, examples: Examples, chosen: Ints
) -> Tensor:
    """Return [b]: the losses of some lists, each times the weight of its event.

    `scores_of`: [b, c, f] features -> [b, c] scores, or [m, b, c] of m models. The losses of these
    are added, not averaged: so each model learns as fast as it would alone.
    """
    features, log_weights, gains = map(torch.from_numpy, padded(examples, chosen))
    scores = scores_of(features)
    lists = [part.expand_as(scores).flatten(0, -2) for part in (scores, log_weights, gains)]
    losses = loss_of(*lists).view(-1, len(chosen)).sum(0)
    return losses * torch.from_numpy(examples.sample_weight[chosen])


def padded(examples: Examples, chosen: Ints) -> tuple[Matrix, Matrix, Matrix]:
    """Return float32[b, c, f] features, and float32[b, c] log weights and gains, of some lists."""
    first, last = examples.offsets[chosen], examples.offsets[chosen + 1]
    positions = np.arange(int((last - first).max()))
    inside = positions < (last - first)[:, None]
    at = np.where(inside, first[:, None] + positions, 0)
    log_weights = np.where(inside, examples.log_weights[at], np.float32(_PADDING))
    gains = np.where(inside, examples.gains[at], np.float32(0.0))
    return examples.features[at].astype(np.float32), log_weights, gains
