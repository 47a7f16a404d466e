"""Words: how text is cut, and search and coverage against a plainly written oracle."""

import gc
import math
import weakref
from collections import Counter
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from safetensors.numpy import load, save

from app.core.errors import BundleError
from app.engine.kernels.matching import MAX_SIMILAR
from app.engine.kernels.topk import Exclusion, Gather, NumpyTopK
from app.engine.retrieval.lexical import MAX_QUERY_WORDS, LexicalIndex
from app.engine.retrieval.lexical_arrays import MAX_TITLE_WORDS, lexical_arrays
from app.engine.retrieval.word_cutting import (
    STOP_WORDS,
    is_character,
    query_words,
    stem,
    trigrams_of,
    trigrams_of_word,
    words_of,
)


def index_of(titles, texts=None, **options) -> LexicalIndex:
    return LexicalIndex(lexical_arrays(titles, texts or [t or "" for t in titles]), **options)


def search(index, query, size):
    """The rows that match best, and how well."""
    (hits,) = NumpyTopK(len(index)).best_sums([index.items(query)], [Exclusion()], size)
    return hits.rows, hits.scores


def coverage(index, query, rows):
    """How much of the query the titles of the rows hold."""
    asked = Gather(rows, None, index.titles(query), None)
    return NumpyTopK(len(index)).gather([asked], 1.0)[0]


def found(index, query, size=10) -> list[int]:
    return search(index, query, size)[0].tolist()


def covered(index, query) -> list[float]:
    return [round(s, 4) for s in coverage(index, query, np.arange(len(index))).tolist()]


# -- the oracle: what the docstrings say, item by item and word by word ---------------------------


class Oracle:
    def __init__(self, titles, texts):
        self.titles = [words_of(title or "")[:MAX_TITLE_WORDS] for title in titles]
        self.texts = []
        for title, words in zip(self.titles, map(words_of, texts), strict=True):
            self.texts.append(words + sorted(set(title) - set(words)))
        self.vocabulary = {word for words in self.texts for word in words}
        self.mean = sum(map(len, self.texts)) / len(texts) if texts else 0

    def idf(self, word):
        df = sum(word in text for text in self.texts)
        return math.log(1 + (len(self.texts) - df + 0.5) / (df + 0.5))

    def impact(self, word, row):
        times, length = Counter(self.texts[row])[word], len(self.texts[row])
        if not times:
            return 0.0
        damping = 1.2 * (0.25 + 0.75 * length / self.mean)
        return self.idf(word) * times * 2.2 / (times + damping)

    def similarity(self, asked, word):
        if asked == word:
            return 1.0
        a, b = trigrams(asked), trigrams(word)
        dice = 2 * len(a & b) / (len(a) + len(b))
        return dice if dice >= 0.55 else 0.0

    def splits(self, word, row):
        """Neighbours in the title of a row that make the word when joined."""
        cuts = range(1, len(word)) if len(word) > 5 else ()
        parts = {(left, word[c:]) for c in cuts for left in (word[:c], stem(word[:c]))}
        return parts & set(pairwise(self.titles[row]))

    def joined(self, words, place):
        pairs = [words[p : p + 2] for p in (place - 1, place) if 0 <= p < len(words) - 1]
        links = {
            left + link + right
            for left, right in pairs
            for link in ("", "s", "n", "en", "es")
            if not link or min(len(left), len(right)) > 3
        }
        return links & self.vocabulary

    def compounds(self, asked):
        """Longer words that end in this one."""
        if len(asked) < 5 or not asked.isalpha():
            return set()
        found = {w for w in self.vocabulary if w.endswith(asked) and len(w) >= len(asked) + 3}
        if asked not in self.vocabulary:
            return found
        return {w for w in found if self.is_part(w.removesuffix(asked))}

    def is_part(self, rest):
        shorter = [rest.removesuffix(link) for link in ("s", "n", "en", "es")]
        parts = {rest, stem(rest), *(left for left in shorter if len(left) >= 3)}
        return bool(parts & self.vocabulary)

    def completions(self, words, place):
        """Longer words that begin with this one, and what they count."""
        asked, known = words[place], words[place] in self.vocabulary
        last = place == len(words) - 1 and asked.isalpha() and not (known and len(asked) > 2)
        enough = len(asked) > 1 if len(words) > 1 else len(asked) > 2 and not known
        if not (is_character(asked) or (len(asked) > 1 and last and enough)):
            return set(), 0.0
        found = {w for w in self.vocabulary if w.startswith(asked) and w != asked}
        alike = {w for w in self.vocabulary if self.similarity(asked, w)}
        own = alike | self.compounds(asked)
        with_it, with_others = (sum(bool(s & set(t)) for t in self.texts) for s in (own, found))
        if known and not is_character(asked) and with_others < 8 * with_it:
            return set(), 0.0
        return found, 0.8 if known else 1.0

    def query_idf(self, words, place):
        found, _ = self.completions(words, place)
        df = sum(bool(found & set(text)) for text in self.texts)
        completed = math.log(1 + (len(self.texts) - df + 0.5) / (df + 0.5))
        return min(self.idf(words[place]), completed) if found else self.idf(words[place])

    def score(self, query, row):
        words = query_words(query)
        total = 0.0
        for place, asked in enumerate(words):
            worth = [self.similarity(asked, w) * self.impact(w, row) for w in self.texts[row]]
            worth += [self.impact(pair, row) / 2 for pair in self.joined(words, place)]
            worth += [0.7 * self.impact(word, row) for word in self.compounds(asked)]
            found, weight = self.completions(words, place)
            worth += [weight * self.impact(word, row) for word in found]
            for left, right in self.splits(asked, row):
                worth.append(self.impact(left, row) + self.impact(right, row))
            total += max(worth, default=0.0)
        return total

    def coverage(self, query, row):
        words = query_words(query)
        title, total = self.titles[row], 0.0
        for place, asked in enumerate(words):
            best = max((self.similarity(asked, word) for word in title), default=0.0)
            found, weight = self.completions(words, place)
            best = max(best, weight if found & set(title) else 0.0)
            best = max(best, 0.7 if self.compounds(asked) & set(title) else 0.0)
            if self.splits(asked, row) or self.joined(words, place) & set(title):
                best = 1.0
            total += self.query_idf(words, place) * best
        idfs = [self.query_idf(words, place) for place in range(len(words))]
        return total / sum(idfs) if words else 0.0


