"""What is read from research folders, what is never read, and what is refused."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from app.core.errors import BadDataError, UsageError
from app.evaluation.dataset_readers import kind_of, read_impressions, read_pairs, read_sequences
from app.evaluation.eval_catalogue import Anonymiser, events_of, write_events
from app.offline.input.events import read_events
from app.offline.input.recipe import Recipe
from tests.evaluation_rig import impressions_folder, pairs_folder, sequences_folder


def test_the_text_is_chosen_per_row_and_nothing_else_is_read(tmp_path):
    (tmp_path / "sequences.txt").write_text("u a b c\n\nv c a\r\n")
    (tmp_path / "items.tsv").write_text(
        "id\tasin\tname\ttitle\tshort_text\n"
        'a\tB9\tname a\tsay "a"\tshort a\n'
        "b\tB1\tname b\t \tshort b\n"
        "c\tB2\t\t\tshort \u2028c\n"
        "d\tB3\n"
    )
    catalogue, events = read_sequences(tmp_path, seed=5)
    hide = Anonymiser(5)
    assert dict(zip(catalogue.ids, catalogue.titles, strict=True)) == {
        hide("a"): 'say "a"',
        hide("b"): "name b",
        hide("c"): "short \u2028c",
        hide("d"): "",
    }
    assert {key for row in catalogue.source for key in row} == {"id", "title"}
    assert events.users == ["u:u", "u:v"]
    assert [events.items[i] for i in events.item] == [hide(i) for i in "abcca"]
    assert events.timestamp.tolist() == [1, 2, 3, 1, 2]


def test_rows_are_in_an_order_that_means_nothing(tmp_path):
    names = [f"{n:03}" for n in range(200)]
    sequences_folder(tmp_path, {"u": names}, dict.fromkeys(names, "x"))
    catalogue, events = read_sequences(tmp_path, seed=0)
    row = {name: place for place, name in enumerate(catalogue.ids)}
    places = [row[events.items[i]] for i in events.item]
    steps = [b - a for a, b in pairwise(places)]
    assert sum(step > 0 for step in steps) in range(75, 125)  # half of them, as by chance
    assert catalogue.ids == sorted(catalogue.ids)
    assert not set(catalogue.ids) & set(names)


def test_the_order_of_lines_does_not_matter(tmp_path):
    sequences, titles = {"u": ["a", "b"], "v": ["b"]}, {"a": "x", "b": "y"}
    one = sequences_folder(tmp_path / "1", sequences, titles)
    two = sequences_folder(tmp_path / "2", sequences, dict(reversed(titles.items())))
    assert read_sequences(one, 3)[0] == read_sequences(two, 3)[0]


@pytest.mark.parametrize(
    ("sequences", "items", "message"),
    [
        ("u a b\n", "id\tasin\na\tB\n", "none of the columns"),
        ("u a b\n", "id\ttitle\n", "no items"),
        ("u\n", "id\ttitle\na\tx\n", "no events"),
        ("u a x y z\n", "id\ttitle\na\tx\n", "3 of 4 items"),
        (None, "id\ttitle\na\tx\n", "cannot be read"),
    ],
)
def test_bad_sequences_are_refused(tmp_path, sequences, items, message):
    (tmp_path / "items.tsv").write_text(items)
    if sequences is not None:
        (tmp_path / "sequences.txt").write_text(sequences)
    with pytest.raises(BadDataError, match=message):
        read_sequences(tmp_path, 0)


def test_products_are_titles_and_repeated_judgements_are_averaged(tmp_path):
    pairs_folder(
        tmp_path,
        [
            ("sofa", "Red sofa", "", 4),
            ("sofa", "Red sofa", "Soft.", 2),
            ("sofa", "Oak table", "Hard, long", 1),
            ("table", "Oak table", "Other", 4),
            ("table", "Lamp", "", "?"),
        ],
    )
    catalogue, judged = read_pairs(tmp_path, 1)
    hide = Anonymiser(1)
    assert judged == {
        "sofa": {hide("Red sofa"): 3.0, hide("Oak table"): 1.0},
        "table": {hide("Oak table"): 4.0},
    }
    rows = {row["title"]: row["text"] for row in catalogue.source}
    assert rows == {"Red sofa": "Soft.", "Oak table": "Hard, long"}


def test_bad_pairs_are_refused(tmp_path):
    (tmp_path / "pairs.csv").write_text("query,title\na,b\n")
    with pytest.raises(BadDataError, match="median_relevance"):
        read_pairs(tmp_path, 0)
    pairs_folder(tmp_path, [("q", "t", "", "x"), ("q", "", "", 3), ("q", "t", "", 3)])
    with pytest.raises(BadDataError, match="2 of 3"):
        read_pairs(tmp_path, 0)


PAGE = {
    "impression_id": 7,
    "history": [{"id": "N1", "title": "One", "category": "news", "abstract": "First."}],
    "candidates": [{"id": "N2", "title": "Two"}, {"id": "N3", "title": "Three"}],
    "clicked": [1],
}


def test_impressions(tmp_path):
    catalogue, (page,) = read_impressions(impressions_folder(tmp_path, [PAGE]), 0)
    hide = Anonymiser(0)
    assert page.clicked == hide("N3")
    assert page.history == (hide("N1"),)
    assert page.candidates == tuple(sorted([hide("N2"), hide("N3")]))
    first = next(row for row in catalogue.source if row["id"] == hide("N1"))
    assert first == {
        "id": hide("N1"),
        "title": "One",
        "text": "First.",
        "categories": ["news"],
    }


@pytest.mark.parametrize("wrong", [{"clicked": []}, {"clicked": [2]}, {"candidates": [{}]}])
def test_bad_impressions_are_refused(tmp_path, wrong):
    impressions_folder(tmp_path, [PAGE, PAGE | wrong])
    with pytest.raises(BadDataError, match="line 2"):
        read_impressions(tmp_path, 0)


def test_the_kind_of_a_folder_is_recognised_by_its_files(tmp_path):
    with pytest.raises(UsageError, match="not a folder"):
        kind_of(tmp_path / "absent")
    with pytest.raises(UsageError, match="holds none of"):
        kind_of(tmp_path)
    assert kind_of(pairs_folder(tmp_path / "p", [])) == "pairs"
    assert kind_of(sequences_folder(tmp_path / "s", {}, {})) == "sequences"
    assert kind_of(impressions_folder(tmp_path / "i", [])) == "impressions"


def test_written_events_are_read_back_by_a_build(tmp_path):
    events = events_of([("u:1", ["a", "b"]), ("s:1", ["b"]), ("u:1", ["c"])])
    words = np.array([-1, 0, -1, -1], np.int32)
    events = replace(events, queries=["red sofa"], query=words)
    path = write_events(tmp_path / "e.jsonl", events)
    back = read_events(path, Recipe())
    assert (back.users, back.items, back.kinds) == (["u:1", "s:1"], ["a", "b", "c"], ["click"])
    assert back.user.tolist() == [0, 0, 1, 0]
    assert back.timestamp.tolist() == [1, 2, 1, 3]
    assert back.queries == ["red sofa"]
    assert back.query.tolist() == [-1, 0, -1, -1]
