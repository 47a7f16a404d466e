"""What `recserve inspect` shows of files, and that its output is a recipe as it is printed."""

import json
import tomllib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from app.bundle.reader import open_bundle
from app.cli import main
from app.core.errors import BadDataError, UsageError
from app.offline.build import build
from app.offline.input.inspection import MAX_ROWS, inspect, recipe_of
from app.offline.input.recipe import Recipe, load_recipe
from tests.bundles import fake_encoder, write_jsonl

SHOP = (
    "Handle;Title;Body (HTML);Vendor;Tags;Preis;Laufzeit (min);Note\n"
    'ring;Ring;"<p>A ring,\nof gold</p>";Acme;gold|round;19,90;5;x\n'
    "ring;;;;;17,90;;\n"
    'chair;"Chair; oak";A chair;Öko;wood;99,00;;y\x07z\n'
)


def write(path, content):
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def shown(*paths, recipe=None):
    return recipe_of([inspect(path, recipe or Recipe()) for path in paths])


def test_a_file_is_shown_with_columns_kinds_samples_and_uses(tmp_path):
    path = write(tmp_path / "shop.csv", SHOP.encode("cp1252"))
    lines = shown(path).splitlines()
    assert lines[0] == "# shop.csv: semicolon, Windows-1252, 8 columns; 3 rows, read as items"
    table = [line.removeprefix("# ").split() for line in lines[2:11]]
    assert table[0] == ["column", "kind", "filled", "taken", "for", "samples"]
    assert table[1] == ["Handle", "string", "100%", "id", "ring;", "chair"]
    assert table[2] == ["Title", "string", "67%", "title", "Ring;", "Chair;", "oak"]
    assert table[4] == ["Vendor", "string", "67%", "provider", "Acme;", "Öko"]
    assert table[6] == ["Preis", "number", "100%", "price", "19,90;", "17,90;", "99,00"]
    assert table[7] == ["Laufzeit", "(min)", "number", "33%", "runtime", "5"]
    assert table[8] == ["Note", "string", "67%", "x;", "yz"]
    assert '# encoding = "cp1252"' in lines
    assert '# delimiter = ";"' in lines


@pytest.mark.parametrize(
    ("content", "recipe"),
    [
        (
            "Handle,Title,Body (HTML),Vendor,Tags,Variant Price\nring,Ring,<p>A</p>,Acme,x,5\n",
            {
                "items": {
                    "id": "Handle",
                    "title": "Title",
                    "text": "Body (HTML)",
                    "categories": "Tags",
                },
                "roles": {"price": "Variant Price", "provider": "Vendor"},
            },
        ),
        (
            "id\ttitle\tduration_ms\tartists\n1\tSong\t230000\tA\n",
            {
                "items": {"id": "id", "title": "title"},
                "roles": {"runtime": "duration_ms", "provider": "artists"},
                "units": {"duration_ms": "milliseconds"},
            },
        ),
        (
            "userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n",
            {"events": {"user_id": "userId", "item_id": "movieId", "timestamp": "timestamp"}},
        ),
        (
            '"User-ID";"ISBN";"Book-Rating"\n"27";"034";"5"\n',
            {
                "events": {
                    "user_id": "User-ID",
                    "item_id": "ISBN",
                    "value": "Book-Rating",
                    "default_event": "rating",
                }
            },
        ),
        (
            "1::1193::5::978300760\n1::661::3::978302109\n",
            {
                "events": {
                    "user_id": "column_1",
                    "item_id": "column_2",
                    "value": "column_3",
                    "timestamp": "column_4",
                    "default_event": "rating",
                }
            },
        ),
        (
            "1::Heat (1995)::Crime|Drama\n2::Up (2009)::Animation|Drama\n",
            {"items": {"id": "column_1", "title": "column_2", "categories": "column_3"}},
        ),
        ("Kunden-ID;Alter;Land\n17;33;DE\n", {"users": {"id": "Kunden-ID"}}),
        (
            "search_term,product_uid,relevance\nangle bracket,10,3\n",
            {
                "judgements": {
                    "query": "search_term",
                    "item_id": "product_uid",
                    "grade": "relevance",
                }
            },
        ),
    ],
)
def test_the_output_is_a_recipe(tmp_path, content, recipe):
    text = shown(write(tmp_path / "a.csv", content))
    assert tomllib.loads(text) == recipe
    load_recipe(write(tmp_path / "r.toml", text))