def trigrams(word):
    edged = f"^{word}$"
    return {edged[i : i + 3] for i in range(len(edged) - 2)}


# Words near enough to be mistaken, joined, split and repeated.
PIECES = (
    *("flip", "flop", "flipflop", "flips", "flap", "aaa", "aaaa", "the", "16gb", "16"),
    *(
        "红茶杯",
        "茶",
        "magnet",
        "fridge",
        "fridgemagnet",
        "xyzmagnet",
        "fridgesmagnet",
        "fri",
        "fr",
    ),
)
TEXT = st.lists(st.sampled_from(PIECES), max_size=6).map(" ".join)
ITEMS = st.lists(st.tuples(st.none() | TEXT, TEXT, st.booleans()), max_size=6)


@settings(deadline=None, max_examples=200)
@given(ITEMS, TEXT | st.text(max_size=20), st.data())
@example([("flip flop", "flip", True), ("flipflop", "", True)], "flip flop flipflop", None)
def test_search_and_coverage_are_what_they_say(items, query, data):
    titles = [title for title, _, _ in items]
    texts = [f"{t or ''} {text}" if whole else text for t, text, whole in items]
    index, oracle = LexicalIndex(lexical_arrays(titles, texts)), Oracle(titles, texts)

    scores = [oracle.score(query, row) for row in range(len(items))]
    rows, given_scores = search(index, query, 100)
    assert rows.dtype == np.int64
    assert given_scores.dtype == np.float32
    assert sorted(rows.tolist()) == [row for row, score in enumerate(scores) if score > 0]
    np.testing.assert_allclose(given_scores, [scores[row] for row in rows], rtol=1e-5)
    assert list(zip(-given_scores, rows, strict=True)) == sorted(
        zip(-given_scores, rows, strict=True)
    )
    size = 2 if data is None else data.draw(st.integers(0, 6))
    for short, whole in zip(search(index, query, size), (rows, given_scores), strict=True):
        assert short.tolist() == whole[:size].tolist()

    wanted = np.array([*range(len(items)), *reversed(range(len(items)))], dtype=np.int64)
    covered = coverage(index, query, wanted)
    assert covered.dtype == np.float32
    np.testing.assert_allclose(
        covered, [oracle.coverage(query, row) for row in wanted], rtol=1e-5, atol=1e-7
    )
    assert ((covered >= 0) & (covered <= 1)).all()


