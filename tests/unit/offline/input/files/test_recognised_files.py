"""Files recognised by their content: delimiters, encodings, quotes, headers, JSON, packed ones."""

import bz2
import gzip
import io
import json
import random
import zipfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.core.errors import BadDataError, UsageError
from app.domain.values import Unusable
from app.offline.input.files.readers import format_of, read_rows
from app.offline.input.items import read_items
from app.offline.input.recipe import FileFormat, Recipe, load_recipe

LAMPS = [["id", "title", "price"], ["1", "Oak lamp", "12.5"], ["2", "Pine shelf", "20"]]


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def read(path, content, **settings):
    """Return what the file was read as, and its rows: cells, or the reason as text."""
    found = format_of(write(path, content), FileFormat(**settings))
    rows = [str(row) if isinstance(row, Unusable) else row for _, row in read_rows(path, found)]
    return found.shown, rows


def titles(path, content, **settings):
    return [row["title"] for row in read(path, content, **settings)[1]]


def table(rows, delimiter):
    return "".join(delimiter.join(row) + "\n" for row in rows)


@pytest.mark.parametrize(
    ("delimiter", "name"),
    [(",", "comma"), (";", "semicolon"), ("\t", "tab"), ("|", "pipe"), ("::", "double colon")],
)
@pytest.mark.parametrize("ending", ["csv", "tsv", "txt", "jsonl", "parquet", "dat"])
def test_the_ending_does_not_matter(tmp_path, delimiter, name, ending):
    shown, rows = read(tmp_path / f"a.{ending}", table(LAMPS, delimiter))
    assert shown.startswith(f"{name}, UTF-8, ")
    assert shown.endswith("3 columns")
    assert rows == [dict(zip(LAMPS[0], row, strict=True)) for row in LAMPS[1:]]


@pytest.mark.parametrize(
    ("content", "name", "width"),
    [
        ("id;title\n" + "".join(f"{n};One, two, three, {n}\n" for n in range(9)), "semicolon", 2),
        ("id;preis\n1;1.995,00\n2;265,0\n3;12,90\n", "semicolon", 2),
        ("id,title,genres\n1,Heat,Action|Crime|Drama\n2,Up,Drama|Animation|Kids\n", "comma", 3),
        ("id,title,tags\n1,A,x;y;z\n2,B,x;y;z\n", "comma", 3),
        ("id\ttitle\ttags\n1\tOne, two\ta, b\n2\tThree, four\tc, d\n", "tab", 3),
        ('id,title,text\n1,Hat,"<p style=""a:b;c:d"">x;y</p>"\n2,Cap,"a;b"\n', "comma", 3),
        ('id,title,text\n1,Hat,"a\nb;c\nd;e"\n2,Cap,"f;g\nh"\n', "comma", 3),
        ("id,at\n1,2021-09-25 10:00:00\n2,2021-09-26 11:30:00\n", "comma", 2),
        ("sku;url\nA;http://x.y/a?b=1&c=2\nB;http://x.y/a?b=2&c=3\n", "semicolon", 2),
        ("id,title\n1,Oak\n", "comma", 2),
        ("title;tags\nOak, big;a,b,c\nElm, x;d,e,f\n", "semicolon", 2),
        ("id;title\n1;Oak, big\n", "semicolon", 2),
        ("id,title,price\n", "comma", 3),
        ("sku\nA1\nA2\n", "comma", 1),
        ("title\nOak lamp\nPine shelf\n", "comma", 1),
        ("id,title\r1,Oak\r2,Pine\r", "comma", 2),
        ("id|title|tags\r\n1|Oak, big|a;b\r\n2|Pine|c;d\r\n", "pipe", 3),
        ("id,title,text\n1,Std,use std::vector\n2,Plain,no colons\n", "comma", 3),
    ],
)
def test_delimiters_among_others(tmp_path, content, name, width):
    shown, rows = read(tmp_path / "a.txt", content)
    assert shown == f"{name}, UTF-8, {width} column{'s' * (width > 1)}"
    assert all(isinstance(row, dict) and len(row) == width for row in rows)


def test_many_rows_of_long_texts_are_recognised_by_a_few_of_them(tmp_path):
    draw = random.Random(1)
    words = ["lamp", "oak; pine", "one, two", "it's", "5|6", "12.90", "“x”"]
    texts = [" ".join(draw.choices(words, k=60)).replace('"', "") for _ in range(2000)]
    content = "id;title\n" + "".join(f'{n};"{text}"\n' for n, text in enumerate(texts))
    shown, rows = read(tmp_path / "a.csv", content)
    assert shown == "semicolon, UTF-8, 2 columns"
    assert [row["title"] for row in rows] == texts


