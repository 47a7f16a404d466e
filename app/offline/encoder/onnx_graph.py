"""The ONNX graph of an exported encoder, without padding; its weights stay in their own file.

It is built node by node. Dense layers run over the tokens of all texts, end to end; only attention
sees them padded to [texts, longest], by one gather before it and one after it. The inputs of the
graph are filled by `app.engine.encoding.onnx.pack`.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from app.bundle.encoder_info import EncoderInfo
from app.engine.encoding.onnx import OUTPUT

OPSET = 20  # the first with Gelu
IR_VERSION = 9  # the one of that opset: older runtimes read it too
_TYPES = {"F16": TensorProto.FLOAT16, "F32": TensorProto.FLOAT}


def graph_of(weights: Path, info: EncoderInfo) -> onnx.ModelProto:
    """Return the graph over a file of weights, for a place beside that file."""
    return _Graph(info, _stored(weights)).model()


def _stored(path: Path) -> dict[str, onnx.TensorProto]:
    """Return the arrays of a safetensors file by name, as references into that file."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    header.pop("__metadata__", None)
    found = {}
    for name, facts in header.items():
        begin, end = facts["data_offsets"]
        where = {"location": path.name, "offset": 8 + size + begin, "length": end - begin}
        tensor = TensorProto(name=name, data_type=_TYPES[facts["dtype"]], dims=facts["shape"])
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in where.items():
            tensor.external_data.add(key=key, value=str(value))
        found[name] = tensor
    return found


class _Graph:
    """Builds the graph; each method adds nodes and returns the name of its result."""

    def __init__(self, info: EncoderInfo, stored: dict[str, onnx.TensorProto]) -> None:
        self._info = info
        self._nodes: list[onnx.NodeProto] = []
        self._constants = list(stored.values())

    def model(self) -> onnx.ModelProto:
        x = self._embeddings()
        bias = self._op("Unsqueeze", "bias", self._constant(np.array([1, 2])))
        for layer in range(self._info.layers):
            x = self._layer(f"{layer}.", x, bias)
        weights = self._op("Unsqueeze", "pool", self._constant(np.array([1])))
        pooled = self._op("MatMul", weights, self._op("Gather", x, "pad"))
        flat = self._op("Squeeze", pooled, self._constant(np.array([1])))
        unit = helper.make_node("LpNormalization", [flat], [OUTPUT], axis=-1, p=2)
        self._nodes.append(unit)
        return self._assemble()

    def _assemble(self) -> onnx.ModelProto:
        tokens: list[str | int | None] = ["tokens"]
        cells: list[str | int | None] = ["texts", "longest"]
        whole, real = TensorProto.INT64, TensorProto.FLOAT
        inputs = [
            helper.make_tensor_value_info(name, kind, shape)
            for name, kind, shape in (
                ("ids", whole, tokens),
                ("positions", whole, tokens),
                ("pad", whole, cells),
                ("unpad", whole, tokens),
                ("bias", real, cells),
                ("pool", real, cells),
            )
        ]
        shape: list[str | int | None] = ["texts", self._info.dim]
        output = helper.make_tensor_value_info(OUTPUT, real, shape)
        graph = helper.make_graph(self._nodes, "encoder", inputs, [output], self._constants)
        opset = helper.make_opsetid("", OPSET)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)

    def _embeddings(self) -> str:
        # Widened after the gather, so the table stays at half size in memory too.
        rows = [
            self._widen(self._op("Gather", table, index))
            for table, index in (("words", "ids"), ("places", "positions"))
        ]
        return self._norm("embedded", self._op("Add", *rows))

    def _layer(self, name: str, x: str, bias: str) -> str:
        attended = self._dense(name + "mix", self._attend(name, x, bias))
        x = self._norm(name + "mixed", self._op("Add", attended, x))
        wide = self._op("Gelu", self._dense(name + "widen", x))
        return self._norm(name + "out", self._op("Add", self._dense(name + "narrow", wide), x))

    def _attend(self, name: str, x: str, bias: str) -> str:
        heads, width = self._info.heads, self._info.dim
        padded = self._op("Gather", self._dense(name + "qkv", x), "pad")
        split = self._constant(np.array([0, 0, 3, heads, width // heads]))
        split = self._op("Transpose", self._op("Reshape", padded, split), perm=[2, 0, 3, 1, 4])
        q, k, v = (self._op("Gather", split, self._constant(np.array(i))) for i in range(3))
        scale = self._constant(np.float32((width // heads) ** -0.5))
        scores = self._op("MatMul", q, self._op("Transpose", k, perm=[0, 1, 3, 2]))
        scores = self._op("Add", self._op("Mul", scores, scale), bias)
        mixed = self._op("MatMul", self._op("Softmax", scores, axis=-1), v)
        rows = self._op("Transpose", mixed, perm=[0, 2, 1, 3])
        rows = self._op("Reshape", rows, self._constant(np.array([-1, width])))
        return self._op("Gather", rows, "unpad")

    def _dense(self, name: str, x: str) -> str:
        weight = self._widen(name + ".weight")
        return self._op("Gemm", x, weight, name + ".bias", transB=1)

    def _norm(self, name: str, x: str) -> str:
        eps = self._info.epsilon
        inputs = (x, name + ".scale", name + ".shift")
        return self._op("LayerNormalization", *inputs, axis=-1, epsilon=eps)

    def _widen(self, value: str) -> str:
        return self._op("Cast", value, to=TensorProto.FLOAT)

    def _constant(self, value: npt.NDArray[Any] | np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.array(value, order="C"), name))
        return name

    def _op(self, kind: str, *inputs: str, **attributes: Any) -> str:  # noqa: ANN401
        result = f"{kind}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(kind, list(inputs), [result], **attributes))
        return result
