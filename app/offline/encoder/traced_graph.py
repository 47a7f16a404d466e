"""The ONNX graph of a whole sentence-transformer, traced by torch, for models unlike BERT.

Every module is in it, from the transformer to the last one, in float32. It takes padded texts, and
only ONNX Runtime runs it. So it is slower than what `app.offline.encoder.packed_files` writes, and
it can run what our own code does not know.
"""

import warnings
from pathlib import Path
from typing import Any, Final

import torch

from app.core.errors import BundleError
from app.engine.encoding.onnx import OUTPUT

_OPSET: Final = 17


class _Whole(torch.nn.Module):
    """The model as a function of two tensors."""

    def __init__(self, source: torch.nn.Module) -> None:
        super().__init__()
        self._source = source

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        features = self._source({"input_ids": ids, "attention_mask": mask})
        vectors: torch.Tensor = features["sentence_embedding"]
        return vectors


def write_traced_graph(source: Any, padding: int, path: Path) -> None:  # noqa: ANN401
    """Write the graph: `ids` and `mask`, int64[texts, longest], to float32[texts, dim].

    Args:
        source: the sentence-transformer.
        padding: number of the padding token.
        path: of the file.

    Raises:
        BundleError: torch cannot trace the model.
    """
    # Two lengths, so that nothing takes for granted that there is no padding.
    mask = torch.tensor([[1] * 6, [1] * 4 + [0] * 2])
    real = (padding + 1 + torch.arange(12).view(2, 6)) % source[0].auto_model.config.vocab_size
    ids = torch.where(mask == 1, real, padding)
    axes = {0: "texts", 1: "longest"}
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")  # what is traced is compared with the original later
            torch.onnx.export(
                _Whole(source).eval(),
                (ids, mask),
                str(path),
                input_names=["ids", "mask"],
                output_names=[OUTPUT],
                dynamic_axes={"ids": axes, "mask": axes, OUTPUT: {0: "texts"}},
                opset_version=_OPSET,
                dynamo=False,  # the exporter by tracing needs no further package
            )
    except Exception as error:  # torch and the model's own code raise anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise BundleError(f"this encoder cannot be exported: {first}") from error
