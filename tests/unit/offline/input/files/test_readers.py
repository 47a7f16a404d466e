"""File formats: rows with honest line numbers, and what costs a row or the whole file."""

import math
from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.errors import BadDataError
from app.domain.columns import Instant
from app.domain.values import Unusable, is_missing
from app.offline.input.files.readers import format_of, read_rows
from app.offline.input.items import read_items
from app.offline.input.recipe import Recipe


def write(path, text):
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def rows_of(path):
    return [
        (n, str(row) if isinstance(row, Unusable) else without_nan(row))
        for n, row in read_rows(path, format_of(path))
    ]


def without_nan(row):
    return {name: None if is_missing(value) else value for name, value in row.items()}


def test_json_lines(tmp_path):
    text = b'\xef\xbb\xbf{"id":1}\n\n[1]\n{"id":\n{"id":"\xff"}\n{"id":NaN}\n{"id":"\\ud800"}\n{}'
    assert rows_of(write(tmp_path / "a.jsonl", text)) == [
        (1, {"id": 1}),
        (3, "the line is not a JSON object"),
        (4, "the line is not JSON"),
        (5, "the line is not JSON"),
        (6, {"id": None}),
        (7, "the line is not JSON"),
        (8, {}),
    ]


def test_csv_lines_are_counted_through_quoted_line_breaks(tmp_path):
    text = '\ufeffid,title\r\n1,"two\nlines"\n\n2\n3,"bad"quote\n4,"a ""b"""\n'
    assert rows_of(write(tmp_path / "a.CSV", text)) == [
        (2, {"id": "1", "title": "two\nlines"}),
        (5, "the row has more or fewer cells than the header"),
        (6, "the line is not CSV"),
        (7, {"id": "4", "title": 'a "b"'}),
    ]


def test_a_few_broken_bytes_in_utf8_cost_their_rows(tmp_path):
    path = write(tmp_path / "a.csv", "id,title\n1,été\n2,?\n3,é\n".encode().replace(b"?", b"\xff"))
    assert rows_of(path) == [
        (2, {"id": "1", "title": "été"}),
        (3, "the line is not UTF-8"),
        (4, {"id": "3", "title": "é"}),
    ]


def test_a_csv_quote_that_never_ends_refuses_the_file(tmp_path):
    with pytest.raises(BadDataError, match="quote in line 3"):
        rows_of(write(tmp_path / "a.csv", 'id,title\n1,x\n2,"open\n3,y\n'))


def test_csv_cells_become_typed(tmp_path):
    text = "id,price,code,fresh,published_at\n1.0,9.50,007,true,1995\n2.0,,010,false,\n"
    items = read_items(write(tmp_path / "a.csv", text), Recipe())
    assert items.ids == ["1", "2"]
    assert items.columns["price"] == [9.5, None]
    assert items.columns["code"] == ["007", "010"]
    assert items.columns["fresh"] == [True, False]
    assert items.columns["published_at"] == [Instant.of_year(1995), None]


def test_parquet_types(tmp_path):
    moment = datetime(2016, 1, 2, 3, 4, 5, tzinfo=UTC)
    table = pa.table(
        {
            "id": pa.array([1.0, 2.0, None]),
            "categories": [["a"], None, ["b"]],
            "published_at": pa.array([1995.0, math.nan, 1996.0]),
            "at": pa.array([moment, None, moment], pa.timestamp("ns", "Europe/Berlin")),
            "day": [date(2016, 1, 2), None, None],
            "price": pa.array([Decimal("9.50"), None, None]),
        }
    )
    pq.write_table(table, tmp_path / "a.parquet")
    items = read_items(tmp_path / "a.parquet", Recipe())
    assert items.ids == ["1", "2"]
    assert items.report.examples == ["line 3: id is missing"]
    assert items.columns["categories"] == [("a",), None]
    assert items.columns["published_at"] == [Instant.of_year(1995), None]
    assert items.columns["at"] == [Instant(1451703845.0), None]
    assert items.columns["day"] == [Instant(1451692800.0), None]
    assert items.columns["price"] == [9.5, None]


def test_a_file_that_is_not_there_is_bad_data(tmp_path):
    for ending in ("jsonl", "csv", "parquet"):
        with pytest.raises(BadDataError, match="No such file"):
            rows_of(tmp_path / f"a.{ending}")


def test_a_damaged_parquet_file_is_bad_data(tmp_path):
    pq.write_table(pa.table({"id": [*range(1000)]}), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    for damaged in (whole[:-10], whole[:200] + b"\xff" * 64 + whole[264:]):
        with pytest.raises(BadDataError, match=r"a\.parquet"):
            rows_of(write(tmp_path / "a.parquet", damaged))


@pytest.mark.parametrize("text", ["id,id\n1,2\n", '"id\n'])
def test_a_csv_header_that_cannot_be_used_is_bad_data(tmp_path, text):
    with pytest.raises(BadDataError):
        rows_of(write(tmp_path / "a.csv", text))


def test_an_empty_csv_file_has_no_rows(tmp_path):
    assert rows_of(write(tmp_path / "a.csv", "")) == []
