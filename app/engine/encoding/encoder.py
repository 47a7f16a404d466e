"""Text to vectors: a sentence encoder, without torch, on the fastest runtime this machine has.

Several runtimes compute the same vectors:

    app.engine.kernels.encoder      our own kernel, on x86-64 with AMX, AVX-512 VNNI or AVX2
    app.engine.encoding.onnx        ONNX Runtime, everywhere, and for models unlike BERT
    app.engine.encoding.torch_gpu   torch, on a GPU; loaded only where the settings ask for one

The files that they read are written by `app.offline.encoder.export`.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pydantic import TypeAdapter
from tokenizers import Tokenizer

from app.bundle.encoder_info import INFO_FILE, EncoderInfo
from app.core.errors import BundleError, DeviceError, EngineError
from app.core.types import Device, Mask, TextRole
from app.engine.encoding.device import require
from app.engine.encoding.onnx import GraphRuntime, TracedRuntime
from app.engine.encoding.tokens import Tokens, informative_tokens, unknown_token
from app.engine.kernels.encoder import KernelRuntime
from app.engine.kernels.instruction_set import InstructionSet
from app.engine.kernels.loader import KernelMismatch, Unavailable

RuntimeName: TypeAlias = InstructionSet | Literal["onnxruntime", "torch-cpu", "torch-cuda"]
"""Those of torch are only used when named; `torch-cpu` is for tests, see `torch_gpu`."""

_log = logging.getLogger(__name__)


class Runtime(Protocol):
    """Runs texts of token numbers through the transformer."""

    def run(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], rows of unit norm.

        Args:
            tokens: token numbers of each text, at least one.

        Raises:
            ValueError: a token has no row in the weights.
        """


class PackedEncoder:
    """The `Encoder` port over an exported folder.

    Blocking. Calls of several threads may overlap. Keeps no state between calls.
    `runtime` says which one runs.
    """

    def __init__(self, directory: Path, threads: int, runtime: RuntimeName | None = None) -> None:
        """Load an exported encoder.

        Args:
            directory: holds `encoder.json` and the files that it names.
            threads: threads of one call, the calling one included; ≥ 1. Torch has its own.
            runtime: this one and no other; without it our kernel with the fastest instruction set,
                or ONNX Runtime with a warning.

        Raises:
            BundleError: a file is missing, damaged or not readable by this runtime.
            Unavailable: `runtime` asks for a kernel that this machine cannot run.
            DeviceError, EngineError: it asks for a GPU that cannot be used, or failed.
        """
        if threads < 1:
            raise ValueError("threads must be at least 1")
        try:
            info = TypeAdapter(EncoderInfo).validate_json((directory / INFO_FILE).read_bytes())
            tokenizer = Tokenizer.from_file(str(directory / info.tokenizer))
            self._tokens = Tokens(tokenizer)
            self._informative = informative_tokens(tokenizer)
            self._unknown = unknown_token(tokenizer)
            self.runtime, self._runtime = _open(directory, info, threads, runtime)
            self.centre = _centre(info)
        except (Unavailable, KernelMismatch, DeviceError, EngineError):
            raise
        except Exception as error:  # runtimes and the tokenizer raise bare `Exception`s
            raise BundleError("the encoder cannot be loaded") from error
        self.id = info.id
        self.dim = info.dim
        self._prompts: dict[TextRole, str] = {"item": info.item_prompt, "query": info.query_prompt}
        self.n_tokens = tokenizer.get_vocab_size()
        self.tokenizer = tokenizer

    def tokens(self, texts: Sequence[str], role: TextRole | None = None) -> list[list[int]]:
        """Return the token numbers of each text, special ones included: at least one.

        Those of the prompt of `role` are among them; None = without any prompt.

        Raises:
            EngineError: a text is not valid Unicode.
        """
        prompt = "" if role is None else self._prompts[role]
        try:
            return [self._tokens.of(prompt + text) for text in texts]
        except Exception as error:  # see __init__
            raise EngineError("the texts could not be encoded") from error

    def is_cut(self, text: str) -> bool:
        """Tell whether the text of an item is longer than what is read of it.

        Raises:
            EngineError: it is not valid Unicode.
        """
        bounds = self.tokenizer.truncation
        if not bounds or len(text) < bounds["max_length"]:  # a token has a character at least
            return False
        return len(self.tokens([text], "item")[0]) >= int(bounds["max_length"])

    def knows(self, texts: Sequence[str]) -> Mask:
        """Return bool[len(texts)]: whether most of a text is known; see the port.

        That is, its tokens say more than there are unknown ones. The vector of a text that is
        mostly unknown is that of the unknown token, whatever the text says.

        The prompts do not count: every text has them.

        Raises:
            EngineError: a text is not valid Unicode.
        """
        says, unknown = self._informative.__getitem__, self._unknown
        known = [
            any(map(str.isalnum, text)) and sum(map(says, ids)) > ids.count(unknown)
            for text, ids in zip(texts, self.tokens(texts), strict=True)
        ]
        return np.array(known, np.bool_)

    def encode(self, texts: Sequence[str], role: TextRole = "item") -> npt.NDArray[np.float32]:
        """Return float32[len(texts), dim], C-contiguous, rows of unit norm, in the order of texts.

        `role` decides which prompt of the model stands before each text.

        Raises:
            EngineError: a text is not valid Unicode, or the runtime failed.
        """
        if not texts:
            return np.empty((0, self.dim), np.float32)
        return self.encode_tokens(self.tokens(texts, role))

    def encode_tokens(self, tokens: Sequence[Sequence[int]]) -> npt.NDArray[np.float32]:
        """Return float32[len(tokens), dim], as `encode`, of texts given by `tokens`.

        Raises:
            EngineError: the runtime failed.
        """
        try:
            return self._runtime.run(tokens)
        except Exception as error:  # see __init__
            raise EngineError("the texts could not be encoded") from error


def _centre(info: EncoderInfo) -> npt.NDArray[np.float32] | None:
    if info.centre is None:
        return None
    if len(info.centre) != info.dim:
        raise ValueError("the centre has another length than the vectors")
    return np.array(info.centre, np.float32)


def _open(
    directory: Path, info: EncoderInfo, threads: int, only: RuntimeName | None
) -> tuple[RuntimeName, Runtime]:
    match only:
        case "torch-cpu" | "torch-cuda":
            return only, _on_torch(directory, info, "cuda" if only == "torch-cuda" else "cpu")
    if only != "onnxruntime":
        try:
            kernel = KernelRuntime(directory, info, threads, only)
        except Unavailable as error:
            if only:
                raise
            _log.warning("texts are encoded by ONNX Runtime, which takes longer: %s", error)
        else:
            return kernel.instruction_set, kernel
    if info.weights is None:
        return "onnxruntime", TracedRuntime(directory, info, threads)
    return "onnxruntime", GraphRuntime(directory, info, threads)


def _on_torch(directory: Path, info: EncoderInfo, device: Device) -> Runtime:
    require(device)  # first: where torch is missing, that says so
    if info.weights is None:
        raise DeviceError(f"device {device}: only ONNX Runtime runs this encoder: {info.no_kernel}")
    from app.engine.encoding.torch_gpu import TorchRuntime  # noqa: PLC0415 - not on CPU

    return TorchRuntime(directory, info, device)