# -- cutting --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Men's  BOOTS, o’Neill", ["men", "boot", "oneill"]),
        ("16GB WH-1000XM4", ["16", "gb", "wh", "1000", "xm", "4"]),
        ("1.5in 2. .5 5'6", ["1.5", "in", "2", "5", "5", "6"]),
        ("Café cafe\u0301 MÜLLER Straße", ["cafe", "cafe", "muller", "strasse"]),
        ("Ёлка, ЩЕЛКУНЧИК", ["елка", "щелкунчик"]),
        ("हिन्दी किताब", ["हिन्दी", "किताब"]),
        ("红茶杯 茶", ["红茶", "茶杯", "茶"]),
        ("第3章 한국어", ["第", "3", "章", "한국", "국어"]),
        ("ガンダム ｶﾞﾝ", ["ガン", "ンダ", "ダム", "ガン"]),
        ("ＷＨ－１０００ Sony™ a_b", ["wh", "1000", "sony", "a", "b"]),
        ("soft\u00adhyphen", ["softhyphen"]),
        (" \n…!?\ud800", []),
    ],
)
def test_text_is_cut(text, words):
    assert words_of(text) == words


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        *(("box", "boxes"), ("dress", "dresses"), ("watch", "watches"), ("dish", "dishes")),
        *(("battery", "batteries"), ("movie", "movies"), ("pie", "pies"), ("shoe", "shoes")),
    ],
)
def test_a_plural_is_its_singular(singular, plural):
    assert stem(singular) == stem(plural)


@pytest.mark.parametrize("word", ["glass", "bus", "tennis", "is", "gas", "16", "1.5"])
def test_what_is_no_plural_stays(word):
    assert stem(word) == word


def test_stop_words_go_unless_nothing_is_left():
    assert query_words("the lord of the rings") == ["lord", "ring"]
    assert query_words("The Of") == ["the", "of"]
    assert query_words(" ") == []


@given(st.text())
def test_any_text_can_be_cut(text):
    words = words_of(text)
    assert all(words)
    assert not any(edge in word for word in words for edge in "^$ ")
    if words:
        assert query_words(text) == [w for w in words if w not in STOP_WORDS] or words


@given(st.lists(st.text(st.characters(exclude_characters="^$", codec="utf-8"), min_size=1)))
def test_trigrams_are_distinct_and_complete(words):
    codes, places = trigrams_of(words)
    shown = [
        (place, "".join(chr(code >> shift & 0x1FFFFF) for shift in (42, 21, 0)))
        for code, place in zip(codes.tolist(), places.tolist(), strict=True)
    ]
    assert shown == [(p, t) for p, word in enumerate(words) for t in sorted(trigrams(word))]
    for place, word in enumerate(words):
        assert trigrams_of_word(word).tolist() == codes[places == place].tolist()


# -- searching ------------------------------------------------------------------------------------

SHELF = [
    "Harley Davidson leather jacket",
    "Flipflop sandals",
    "Sony WH-1000XM4 headphones",
    "红茶杯 bone china",
    None,
    "Screwdriver set 16GB",
]


def test_a_typo_finds_its_word():
    index = index_of(SHELF)
    assert found(index, "screwdrver") == [5]
    dice = 2 * len(trigrams("screwdrver") & trigrams("screwdriver")) / (10 + 11)
    assert covered(index, "screwdrver") == [0, 0, 0, 0, 0, round(dice, 4)]


@pytest.mark.parametrize(
    ("query", "row"),
    [
        *(("wh1000xm4", 2), ("WH 1000 XM-4", 2), ("16 gb", 5), ("茶杯", 3), ("红茶杯", 3)),
        *(("harleydavidson", 0), ("flip flop", 1), ("flip-flops", 1)),
    ],
)
def test_numbers_compounds_and_chinese_are_found_and_cover_in_full(query, row):
    index = index_of(SHELF)
    assert found(index, query)[0] == row
    assert covered(index, query)[row] == 1


