"""Which tokens say something of a text, in vocabularies of pieces and of bytes."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers

from app.engine.encoding.tokens import informative_tokens


def informative(tokenizer: Tokenizer) -> set[str]:
    flags = informative_tokens(tokenizer)
    return {token for token, number in tokenizer.get_vocab().items() if flags[number]}


def test_pieces_with_a_letter_or_digit_but_not_the_unknown_one_or_bytes():
    pieces = ["unk", "▁", "▁red", "▁!", "1", "科", "<0x41>", "…"]
    tokenizer = Tokenizer(models.Unigram([(piece, -1.0) for piece in pieces], unk_id=0))
    assert informative(tokenizer) == {"▁red", "1", "科"}


def test_special_tokens_are_never_informative():
    tokenizer = Tokenizer(models.Unigram([("s", 0.0), ("red", -1.0)], unk_id=None))
    tokenizer.add_special_tokens(["s"])
    assert informative(tokenizer) == {"red"}


def test_tokens_of_bytes_are_read_as_the_text_that_they_stand_for():
    vocabulary = {"Ġ": 0, "Ġ!": 1, "Ġred": 2, "ç": 3, "ç§ĳ": 4, "âĢ¦": 5, "7": 6}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    tokenizer.decoder = decoders.ByteLevel()
    # "ç" is the first byte of "科", and "âĢ¦" the three of "…".
    assert informative(tokenizer) == {"Ġred", "ç", "ç§ĳ", "7"}
