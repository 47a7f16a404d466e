"""The reader of streamed completions: any cutting of the bytes, other forms, and nonsense."""

from itertools import pairwise

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.core.errors import LanguageModelError
from app.language_model.chat_stream import TextReader
from tests.chat_server import event, piece

STREAM = b": hello\n\nevent: x\n" + piece("One ") + piece("二。") + piece("") + event("[DONE]")


def read(*parts: bytes) -> tuple[list[str], bool]:
    pieces: list[str] = []
    reader = TextReader(pieces.append)
    for part in parts:
        reader.take(part)
    return pieces, reader.complete()


@given(st.lists(st.integers(0, len(STREAM)), max_size=8))
def test_any_cutting_gives_the_same_pieces(cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(STREAM)]
    parts = [STREAM[a:b] for a, b in pairwise(places)]
    assert read(*parts) == (["One ", "二。"], True)


def test_a_whole_answer_and_other_ends_are_read() -> None:
    whole = orjson.dumps({"choices": [{"message": {"content": "All."}}]})
    assert read(b"\n", whole[:9], whole[9:]) == (["All."], True)
    last = event({"choices": [{"delta": {}, "finish_reason": "stop"}]})
    assert read(piece("a"), last, event({"choices": [], "usage": {}})) == (["a"], True)
    assert read(piece("a"), b"data: [DONE]") == (["a"], True)
    assert read(piece("a")) == (["a"], False)
    assert read() == ([], False)


@pytest.mark.parametrize(
    "data",
    [
        *("{", "[1]", '{"choices": 1}', '{"choices": [1]}', '{"error": {}}'),
        '{"choices": [{"delta": {"content": 1}}]}',
    ],
)
def test_what_is_no_completion_is_an_error(data: str) -> None:
    with pytest.raises(LanguageModelError):
        read(event(data))
    with pytest.raises(LanguageModelError):
        read(b"<html>\n" + event("{"))
