"""Random BERTs of a few tokens: the whole way of an encoder, in milliseconds."""

from pathlib import Path

import torch
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Transformer
from transformers import BertConfig, BertModel, BertTokenizer

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "red", "sofa", "oak", "table", "##s", "a"]
SIZES = {
    "vocab_size": len(WORDS),
    "hidden_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 40,
    "max_position_embeddings": 16,
    "initializer_range": 0.5,  # so that attention and order matter
}


def transformer(folder: Path, model: torch.nn.Module) -> Transformer:
    folder.mkdir()
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n", encoding="utf-8")
    BertTokenizer(str(folder / "vocab.txt"), model_max_length=16).save_pretrained(folder)
    return Transformer(str(folder))


def tiny_bert(folder: Path, **changes: object) -> Transformer:
    torch.manual_seed(7)
    return transformer(folder, BertModel(BertConfig(**SIZES | changes)))


def saved(folder: Path, *modules: torch.nn.Module) -> Path:
    SentenceTransformer(modules=list(modules), device="cpu").save_pretrained(str(folder))
    return folder
