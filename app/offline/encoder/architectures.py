"""Which transformers compute what BERT computes, so that our own kernel and graph can run them.

RoBERTa, XLM-R and CamemBERT have BERT's layers under BERT's names. They differ in how a text is
cut into tokens, which is the tokenizer's matter, and in the row of the position embeddings that the
first token of a text gets.
"""

from typing import Any, Final

from app.bundle.encoder_info import Pooling

#: Classes of transformers.
_LIKE_BERT: Final = ("BertModel", "RobertaModel", "XLMRobertaModel", "CamembertModel")

#: The pooling modes of sentence-transformers that we know. The sum of the vectors divided by the
#: square root of their number points where their mean does, and only the direction counts.
_POOLINGS: Final[dict[str, Pooling]] = {
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean",
    "cls": "cls",
    "weightedmean": "weighted_mean",
}

_CHAIN: Final = ("Transformer", "Pooling", "Normalize")


def unlike_bert(source: Any) -> str:  # noqa: ANN401 - its modules are typed as bare torch modules
    """Return the part of a sentence-transformer that BERT does not have; "" if there is none."""
    names = tuple(type(module).__name__ for module in source)
    if names not in (_CHAIN, _CHAIN[:2]):
        return "its modules are " + ", ".join(names)
    config, name = source[0].auto_model.config, type(source[0].auto_model).__name__
    if name not in _LIKE_BERT:
        return f"its architecture is {name}"
    if config.hidden_act != "gelu":
        return f"its activation is {config.hidden_act!r}"
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        return "its positions are not absolute"
    if config.is_decoder:
        return "it is a decoder"
    mode = source[1].pooling_mode
    return "" if mode in _POOLINGS else f"its pooling is {mode!r}"


def pooling_of(source: Any) -> Pooling:  # noqa: ANN401
    """Return how a model that is like BERT pools."""
    return _POOLINGS[source[1].pooling_mode]


def first_position(transformer: Any) -> int:  # noqa: ANN401
    """Return the row of the position embeddings that the first token of a text gets.

    Where these embeddings have a row for padding, texts begin behind it, as in RoBERTa.
    """
    embeddings = getattr(transformer, "embeddings", None)
    places = getattr(embeddings, "position_embeddings", None)
    padding: int | None = getattr(places, "padding_idx", None)
    return 0 if padding is None else padding + 1
