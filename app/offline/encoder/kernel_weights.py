"""Int8 weights of BERT's dense layers, in the layout that our kernel reads.

`app.offline.encoder.quantise` rounds the weights of a layer for the inputs that the layer gets. For
that, texts are sent through the model and the inputs of each layer are recorded: texts drawn from
the vocabulary (`app.offline.encoder.vocabulary_texts`), with the prompts of the model.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from app.engine.kernels.encoder import GROUP, PANEL
from app.offline.encoder.quantise import Seen, quantise
from app.offline.encoder.vocabulary_texts import vocabulary_texts

_TEXTS: Final = ((700, 8), (300, 32))
"""How many texts of up to how many tokens: most are as short as queries."""

_BATCH: Final = 64
_SEED: Final = 7

#: The module of BERT whose input is the input of each of our four dense layers.
_MODULES: Final = {
    "qkv": "attention.self.query",
    "mix": "attention.output.dense",
    "widen": "intermediate.dense",
    "narrow": "output.dense",
}


def kernel_arrays(
    bert: Any,  # noqa: ANN401
    tokenizer: Tokenizer,
    weights: Mapping[str, npt.NDArray[Any]],
    prompts: Sequence[str],
) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of each dense layer, except its bias.

    Args:
        bert: the transformer, in torch.
        tokenizer: its own, cutting to the longest text.
        weights: float16[n, k] by name, as `0.qkv.weight`.
        prompts: what stands before texts, each before an equal part of them.

    Returns:
        NAME.weight: int8[n / PANEL, k / GROUP, PANEL, GROUP], panels of rows, groups along k.
        NAME.scale, .sums, .factor: see `Quantised`.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, seen in _seen(bert, tokenizer, prompts).items():
        made = quantise(weights[name + ".weight"].astype(np.float32), seen)
        arrays |= {
            name + ".weight": _panels(made.integers),
            name + ".scale": made.scale,
            name + ".sums": made.sums(),
            name + ".factor": made.factor,
        }
    return arrays


def _panels(integers: npt.NDArray[np.int8]) -> npt.NDArray[np.int8]:
    n, k = integers.shape
    panels = integers.reshape(n // PANEL, PANEL, k // GROUP, GROUP)
    return np.ascontiguousarray(panels.transpose(0, 2, 1, 3))


def _seen(
    bert: Any,  # noqa: ANN401
    tokenizer: Tokenizer,
    prompts: Sequence[str],
) -> dict[str, Seen]:
    """Send texts through the model and record the inputs of its dense layers."""
    watched: dict[str, _Watch] = {}
    with ExitStack() as hooks, torch.inference_mode():
        for number, layer in enumerate(bert.encoder.layer):
            for name, module in _MODULES.items():
                watch = watched[f"{number}.{name}"] = _Watch()
                handle = layer.get_submodule(module).register_forward_pre_hook(watch)
                hooks.callback(handle.remove)
        for batch in _batches(tokenizer, prompts):
            bert(input_ids=batch)
    return {name: watch.seen() for name, watch in watched.items()}


class _Watch:
    """A hook that sums up the inputs of a module."""

    def __init__(self) -> None:
        self._parts: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._n = 0

    def __call__(self, _module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        x = inputs[0].reshape(-1, inputs[0].shape[-1])
        now = ((x.T @ x).double(), x.amin(0), x.amax(0))
        if self._parts:
            products, lowest, highest = self._parts.pop()
            now = (products + now[0], lowest.minimum(now[1]), highest.maximum(now[2]))
        self._parts.append(now)
        self._n += len(x)

    def seen(self) -> Seen:
        products, lowest, highest = self._parts[0]
        return Seen((products / self._n).numpy(), lowest.numpy(), highest.numpy())


def _batches(tokenizer: Tokenizer, prompts: Sequence[str]) -> Iterator[torch.Tensor]:
    """Yield int64[texts, length]: random texts in batches of equal length, without padding."""
    by_length: dict[int, list[list[int]]] = defaultdict(list)
    for number, text in enumerate(vocabulary_texts(tokenizer, _TEXTS, _SEED)):
        ids = tokenizer.encode(prompts[number % len(prompts)] + text).ids
        by_length[len(ids)].append(ids)
    for texts in by_length.values():
        for start in range(0, len(texts), _BATCH):
            yield torch.tensor(texts[start : start + _BATCH])
