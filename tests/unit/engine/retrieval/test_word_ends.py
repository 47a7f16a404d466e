"""Words of a vocabulary by their beginning and their end, against plain string methods."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from app.domain.columns import StringColumn, encode_column
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.word_ends import MAX_POSTINGS, MAX_WORDS, WordEnds

LETTERS = st.text("abé龙", min_size=1, max_size=12)


def ends_of(words: list[str], frequency: dict[str, int] | None = None) -> WordEnds:
    words = sorted(words, key=str.encode)
    backwards = sorted(range(len(words)), key=lambda n: words[n].encode()[::-1])
    counts = [(frequency or {}).get(word, 1) for word in words]
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    column = StringColumn(encode_column("string", words))
    return WordEnds(column, np.array(backwards, np.int32), offsets)


@given(st.sets(LETTERS, max_size=40), LETTERS)
def test_they_are_those_that_begin_or_end_alike(words, part):
    ordered = sorted(words, key=str.encode)
    ends = ends_of(ordered)
    begin = {ordered[n] for n in ends.beginning_with(part).tolist()}
    end = {ordered[n] for n in ends.ending_in(part).tolist()}
    assert begin == {word for word in words if word.startswith(part) and word != part}
    assert ends.begins_longer(part) == bool(begin)
    assert end - {part} == {word for word in words if word.endswith(part) and word != part}


def test_the_most_frequent_count_and_no_more_than_a_bound():
    words = [f"wa{n:03}" for n in range(200)]
    many = ends_of(words, {"wa150": 9, "wa007": 5})
    found = many.beginning_with("wa").tolist()
    assert found[:3] == [150, 7, 0]
    assert len(found) == MAX_WORDS
    heavy = ends_of(words, {"wa150": MAX_POSTINGS, "wa007": MAX_POSTINGS})
    assert heavy.beginning_with("wa").tolist() == [7]


def test_compounds_are_found_by_their_last_part():
    titles = ["Fridgemagnet", "fridge", "magnet", "xyzmagnet", "Geburtstagskarte", "geburtstag"]
    arrays = lexical_arrays([*titles, "karte"], [*titles, "karte"])
    words = [column_value(arrays, n) for n in range(len(arrays["compound/offsets"]) - 1)]
    bounds = arrays["compound/offsets"].tolist()
    compounds = {
        word: [words[n] for n in arrays["compound/words"][bounds[i] : bounds[i + 1]].tolist()]
        for i, word in enumerate(words)
    }
    # What stands before the last part must be a word as well, perhaps with a link.
    assert compounds["magnet"] == ["fridgemagnet"]
    assert compounds["karte"] == ["geburtstagskarte"]
    assert compounds["fridge"] == []


def column_value(arrays, number):
    parts = {name.removeprefix("word/"): part for name, part in arrays.items() if "word/" in name}
    return StringColumn(parts).value(number)
