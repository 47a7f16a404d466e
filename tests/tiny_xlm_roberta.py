"""Random XLM-Rs of a few pieces: positions behind the padding token, and a Unigram vocabulary."""

from pathlib import Path

import torch
from sentence_transformers.sentence_transformer.modules import Transformer
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

#: With the number of each piece as in XLM-R: <s> 0, <pad> 1, </s> 2, <unk> 3.
PIECES = [
    "<s>",
    "<pad>",
    "</s>",
    "<unk>",
    "▁",
    "▁red",
    "▁sofa",
    "s",
    "▁oak",
    "▁table",
    "!",
    "▁太空",
]
PIECES += ["冒险", "科", "幻", ":", "▁query", "▁passage", "▁the", "a", "o", "<mask>"]
SIZES = {
    "vocab_size": len(PIECES) + 3,  # more rows than pieces, as in XLM-R
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 3,
    "intermediate_size": 64,
    "max_position_embeddings": 18,
    "pad_token_id": 1,
    "type_vocab_size": 1,
    "initializer_range": 0.2,
}


def unigram() -> Tokenizer:
    """Return a tokenizer built like that of XLM-R."""
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in PIECES], unk_id=3))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
    )
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return tokenizer


def tiny_xlm_roberta(folder: Path, **changes: object) -> Transformer:
    """Return a random model, saved below `folder` and loaded from there."""
    torch.manual_seed(7)
    XLMRobertaModel(XLMRobertaConfig(**SIZES | changes)).save_pretrained(folder)
    PreTrainedTokenizerFast(
        tokenizer_object=unigram(),
        bos_token="<s>",
        eos_token="</s>",
        cls_token="<s>",
        sep_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        mask_token="<mask>",
        model_max_length=16,
    ).save_pretrained(folder)
    return Transformer(str(folder))