@pytest.mark.parametrize(
    ("codec", "shown"),
    [
        ("utf-8", "UTF-8"),
        ("utf-8-sig", "UTF-8"),
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16"),
        ("utf-16-be", "UTF-16"),
        ("utf-32", "UTF-32"),
        ("latin-1", "Windows-1252"),
        ("cp1252", "Windows-1252"),
    ],
)
@pytest.mark.parametrize(
    "title", ["Crème brûlée à la façon", "Señor Ñandú", "Ångström lamp", "Größe 5 °C ½ ®"]
)
def test_encodings(tmp_path, codec, shown, title):
    content = f"id\ttitle\n1\tOak\n2\t{title}\n".encode(codec)
    said, rows = read(tmp_path / "a.txt", content)
    assert said == f"tab, {shown}, 2 columns"
    assert rows == [{"id": "1", "title": "Oak"}, {"id": "2", "title": title}]


@pytest.mark.parametrize(
    ("codec", "title"),
    [
        ("cp1252", "“Smart” – quotes’ €5"),
        ("cp1252", "2 m³ of H²O"),
        ("cp1251", "Война и мир"),
        ("koi8-r", "Дубовая лампа для дома"),
        ("gb18030", "科幻电影 三体"),
        ("big5", "橡木檯燈 松木書架"),
        ("cp932", "木製ランプとテーブル"),
        ("cp949", "참나무 램프 소나무 선반"),
        ("cp1253", "Δρύινη λάμπα για το σπίτι"),
        ("cp1250", "Dębowa lampa i półka sosnowa, żółta"),
    ],
)
def test_older_encodings_of_a_few_words(tmp_path, codec, title):
    content = f"id;title\n1;Oak lamp\n2;{title}\n".encode(codec)
    assert titles(tmp_path / "a.csv", content) == ["Oak lamp", title]


@pytest.mark.parametrize("late", ["é", "Ü", "”"])
def test_the_first_accent_may_come_late(tmp_path, late):
    rows = [f"{n},Plain title {n}" for n in range(40_000)]
    content = "\n".join(["id,title", *rows, f"x,{late}", "y,end", ""]).encode("cp1252")
    shown, found = read(tmp_path / "a.csv", content)
    assert shown == "comma, Windows-1252, 2 columns"
    assert len(found) == 40_002
    assert found[-2:] == [{"id": "x", "title": late}, {"id": "y", "title": "end"}]


@pytest.mark.parametrize("codec", ["cp1252", "utf-16-le"])
def test_what_cannot_be_decoded_costs_its_row(tmp_path, codec):
    content = "id;title\n1;Café\n2;?\n3;Crème\n".encode(codec)
    broken = content.replace("?".encode(codec), b"\x81" if codec == "cp1252" else b"\x00\xd8")
    shown, rows = read(tmp_path / "a.csv", broken, encoding=codec)
    said = "Windows-1252" if codec == "cp1252" else "UTF-16"
    assert shown == f"semicolon, {said}, 2 columns"
    assert rows == [
        {"id": "1", "title": "Café"},
        f"the line is not {said}",
        {"id": "3", "title": "Crème"},
    ]


@pytest.mark.parametrize(
    ("content", "title"),
    [
        ('id, title, price\n1, "Lamp, big", 12\n2, "Chair", 13\n', "Lamp, big"),
        ('id; title\n1; "Lamp; ""big"""\n2; Chair\n', 'Lamp; "big"'),
        ("id,title\n1,'Lamp, big'\n2,'Chair'\n3,'x, y'\n", "Lamp, big"),
        ("id,title\n1,'n Sync\n2,Men's\n", "'n Sync"),
        ("id\ttitle\n1\t  Lamp \n", "Lamp "),
    ],
)
def test_quotes_and_blanks(tmp_path, content, title):
    assert titles(tmp_path / "a.csv", content)[0] == title


def test_a_line_of_excel_names_the_delimiter(tmp_path):
    for first in ("sep=;\r\n", '"sep=;"\n', "SEP=;\n"):
        found = format_of(write(tmp_path / "a.csv", first + "id;title\n1;Lamp, big\n"))
        assert found.shown == "semicolon, UTF-8, 2 columns"
        assert [*read_rows(tmp_path / "a.csv", found)] == [(3, {"id": "1", "title": "Lamp, big"})]