def test_a_compound_is_worth_what_the_item_spells():
    index = index_of([*SHELF, "Christmas lights", "Notebook"])
    for joined, apart, row in [
        ("harleydavidson", "harley davidson", 0),
        ("note book", "notebook", 7),
        ("christmaslights", "christmas lights", 6),
    ]:
        (a, x), (b, y) = search(index, joined, 9), search(index, apart, 9)
        assert a.tolist() == b.tolist() == [row]
        assert x[0] == pytest.approx(y[0])


def test_words_that_are_not_neighbours_are_no_compound():
    index = index_of(["note the book", "book note", "note", "book"])
    assert found(index, "notebook") == []
    assert covered(index, "notebook") == [0, 0, 0, 0]


def test_titles_that_follow_each_other_make_no_compound():
    index = index_of(["note book", "a note", "book", "book note", "book note"])
    assert found(index, "notebook") == [0]
    assert covered(index, "notebook") == [1, 0, 0, 0, 0]


def test_an_unknown_word_lowers_coverage_by_its_idf():
    index = index_of(SHELF)
    known, unknown = math.log(1 + 5.5 / 1.5), math.log(1 + 6.5 / 0.5)
    share = round(known / (known + unknown), 4)
    assert covered(index, "sony zzzzqq") == [0, 0, share, 0, 0, 0]
    assert found(index, "zzzzqq") == []


def test_equal_scores_go_by_row_even_where_the_list_is_cut():
    index = index_of(["red cup", "red", "red", "red", "blue"])
    assert found(index, "red", 2) == [1, 2]
    assert found(index, "red", 9) == [1, 2, 3, 0]
    assert found(index, "red", 0) == []


@pytest.mark.parametrize("query", ["", "?!", "  "])
def test_nothing_asked_finds_nothing(query):
    index = index_of(SHELF)
    assert found(index, query) == []
    assert covered(index, query) == [0] * 6


def test_an_empty_catalogue_answers():
    for index in (index_of([]), index_of([None, ""])):
        assert found(index, "red cup") == []
        assert covered(index, "red cup") == [0] * len(index)
    assert coverage(index, "red", np.empty(0, np.int64)).tolist() == []


def test_only_titles_cover_while_titles_and_texts_are_searched():
    index = index_of(["cup", None, "lamp"], ["red cup", "red", "red"])
    assert covered(index, "red") == [0, 0, 0]
    assert sorted(found(index, "red")) == [0, 1, 2]
    assert (covered(index, "lamp"), found(index, "lamp")) == ([0, 0, 1], [2])


def test_long_titles_and_queries_are_read_to_their_limits():
    # Letter pairs with an x behind share too few trigrams to be mistaken for one another.
    words = [f"{a}{b}x" for a in "abcdefgh" for b in "abcdefgh"]
    index = index_of([" ".join(words)])
    assert covered(index, words[MAX_TITLE_WORDS - 1]) == [1]
    assert covered(index, words[MAX_TITLE_WORDS]) == [0]
    head = " ".join(words[:MAX_QUERY_WORDS])
    assert search(index, f"{head} {words[-1]}", 1)[1] == search(index, head, 1)[1]


def test_a_single_character_finds_every_run_that_has_it():
    index = index_of(["红茶杯", "茶", "杯 set", "绿茶 cup", "no"])
    assert sorted(found(index, "茶")) == [0, 1, 3]
    assert sorted(found(index, "杯")) == [0, 2]
    assert index.rows_with("茶").tolist() == [0, 1, 3]
    assert index.rows_with("杯 set").tolist() == [2]
    assert index.rows_with("茶 杯").tolist() == [0]
    assert index.rows_with("龙 杯").tolist() == []


def test_pictures_are_found_only_by_pictures():
    index = index_of(["🎄 Tree", "Tree 👨‍👩‍👧", "❤️"])
    assert found(index, "🎄") == [0]
    assert found(index, "👧👨") == [1]
    assert found(index, "❤") == [2]
    assert covered(index, "🎄") == [1, 0, 0]
    assert found(index, "🎄 tree") == found(index, "tree") == [0, 1]
    assert [index.pictured(text) for text in ("🎄", "🎅", "!", "")] == [True, False, False, False]


