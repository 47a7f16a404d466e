"""Features of a query and its candidates: words that are looked up, in one index and in several."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.retrieval.lexical import LexicalIndex
from app.engine.retrieval.lexical_arrays import lexical_arrays
from app.engine.retrieval.live_lexical import LiveLexicalIndex

TITLES = [
    "The Matrix",
    "Matrix Reloaded",
    "Rocky IV",
    "Rocky 2",
    "Lord of the Rings",
    None,
    "The The",
    "Samsung Galaxy S21 case",
]
TEXTS = [
    "hacker learns truth",
    "hacker 1999",
    "boxing",
    "boxing sequel",
    "hobbit rings",
    "matrix hacker boxing",
    "band",
    "phone galaxy",
]


def index_of(titles=TITLES, texts=TEXTS):
    return LexicalIndex(lexical_arrays(titles, texts))


def features(index, query, rows=None):
    """{feature: values of the candidates}"""
    rows = np.arange(len(TITLES)) if rows is None else np.array(rows)
    lines = index.features([query], [rows])
    assert lines.dtype == np.float32
    return dict(zip(LEXICAL_FEATURES, lines.tolist(), strict=True))


def nearly(values):
    return pytest.approx(values, rel=1e-5, abs=1e-7)


def test_a_title_is_compared_word_by_word():
    found = features(index_of(), "matrix reloaded")
    assert found["whole_title"] == [0, 1, 0, 0, 0, 0, 0, 0]
    assert found["starts"] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert found["phrase"] == [0.5, 1, 0, 0, 0, 0, 0, 0]
    assert found["title_covered"] == [1, 1, 0, 0, 0, 0, 0, 0]
    assert found["title_words"] == nearly(np.log1p([1, 2, 2, 2, 2, 0, 0, 4]).tolist())
    assert found["title_coverage"][1] == nearly(1.0)


def test_order_counts_in_a_phrase_and_not_in_a_whole_title():
    found = features(index_of(), "reloaded matrix", [1])
    assert found["whole_title"] == [1]
    assert found["starts"] == [0]
    assert found["phrase"] == [0.5]


def test_stop_words_of_a_title_count_in_a_whole_title_only():
    index = index_of()
    found = features(index, "lord of the rings", [4])
    assert [found[name][0] for name in ("whole_title", "phrase", "title_covered")] == [1, 1, 1]
    found = features(index, "lord rings", [4, 0])
    assert [found[name][0] for name in ("whole_title", "phrase", "title_covered")] == [0, 1, 1]
    assert features(index, "the matrix", [0, 1])["whole_title"] == [1, 0]
    assert features(index, "matrix", [0, 1])["whole_title"] == [0, 0]


def test_a_query_of_stop_words_reads_those_of_titles():
    found = features(index_of(), "the the", [6, 0, 4])
    assert found["whole_title"] == [1, 0, 0]
    assert found["title_covered"] == [1, 0.5, 0.25]
    assert found["phrase"] == [1, 0.5, 0.5]


def test_a_numeral_is_its_number():
    index = index_of()
    for query in ("rocky 4", "rocky iv"):
        found = features(index, query, [2, 3])
        assert found["whole_title"] == [1, 0]
        assert found["phrase"] == [1, 0.5]
    found = features(index, "rocky 4", [2, 3, 0])
    assert found["numbers_matched"] == [1, 0, 0]
    assert found["numbers_clash"] == [0, 1, 0]
    assert features(index, "rocky iv", [2, 3])["numbers_clash"] == [0, 0]


def test_a_query_may_be_all_numerals_and_longer_than_is_read():
    numerals = "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx"
    index = index_of(["xx", *TITLES], ["", *TEXTS])
    for query in (numerals, f"{numerals} {numerals} 2 3 4", f"20 {numerals}"):
        found = features(index, query, [0, 1])
        assert found["title_covered"] == [1, 0]
        assert found["whole_title"] == [0, 0]
        assert found["holds_all"] == [0, 0]


def test_numbers_match_in_the_text_and_clash_in_the_title():
    index = index_of()
    found = features(index, "matrix 1999 21", [0, 1, 7])
    assert found["numbers_matched"] == [0, 0.5, 0.5]
    assert found["numbers_clash"] == [0, 0, 0]
    assert features(index, "galaxy s22", [7])["numbers_clash"] == [1]


def test_words_that_the_text_lacks_are_missing():
    index = index_of()
    found = features(index, "matrix hacker zzzzz")
    idf = [index.idf(word) for word in ("matrix", "hacker", "zzzzz")]
    assert found["missing_words"] == [1, 1, 3, 3, 3, 1, 3, 3]
    assert found["rarest_missing"] == nearly([1] * 8)
    assert found["text_coverage"][5] == nearly((idf[0] + idf[1]) / sum(idf))
    assert found["unknown_words"] == nearly([1 / 3] * 8)
    assert found["query_words"] == [3] * 8
    assert found["sharpness"] == nearly([max(idf) / math.log1p(8)] * 8)
    assert found["holders"] == [0] * 8
    found = features(index, "matrix truth")
    assert found["holds_all"] == [1, 0, 0, 0, 0, 0, 0, 0]
    assert found["rarest_missing"] == nearly([0, 1, 1, 1, 1, 1, 1, 1])
    assert found["holders"] == nearly([math.log(2)] * 8)
    found = features(index, "boxing truth", [0])
    assert found["rarest_missing"] == nearly([index.idf("boxing") / index.idf("truth")])


def test_equal_candidates_share_a_rank():
    found = features(index_of(["a b"] * 4 + ["b"], ["red"] * 2 + ["blue"] * 3), "red b", range(5))
    assert found["bm25_rank"] == nearly(np.log1p([0, 0, 3, 3, 2]).tolist())
    assert 0 < found["bm25"][3] < found["bm25"][0] < 1


@pytest.mark.parametrize("query", ["", "!!", "🎄", "茶", "的", "ß", "the", "x" * 99, "1 " * 99])
def test_any_query_has_features_without_gaps(query):
    for index in (index_of(), index_of(["🎄 tree", "红茶杯", None], ["", "", ""])):
        lines = index.features([query], [np.arange(3)])
        assert np.isfinite(lines).all()
        if not query.strip("!"):
            assert not lines.any()


def test_a_picture_and_a_character_are_matched_in_the_text():
    index = index_of(["🎄 tree", "红茶杯", "red"], ["", "", ""])
    assert features(index, "🎄", range(3))["holds_all"] == [1, 0, 0]
    assert features(index, "茶", range(3))["holds_all"] == [0, 1, 0]


def test_a_batch_is_its_requests_one_after_the_other():
    index = index_of()
    queries = ["matrix", "", "rocky 4", "hacker boxing", "nothing"]
    rows = [np.array(each, np.int64) for each in ([3, 0, 5], [1, 2], [], [7, 5, 4, 1], [2])]
    alone = [index.features([query], [each]) for query, each in zip(queries, rows, strict=True)]
    assert np.array_equal(index.features(queries, rows), np.concatenate(alone, axis=1))
    assert index.features([], []).shape == (len(LEXICAL_FEATURES), 0)
    empty = LexicalIndex(lexical_arrays([], []))
    assert empty.features(["a"], [rows[2]]).shape == (len(LEXICAL_FEATURES), 0)


@settings(deadline=None)
@given(st.permutations(range(len(TITLES))), st.sampled_from(["rocky 4", "matrix hacker", "boxin"]))
def test_the_order_of_candidates_is_not_seen(order, query):
    index, rows = index_of(), np.array(order)
    assert np.array_equal(
        index.features([query], [rows]), index.features([query], [np.arange(len(order))])[:, order]
    )


# -- a catalogue that changes ----------------------------------------------------------------------

WORDS = ["matrix", "rocky", "boxing", "hacker", "hobbit", "phone", "4", "iv", "2", "the", "1999"]
item_words = st.lists(st.sampled_from(WORDS), min_size=1, max_size=5, unique=True)


def item_text(words):
    """Title and text: all items have five words, so that they are as long in either index."""
    rest = [word for word in WORDS if word not in words][: 5 - len(words)]
    return " ".join(words), " ".join([*words, *rest]), ()


@settings(deadline=None)
@given(
    st.lists(item_words, min_size=4, max_size=9),
    st.lists(st.sampled_from([*WORDS, "hackers", "bozing"]), min_size=1, max_size=4),
    st.data(),
)
def test_a_row_has_the_same_features_in_a_segment(items, query, data):
    texts = dict(enumerate(map(item_text, items)))
    titles, whole, _ = zip(*texts.values(), strict=True)
    main = LexicalIndex(lexical_arrays(titles, whole))
    changed = data.draw(st.sets(st.sampled_from(range(len(items))), min_size=1))
    live = LiveLexicalIndex(main, len(items))
    live.use(live.segments_of({row: texts[row] for row in sorted(changed, reverse=True)}, changed))
    rows = np.array(data.draw(st.permutations(range(len(items)))))
    asked = [" ".join(query), "matrix"]
    ours = live.features(asked, [rows, rows[:2]])
    assert ours == nearly(main.features(asked, [rows, rows[:2]]))


def test_the_newest_segment_counts_and_rows_without_words_are_zeros():
    main = index_of()
    live = LiveLexicalIndex(main, len(TITLES) + 3)
    text = {9: ("Rocky 2", "boxing", ()), 0: ("Galaxy", "phone", ())}
    live.use(live.segments_of(text, text))
    rows = [0, 3, 9, 8, 10]
    found = features(live, "rocky 2", rows)
    assert found["whole_title"] == [0, 1, 1, 0, 0]
    assert found["holders"] == nearly([math.log(3)] * 5)
    assert found["bm25_rank"] == nearly(np.log1p([2, 1, 0, 2, 2]).tolist())
    for name in set(LEXICAL_FEATURES) - {"bm25_rank", "holders", "sharpness", "query_words"}:
        assert found[name][3:] == [0, 0]
    assert features(live, "galaxy", rows)["whole_title"] == [1, 0, 0, 0, 0]
    text[9] = ("Up", "flies", ())
    live.use(live.segments_of(text, [9]))
    assert features(live, "rocky 2", rows)["whole_title"] == [0, 1, 0, 0, 0]
    found = features(live, "up flies", rows)
    assert found["whole_title"] == [0, 0, 0, 0, 0]
    assert found["holds_all"] == [0, 0, 1, 0, 0]
    assert found["unknown_words"] == [0] * 5
    assert features(main, "up flies", [0])["unknown_words"] == [1]