@pytest.mark.parametrize("opening", ["late", "early"])
def test_tabs_without_quoting_lose_no_row_to_a_quote(tmp_path, opening):
    rows = [f"{n}\tTitle {n}\t{n}" for n in range(5000)]
    for n in (7, 9) if opening == "early" else (4100, 4200):
        rows[n] = f'{n}\t"Title {n}\t{n}'
    shown, found = read(tmp_path / "a.tsv", "\n".join(["id\ttitle\tn", *rows, ""]))
    assert shown == "tab, UTF-8, without quotes, 3 columns"
    assert len(found) == 5000
    assert found[7]["title"] == ('"Title 7' if opening == "early" else "Title 7")


def test_a_stray_quote_costs_one_row_and_not_those_after_it(tmp_path):
    rows = [f"{n},Title {n},{n}" for n in range(1000)]
    rows[500] = '500,"Title, 500'
    rows[800] = '800,a "b" c",800'
    shown, found = read(tmp_path / "a.csv", "\n".join(["id,title,n", *rows, '1000,"x, y",5', ""]))
    assert shown == "comma, UTF-8, 3 columns"
    unusable = [n for n, row in enumerate(found) if isinstance(row, str)]
    assert (len(found), unusable) == (1001, [500])
    assert found[800]["title"] == 'a "b" c"'


def test_a_stray_quote_that_another_one_closes_costs_one_row(tmp_path):
    rows = [f"{n},Title {n},{n}" for n in range(50)]
    rows[20], rows[30] = '20,"Title,20', '30,Title",30'
    _, found = read(tmp_path / "a.csv", "\n".join(["id,title,n", *rows, '50,"a, b",5', ""]))
    unusable = [(n, row) for n, row in enumerate(found) if isinstance(row, str)]
    assert unusable == [(20, "a quote opens in the line, and takes in rows after it")]
    assert (len(found), found[30]["title"]) == (51, 'Title"')


def test_lines_of_a_text_in_quotes_stay_one_cell(tmp_path):
    text = "one, two\nthree\n\nfour, five, six\nseven, eight"
    content = f'id,title,text\n1,Oak,"{text}"\n2,Elm,"a\nb"\n'
    _, found = read(tmp_path / "a.csv", content)
    assert [row["text"] for row in found] == [text, "a\nb"]


def test_quotes_may_be_escaped_by_a_backslash(tmp_path):
    content = (
        'id;title;by\n"1";"Real \\"J. Peterman\\" through";"x"\n"2";"C:\\dir";"y"\n'
        '"3";"ends in \\"a\\"";"z"\n"4";"the \\"last";"z"\n"5";"";"z"\n'
    )
    assert titles(tmp_path / "a.csv", content) == [
        'Real "J. Peterman" through',
        "C:\\dir",
        'ends in "a"',
        'the "last',
        "",
    ]


def test_empty_cells_may_follow_a_row(tmp_path):
    _, rows = read(tmp_path / "a.csv", "id,title\n1,Oak,\n2,Pine,,\n3,Elm,x\n4\n")
    wrong = "the row has more or fewer cells than the header"
    assert rows == [{"id": "1", "title": "Oak"}, {"id": "2", "title": "Pine"}, wrong, wrong]


def test_rows_without_any_value_are_no_rows(tmp_path):
    content = ";;\n\nid;title;n\n1;Oak;5\n;;\n" + '2;Elm;"6"\n' + " ;;\n" * 50
    found = format_of(write(tmp_path / "a.csv", content))
    assert [*read_rows(tmp_path / "a.csv", found)] == [
        (4, {"id": "1", "title": "Oak", "n": "5"}),
        (6, {"id": "2", "title": "Elm", "n": "6"}),
    ]


def test_a_column_without_a_name_is_not_read(tmp_path):
    shown, rows = read(tmp_path / "a.csv", ",id,title\n0,1,Oak\n1,2,Pine\n")
    assert shown == "comma, UTF-8, 3 columns"
    assert rows == [{"id": "1", "title": "Oak"}, {"id": "2", "title": "Pine"}]


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ("1::Heat (1995)::Action|Crime\n2::Up (2009)::Drama\n", 3),
        ("1::5::3::978302109\n1::6::4::978302110\n", 4),
        ("196\t242\t3\t881250949\n186\t302\t3\t891717742\n", 4),
        ("1|Heat (1995)|15-Dec-1995||http://x.y/heat|0|1\n2|Up|29-May-2009||http://x.y|0|0\n", 7),
        ("17,Oak lamp,Lighting\n18,Pine shelf,Storage\n", 3),
        ("17,Oak lamp\n", 2),
        ("A-1;Lamp;2021-03-04\nA-2;Shelf;2021-03-05\n", 3),
    ],
)
def test_files_without_a_header(tmp_path, content, names):
    shown, rows = read(tmp_path / "a.dat", content)
    assert shown.endswith(f", no header, {names} columns")
    assert len(rows) == content.count("\n")
    assert list(rows[0]) == [f"column_{n}" for n in range(1, names + 1)]