def test_a_word_stands_for_its_nearest_few():
    stem_of_all = "abcdefghijklmnop"
    near = [stem_of_all + chr(ord("a") + n // 26) + chr(ord("a") + n % 26) for n in range(99)]
    index = index_of([*near, stem_of_all + "zzzz", stem_of_all])
    rows = found(index, stem_of_all, 200)
    assert len(rows) == MAX_SIMILAR
    assert rows[0] == 100
    assert 99 not in rows


def test_a_word_without_end_counts_only_exactly():
    long = "ab" * 40
    index = index_of([long, "ba"])
    assert found(index, long) == [0]
    assert found(index, long + "c") == []


def test_look_ups_are_remembered_within_bounds():
    index = index_of(SHELF, cache_size=3)
    for n in range(20):
        search(index, f"word{chr(97 + n)} sony", 3)
    for cache in (index._look_up, index._goes_on):
        assert cache.cache_info().currsize == 3
    gone = weakref.ref(index)
    gc.disable()
    try:
        del index
        assert gone() is None  # the caches hold no index alive
    finally:
        gc.enable()


# -- arrays ---------------------------------------------------------------------------------------


def test_arrays_survive_the_bundle_format():
    arrays = lexical_arrays(SHELF, [title or "" for title in SHELF])
    index = LexicalIndex(load(save(arrays)))
    assert found(index, "sony") == [2]
    assert {array.dtype.name for array in arrays.values()} <= {"uint8", "int32", "int64", "float32"}


def test_arrays_must_be_sound():
    arrays = lexical_arrays(SHELF, [title or "" for title in SHELF])
    for name in arrays:
        with pytest.raises(BundleError):
            LexicalIndex({other: array for other, array in arrays.items() if other != name})
        with pytest.raises(BundleError):
            LexicalIndex({**arrays, name: arrays[name].astype(np.float64)})
        if len(arrays[name]) and name not in {"trigram/codes", "ending/words"}:
            with pytest.raises(BundleError):
                LexicalIndex({**arrays, name: arrays[name][:-1]})


ANY_NUMBER = {"word/data", "word/present", "trigram/codes", "code/keys"}
"""Arrays of integers that no number of makes unsound."""


@pytest.mark.parametrize("number", [-1, -(2**31), 2_000_000_000])
def test_no_array_points_outside_of_the_others(number):
    """Each integer of each array, one by one: C would read or write outside of its buffers."""
    titles = ["sofa bed", "table", "sofabed bed", None]
    arrays = lexical_arrays(titles, [f"{title} of red wood" for title in titles])
    LexicalIndex(arrays)
    tried = 0
    for name in arrays.keys() - ANY_NUMBER:
        if arrays[name].dtype.kind != "i":
            continue
        for at in range(len(arrays[name])):
            changed = arrays[name].copy()
            changed[at] = number
            tried += 1
            with pytest.raises(BundleError):
                LexicalIndex({**arrays, name: changed})
    assert tried > 100


@pytest.mark.parametrize("name", ["idf", "posting/impacts"])
@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_weights_are_numbers(name, number):
    arrays = lexical_arrays(SHELF, [title or "" for title in SHELF])
    changed = arrays[name].copy()
    changed[3] = number
    with pytest.raises(BundleError):
        LexicalIndex({**arrays, name: changed})


def test_the_rows_of_a_word_rise():
    arrays = lexical_arrays(["a cup", "a cup", "cup"], ["", "", ""])
    rows = arrays["posting/rows"].copy()
    assert rows.tolist() == [0, 1, 0, 1, 2]
    for wrong in ([0, 0, 0, 1, 2], [1, 0, 0, 1, 2], [0, 1, 2, 1, 0]):
        with pytest.raises(BundleError):
            LexicalIndex({**arrays, "posting/rows": np.array(wrong, np.int32)})


def test_a_title_word_that_no_posting_has_is_refused():
    arrays = lexical_arrays(["red cup", "cup"], ["red cup", "cup"])
    assert arrays["title/words"].tolist() == [1, 0, 0]
    for words, why in (([1, 0, 1], "postings lack"), ([1, 0, 9], "no word or item")):
        with pytest.raises(BundleError, match=why):
            LexicalIndex({**arrays, "title/words": np.array(words, np.int32)})


def test_every_item_needs_its_text():
    with pytest.raises(ValueError, match="shorter"):
        lexical_arrays(["a", "b"], ["a"])