def test_a_build_by_the_recipe_is_the_build_of_the_guess(tmp_path):
    items = write(tmp_path / "items.csv", SHOP)
    events = write(tmp_path / "events.csv", "customer,sku,when\n7,ring,2024-01-01\n8,chair,2024\n")
    write(tmp_path / "shop.toml", shown(items, events))
    recipes = [Recipe(), load_recipe(tmp_path / "shop.toml")]
    built = []
    for name, recipe in zip("ab", recipes, strict=True):
        build(items, events, recipe, tmp_path / name, fake_encoder)
        built.append(open_bundle(tmp_path / name))
    facts = [
        (each.manifest.n_items, each.manifest.n_users, each.manifest.n_events, each.manifest.roles)
        for each in built
    ]
    assert facts[0] == facts[1]
    assert facts[0][:3] == (2, 2, 2)
    assert built[0].manifest.recipe["items"] == built[1].manifest.recipe["items"]


def test_what_is_missing_is_said_and_the_output_stays_a_recipe(tmp_path):
    text = shown(write(tmp_path / "a.csv", "colour,weight\nred,3\n"))
    assert '# no column is known as the id; name it: id = "…" in [items]' in text.splitlines()
    assert tomllib.loads(text) == {}


def test_rows_that_cannot_be_read_are_counted(tmp_path):
    text = shown(write(tmp_path / "a.csv", "id,title\n1,Oak\n2\n3,Elm\n"))
    assert "# 1 of them cannot be read, the first: line 3: the row has more or fewer" in text


def test_a_long_file_is_inspected_by_its_first_rows(tmp_path):
    rows = [{"id": n, "title": f"t{n}"} for n in range(MAX_ROWS + 5)]
    found = inspect(write_jsonl(tmp_path / "a.jsonl", rows), Recipe())
    assert (found.rows, found.is_whole) == (MAX_ROWS, False)
    assert "; the first 10,000 rows, read as items" in recipe_of([found])
    found = inspect(write_jsonl(tmp_path / "a.jsonl", rows[:MAX_ROWS]), Recipe())
    assert (found.rows, found.is_whole) == (MAX_ROWS, True)


def test_other_kinds_of_files(tmp_path):
    pq.write_table(pa.table({"sku": ["1"], "name": ["Oak"], "tags": [["a", "b"]]}), tmp_path / "p")
    text = shown(tmp_path / "p")
    assert text.startswith("# p: Parquet, 3 columns; 1 rows, read as items")
    assert "format" not in text
    assert tomllib.loads(text)["items"] == {"id": "sku", "title": "name", "categories": "tags"}
    write(tmp_path / "j", json.dumps([{"id": 1, "title": "Oak", "n": {"a": 1}}], indent=1))
    assert shown(tmp_path / "j").startswith("# j: JSON, UTF-8; 1 rows, read as items")
    with pytest.raises(BadDataError, match=r"e has no rows that can be read \(an empty file\)"):
        shown(write(tmp_path / "e", ""))


def test_two_files_of_one_kind_are_refused_and_a_kind_may_be_given(tmp_path):
    one = write(tmp_path / "a.csv", "id,title\n1,Oak\n")
    other = write(tmp_path / "b.csv", "id,age\n1,33\n")
    with pytest.raises(UsageError, match=r"a\.csv and b\.csv are both taken for items"):
        shown(one, other)
    assert tomllib.loads(recipe_of([inspect(other, Recipe(), "users")])) == {"users": {"id": "id"}}


def test_a_recipe_that_is_given_is_heeded(tmp_path):
    path = write(tmp_path / "a.csv", "A:Oak\nB:Elm\n")
    write(tmp_path / "r.toml", '[format.items]\ndelimiter = ":"\ncolumns = ["id", "title"]\n')
    text = shown(path, recipe=load_recipe(tmp_path / "r.toml"))
    assert tomllib.loads(text) == {"items": {"id": "id", "title": "title"}}


def test_the_command_prints_a_recipe_or_json(tmp_path, capsys):
    path = write(tmp_path / "a.csv", "Handle,Title,Price\nx,Oak,3\n")
    assert main(["inspect", str(path)]) == 0
    text = capsys.readouterr().out
    assert tomllib.loads(text)["items"] == {"id": "Handle", "title": "Title"}
    assert main(["inspect", str(path), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["recipe"] == text
    (file,) = facts["files"]
    assert (file["section"], file["rows"], file["read_as"]) == (
        "items",
        1,
        "comma, UTF-8, 3 columns",
    )
    assert file["columns"][2] == {
        "name": "Price",
        "kind": "number",
        "filled": 1.0,
        "samples": ["3"],
        "use": "price",
    }
    assert main(["inspect", str(path), str(path), "--as", "items"]) == 2
    assert main(["inspect", str(tmp_path / "absent.csv")]) == 3
