import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from app.engine.retrieval.word_cutting import query_words, words_of
from app.offline.learning.synthetic_queries import QueryWriter

ADJECTIVES = "crimson azure golden silver violet amber ivory scarlet emerald cobalt".split()  # noqa: SIM905
THINGS = "lantern kettle jacket mirror saddle basket ladder pillow hammer wallet".split()  # noqa: SIM905
PARTS = "velvet copper bamboo marble leather ceramic walnut linen rubber crystal".split()  # noqa: SIM905
BRANDS = ("Acme", "Globex", "Initech")
TITLES = [
    f"{adjective} {part} {thing}" for adjective in ADJECTIVES for part in PARTS for thing in THINGS
]
TEXTS = [
    f"{title}. Made by Wanda Kowalski near quiet rivers; {PARTS[row % 7]} is what it is of."
    for row, title in enumerate(TITLES)
]
BRAND = [BRANDS[row % 3] for row in range(len(TITLES))]

WRITE_AND_PRINT = """
import numpy as np
from test_synthetic_queries import BRAND, TEXTS, TITLES, QueryWriter
writer = QueryWriter(TITLES, TEXTS, {"brand": BRAND}, 5)
print(writer.write(np.arange(400) % 90))
"""


@pytest.fixture(scope="module")
def drawn():
    """Return rows and their queries; each row once a seed, because repeats want other words."""
    rows = np.arange(len(TITLES))
    writers = [QueryWriter(TITLES, TEXTS, {"brand": BRAND}, seed) for seed in range(10)]
    queries = [query for writer in writers for query in writer.write(rows)]
    return rows.tolist() * len(writers), queries


def share(flags):
    flags = list(flags)
    return sum(flags) / len(flags)


def test_the_words_come_from_the_item(drawn):
    stems = [{*words_of(text), *words_of(brand)} for text, brand in zip(TEXTS, BRAND, strict=True)]
    pairs = list(zip(*drawn, strict=True))
    known = [all(word in stems[row] for word in query_words(query)) for row, query in pairs]

    # The others have a typo, or their last word is only begun.
    assert share(known) > 0.84
    letters = [set("".join(words)) for words in stems]
    near = [set("".join(query_words(query))) - letters[row] for row, query in pairs]
    assert share(not strange for strange in near) > 0.98


def test_shares_of_words_texts_and_attributes(drawn):
    _, queries = drawn
    lengths = [len(query.split()) for query in queries]
    words = [set(query.split()) for query in queries]

    assert 0.33 < share(n == 1 for n in lengths) < 0.47
    assert 0.33 < share(n == 2 for n in lengths) < 0.50
    assert 0.12 < share(n == 3 for n in lengths) < 0.27
    assert max(lengths) <= 5
    of_text = {"wanda", "kowalski", "quiet", "rivers", "made", "near"}
    assert 0.08 < share(bool(each & of_text) for each in words) < 0.17
    brands = {brand.lower() for brand in BRANDS}
    assert 0.12 < share(bool(each & brands) for each in words) < 0.17


def test_in_a_catalogue_of_long_titles_queries_are_longer():
    others = TITLES[::-1]
    titles = [f"{TITLES[row]} for {others[row][::-1]}" for row in range(len(TITLES))]
    queries = QueryWriter(titles, titles, {}, seed=0).write(np.arange(1000))
    lengths = [len(query_words(query)) for query in queries]

    assert share(n == 1 for n in lengths) < 0.25
    assert 0.08 < share(n >= 4 for n in lengths) < 0.25


def test_a_row_gets_different_queries_whatever_the_other_rows_are():
    writer = QueryWriter(TITLES, TEXTS, {"brand": BRAND}, seed=2)
    alone = writer.write(np.full(20, 17))
    among = writer.write(np.array([3, 17, 900, 17, 3]))

    assert len(set(alone)) > 15
    assert [among[1], among[3]] == alone[:2]
    assert among[0] != among[4]
    assert QueryWriter(TITLES, TEXTS, {"brand": BRAND}, seed=3).write(np.full(20, 17)) != alone


def test_the_same_seed_gives_the_same_queries_in_every_process():
    outputs = {
        subprocess.run(
            [sys.executable, "-c", WRITE_AND_PRINT],
            env={
                **os.environ,
                "PYTHONHASHSEED": hash_seed,
                "OMP_NUM_THREADS": threads,
                "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path]),
            },
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed, threads in (("1", "1"), ("2", "4"))
    }

    assert len(outputs) == 1
    assert len(outputs.pop()) > 400


def test_without_a_title_attributes_and_text_are_used_and_without_words_nothing():
    titles = [None, "", None, "!!", "It"]
    texts = ["shark film", "shark film", "", "?", "It"]
    brands = ["Acme", None, "Globex Corp", None, None]
    queries = QueryWriter(titles, texts, {"brand": brands}, seed=0).write(np.arange(5).repeat(30))
    by_row = [set(queries[start : start + 30]) for start in range(0, 150, 30)]

    assert by_row[0] >= {"acme"}
    assert {*by_row[1]} & {"shark", "film"}
    assert by_row[2] >= {"globex corp", "corp"}
    assert by_row[3] == {""}
    assert by_row[4] == {"it"}


@pytest.mark.parametrize("title", ["经典陶瓷红茶杯礼盒", "รองเท้าผ้าใบสีแดง", "サンタクロースの帽子"])
def test_scripts_without_spaces_give_parts_of_their_runs(title):
    titles = [title, *(f"{title[:n]}{title[-n:]}" for n in range(2, 6))]
    queries = QueryWriter(titles, titles, {}, seed=0).write(np.zeros(60, np.int64))

    assert all(part in title for query in queries for part in query.split())
    assert len(set(queries)) > 10
    assert min(map(len, queries)) >= 2


def test_numbers_are_not_drawn_alone_where_there_are_words():
    titles = [f"fifa {year}" for year in range(2000, 2025)] + ["1984"]
    queries = QueryWriter(titles, titles, {}, seed=0).write(np.arange(26).repeat(20))

    assert not any(query.isdigit() for query in queries[: 25 * 20])
    assert set(queries[25 * 20 :]) == {"1984"}


def test_long_values_addresses_and_codes_are_not_drawn():
    values = {
        "link": ["https://example.org/lamps"],
        "sku": ["B004756YJA"],
        "story": ["a lamp that tells a very long story of its own"],
        "path": ["Home > Lighting"],
    }
    queries = QueryWriter([None], [""], values, seed=0).write(np.zeros(50, np.int64))

    assert {word for query in set(queries) for word in query.split()} >= {"home", "lighting"}
    assert not [query for query in queries if any(c.isdigit() for c in query) or "story" in query]


def test_a_number_comes_with_a_word_now_and_then_only():
    titles = [f"{title} ({1950 + row % 60})" for row, title in enumerate(THINGS * 6)]
    rows = np.arange(60)
    writers = [QueryWriter(titles, titles, {}, seed) for seed in range(20)]
    queries = [query for writer in writers for query in writer.write(rows)]

    assert 0.05 < share(any(c.isdigit() for c in query) for query in queries) < 0.35