@pytest.mark.parametrize(
    "content",
    [
        "id,2019,2020\na,1,2\n",
        "Name;Größe\nx;y\n",
        "Artikelnummer;Preis\n17;3\n",
        "movieId,x\n1,2\n",
    ],
)
def test_files_with_a_header(tmp_path, content):
    shown, rows = read(tmp_path / "a.csv", content)
    assert "header" not in shown
    assert len(rows) == 1


def test_a_recipe_sets_what_is_guessed_wrong(tmp_path):
    content = "A:Oak: lamp\nB:Pine: shelf\n".encode("utf-16-le")
    settings = {"encoding": "utf-16-le", "delimiter": ":", "columns": ["id", "title", "kind"]}
    shown, rows = read(tmp_path / "a.csv", content, **settings)
    assert shown == "':', utf-16-le, no header, 3 columns".replace("utf-16-le", "UTF-16")
    assert rows[1] == {"id": "B", "title": "Pine", "kind": "shelf"}
    named = {"columns": ["id", "title"], "header": True}
    assert read(tmp_path / "b.csv", "a,b\n1,x\n", **named)[1] == [{"id": "1", "title": "x"}]
    same = {"columns": ["ID", "Title"]}
    assert read(tmp_path / "b.csv", "id,title\n1,x\n", **same)[1] == [{"ID": "1", "Title": "x"}]
    assert read(tmp_path / "b.csv", '1,"x\n2,y\n', header=False, quote="")[1] == [
        {"column_1": "1", "column_2": '"x'},
        {"column_1": "2", "column_2": "y"},
    ]


def test_columns_that_a_recipe_names_are_taken_by_their_names(tmp_path):
    path = write(tmp_path / "a.dat", "Oak lamp::17\nPine shelf::18\n")
    recipe = Recipe.model_validate({"format": {"items": {"columns": ["name", "sku"]}}})
    items = read_items(path, recipe)
    assert (items.ids, items.columns["title"]) == (["17", "18"], ["Oak lamp", "Pine shelf"])


def test_a_recipe_whose_columns_do_not_fit_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"names 2 columns of a\.csv, which has 3: 'a', 'b', 'c'"):
        read(tmp_path / "a.csv", "a,b,c\n1,2,3\n", columns=["id", "title"])


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ('delimiter = "\\n"', r"format\.items\.delimiter: .*line break"),
        ('encoding = "klingon"', r"format\.items\.encoding: .*no such encoding"),
        ('columns = ["a", "a"]', r"format\.items\.columns: .*a name of its own"),
        ('quote = "x"', r"format\.items\.quote"),
        ("separator = 1", r"format\.items\.separator"),
    ],
)
def test_a_recipe_with_a_wrong_format_names_the_key(tmp_path, lines, message):
    write(tmp_path / "r.toml", f"[format.items]\n{lines}\n")
    with pytest.raises(UsageError, match=rf"r\.toml: {message}"):
        load_recipe(tmp_path / "r.toml")


def test_a_format_of_a_recipe_is_shown_again():
    recipe = Recipe.model_validate({"format": {"events": {"delimiter": ";"}}})
    assert recipe.shown()["format"] == {"events": {"delimiter": ";"}}


OBJECTS = [{"id": "1", "title": "Oak"}, {"id": "2", "title": "Pine\u2028x", "n": [1, {"a": None}]}]


@pytest.mark.parametrize(
    "content",
    [
        json.dumps(OBJECTS),
        json.dumps(OBJECTS, indent=1, ensure_ascii=False),
        " \n" + json.dumps(OBJECTS, indent="\t") + "\n\n",
        json.dumps({"products": OBJECTS}),
        json.dumps({"page": 1, "results": OBJECTS, "total": 2}, indent=2),
        "\n".join(json.dumps(each, indent=2) for each in OBJECTS),
    ],
)
def test_json_documents(tmp_path, content):
    assert read(tmp_path / "a.csv", content) == ("JSON, UTF-8", OBJECTS)


