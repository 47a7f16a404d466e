"""Files as programs write them: marks within, formulas, comments, wrapped arrays, pages."""

import json

import pytest

from app.core.errors import BadDataError
from app.domain.values import Unusable
from app.offline.input.files.readers import format_of, read_rows
from app.offline.input.items import read_items
from app.offline.input.recipe import Recipe


def write(path, content):
    path.write_bytes(content.encode())
    return path


def read(path, content):
    """Return what the file was read as, and its rows: cells, or the reason as text."""
    found = format_of(write(path, content))
    rows = [str(row) if isinstance(row, Unusable) else row for _, row in read_rows(path, found)]
    return found.shown, rows


@pytest.mark.parametrize("again", ["3,Cup", '"3","Cup"'])
def test_files_put_together_may_have_marks_and_headers_within(tmp_path, again):
    content = f"\ufeffid,title\n1,Mug\n\ufeffid,title\n2,Jug\n\ufeff{again}\n"
    _, rows = read(tmp_path / "a.csv", content)
    assert rows == [
        {"id": "1", "title": "Mug"},
        "the row is the header again",
        {"id": "2", "title": "Jug"},
        {"id": "3", "title": "Cup"},
    ]


@pytest.mark.parametrize("cell", ['"=""007"""', '="007"', ' ="007" '])
def test_a_formula_that_keeps_a_code_is_its_text(tmp_path, cell):
    _, rows = read(tmp_path / "a.csv", f'isbn,title,link\n{cell},A,"<a href=""x"">b</a>"\n="",B,\n')
    assert rows == [
        {"isbn": "007", "title": "A", "link": '<a href="x">b</a>'},
        {"isbn": "", "title": "B", "link": ""},
    ]


@pytest.mark.parametrize(
    "comments", ["# made by hand\n", "#\n# Pages, and screens\r\n\n# 2024\n", "# a\n\n"]
)
def test_comments_before_a_table_are_passed_over(tmp_path, comments):
    path = write(tmp_path / "a.csv", comments + "id,title,price\n1,Mug,5\nbroken\n")
    found = format_of(path)
    lines = comments.count("\n")
    mug = (lines + 2, {"id": "1", "title": "Mug", "price": "5"})
    (first, (line, wrong)) = read_rows(path, found)
    assert (found.shown, first, line) == ("comma, UTF-8, 3 columns", mug, lines + 3)
    assert isinstance(wrong, Unusable)


@pytest.mark.parametrize("header", ["#id,title", "# id\ttitle"])
def test_a_header_may_begin_with_a_number_sign(tmp_path, header):
    mark = "\t" if "\t" in header else ","
    _, rows = read(tmp_path / "a.csv", f"{header}\n1{mark}Mug\n2{mark}Jug\n")
    assert [row["title"] for row in rows] == ["Mug", "Jug"]


@pytest.mark.parametrize(
    "wrap",
    [
        lambda rows: {"data": {"products": rows}, "meta": {"n": 2}},
        lambda rows: {"ok": True, "result": {"page": {"hits": rows}}},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_the_only_array_of_objects_may_lie_deeper(tmp_path, wrap, indent):
    rows = [{"id": 1, "title": "Mug"}, {"id": 2, "title": "Jug"}]
    content = json.dumps(wrap(rows), indent=indent)
    assert read(tmp_path / "a.json", content) == ("JSON, UTF-8", rows)


@pytest.mark.parametrize("content", ["<!DOCTYPE html>404", " <HTML>", "<?xml version='1.0'?><a/>"])
def test_a_page_is_no_table(tmp_path, content):
    with pytest.raises(BadDataError, match=r"a\.csv is HTML or XML: save what it shows as CSV"):
        format_of(write(tmp_path / "a.csv", content))


def test_an_array_of_arrays_has_no_items(tmp_path):
    path = write(tmp_path / "a.json", '[["id", "title"], [1, "Mug"]]')
    with pytest.raises(BadDataError, match="2 × the element is not a JSON object"):
        read_items(path, Recipe())


@pytest.mark.parametrize(
    ("codec", "title"),
    [
        ("cp1254", "Kırmızı sandalye, İğne"),
        ("cp1254", "Şişli düğmeli gömlek"),
        ("cp874", "เก้าอี้สีแดง"),
        ("cp874", "โต๊ะสีน้ำเงิน"),
        ("cp1252", "Rauður stóll þægilegur"),
        ("cp1252", "Það er þýðing"),
        ("cp1252", "Føroyskur bátur við ár"),
        ("cp1252", "Größe, façade, señor"),
    ],
)
def test_letters_of_some_more_languages_are_recognised_in_short_files(tmp_path, codec, title):
    path = tmp_path / "a.csv"
    path.write_bytes(f"id;title\n1;{title}\n2;Mug\n".encode(codec))
    assert read_items(path, Recipe()).columns["title"] == [title, "Mug"]