def test_json_lines_in_other_encodings(tmp_path):
    lines = "".join(json.dumps(each, ensure_ascii=False) + "\n" for each in [{"id": "é"}, {}])
    for codec, shown in (("utf-16", "UTF-16"), ("cp1252", "Windows-1252"), ("utf-8-sig", "UTF-8")):
        found = read(tmp_path / "a.txt", lines.encode(codec))
        assert found == (f"JSON Lines, {shown}", [{"id": "é"}, {}])


def test_an_encoding_of_a_recipe_is_not_for_json_in_utf8(tmp_path):
    line = '{"id": "é"}\n'
    found = read(tmp_path / "a.txt", line, encoding="cp1252")
    assert found == ("JSON Lines, UTF-8", [{"id": "é"}])
    found = read(tmp_path / "a.txt", line.encode("cp850"), encoding="cp850")
    assert found == ("JSON Lines, CP850", [{"id": "é"}])


def test_one_object_is_one_row_and_its_lists_are_no_rows(tmp_path):
    item = {"id": 1, "variants": [{"sku": "a"}, {"sku": "b"}]}
    assert read(tmp_path / "a.json", json.dumps(item))[1] == [item]
    assert read(tmp_path / "a.json", json.dumps(item, indent=2))[1] == [item]


def test_a_json_array_is_read_in_pieces_and_counts_lines(tmp_path):
    rows = [{"id": n, "text": "é" * 500} for n in range(4000)]
    text = "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"
    found = format_of(write(tmp_path / "a.json", text))
    assert [*read_rows(tmp_path / "a.json", found)] == [*enumerate(rows, start=2)]


def test_elements_that_are_no_objects_are_counted(tmp_path):
    _, rows = read(tmp_path / "a.json", '[{"id": 1}, 7, null, {"id": "\\ud800"}, {"n": NaN}]')
    assert rows[:4] == [
        {"id": 1},
        "the element is not a JSON object",
        "the element is not a JSON object",
        "the element is not Unicode",
    ]


@pytest.mark.parametrize(
    "content",
    ['[{"id": 1},\n{"id": 2}', '[{"id": 1},\n{"id"', '[{"id": 1}]\n[', '[{"id": 1}, oops]'],
)
def test_a_json_array_that_breaks_off_refuses_the_file(tmp_path, content):
    with pytest.raises(BadDataError, match=r"a\.json: JSON breaks off in line [12]: "):
        read(tmp_path / "a.json", content)


def test_all_kinds_may_be_packed(tmp_path):
    parquet = io.BytesIO()
    pq.write_table(pa.table({"id": ["1", "2"], "title": ["Oak", "Pine"]}), parquet)
    kinds = {
        "Parquet, 2 columns": parquet.getvalue(),
        "tab, UTF-8, 2 columns": b"id\ttitle\n1\tOak\n2\tPine\n",
        "JSON, UTF-8": b'[{"id": "1", "title": "Oak"}, {"id": "2", "title": "Pine"}]',
        "JSON Lines, UTF-8": b'{"id": "1", "title": "Oak"}\n{"id": "2", "title": "Pine"}\n',
    }
    for shown, content in kinds.items():
        for packed in (content, gzip.compress(content)):
            assert read(tmp_path / "a.bin", packed) == (
                shown,
                [{"id": "1", "title": "Oak"}, {"id": "2", "title": "Pine"}],
            )


def test_a_packed_file_that_is_cut_off_is_refused(tmp_path):
    draw = random.Random(1)
    text = "id,title\n" + "".join(f"{n},{draw.random()}\n" for n in range(9000))
    whole = gzip.compress(text.encode())
    for damaged in (whole[:-9], whole[: len(whole) // 2], whole[:40] + b"\xff" * 9 + whole[49:]):
        with pytest.raises(BadDataError, match=r"a\.gz cannot be unpacked"):
            read(tmp_path / "a.gz", damaged)


def test_files_of_another_kind_say_what_they_are(tmp_path):
    workbook = io.BytesIO()
    with zipfile.ZipFile(workbook, "w") as archive:
        archive.writestr("xl/workbook.xml", "x")
    for content, message in (
        (workbook.getvalue(), "a ZIP archive or an Excel workbook"),
        (bz2.compress(b"id"), "packed by bzip2"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(32)) * 40, "neither text nor Parquet"),
    ):
        with pytest.raises(BadDataError, match=message):
            read(tmp_path / "a.csv", content)
    with pytest.raises(BadDataError, match="is a folder, not a file"):
        format_of(tmp_path)


def test_an_empty_file_has_no_rows(tmp_path):
    for content in ("", "\n \n", "\ufeff"):
        assert read(tmp_path / "a.csv", content)[1] == []
    assert read(tmp_path / "a.csv", "")[0] == "an empty file"
