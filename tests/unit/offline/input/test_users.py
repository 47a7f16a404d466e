"""Files of users: what becomes an attribute, and of which kind."""

import pytest

from app.core.errors import BadDataError, UsageError
from app.offline.input.recipe import Recipe, UserColumns
from app.offline.input.users import read_users
from tests.bundles import write_jsonl
from tests.who_where import COUNTRIES, who_where


def users_of(tmp_path, rows, recipe=None):
    return read_users(write_jsonl(tmp_path / "users.jsonl", rows), recipe or Recipe())


def csv_users(tmp_path, text, recipe=None):
    path = tmp_path / "users.csv"
    path.write_text(text)
    return read_users(path, recipe or Recipe())


def test_attributes_have_the_kind_of_their_column(tmp_path):
    users = users_of(
        tmp_path,
        [
            {"id": 7, "country": "NZ", "age": 31, "new": True, "likes": ["tea"], "mixed": 1},
            {"user_id": "b", "age": None, "likes": [], "born": "2001-02-03", "mixed": "x"},
            {"user": "c", "country": " ", "nested": {"a": 1}},
        ],
    )
    assert users.keys == ["u:7", "u:b", "u:c"]
    assert users.kinds == {
        "country": "string",
        "age": "number",
        "new": "boolean",
        "likes": "strings",
        "mixed": "string",
        "born": "string",
        "nested": "string",
    }
    assert users.of(0) == (
        ("age", 31.0),
        ("country", "NZ"),
        ("likes", ("tea",)),
        ("mixed", "1"),
        ("new", True),
    )
    assert users.of(1) == (("born", "2001-02-03"), ("mixed", "x"))
    assert users.of(2) == (("nested", '{"a":1}'),)


def test_a_csv_file_spells_numbers_and_booleans(tmp_path):
    users = csv_users(tmp_path, "id,age,zip,member\n1,31,01234,true\n2,,99999,false\n")
    assert users.kinds == {"age": "number", "zip": "string", "member": "boolean"}
    assert users.of(1) == (("member", False), ("zip", "99999"))


def test_rows_of_one_id_are_put_together_and_wrong_ones_counted(tmp_path):
    users = users_of(
        tmp_path,
        [
            {"id": 1, "country": "NZ", "likes": ["a"]},
            {"country": "DE"},
            {"id": "1", "country": "DE", "likes": ["b"], "age": 5},
        ],
    )
    assert users.of(0) == (("age", 5.0), ("country", "NZ"), ("likes", ("a", "b")))
    assert (users.report.duplicates, users.report.rejected) == (1, 1)
    assert users.report.examples == ["line 2: id is missing"]


def test_what_is_too_long_is_left_out_and_noted(tmp_path):
    rows = [{"id": n, "bio": "x" * (256 + n), "likes": ["y"] * (16 + n)} for n in range(3)]
    users = users_of(tmp_path, rows)
    assert [users.of(row) for row in range(3)] == [(("bio", "x" * 256), ("likes", ("y",))), (), ()]
    assert users.report.notes == [
        "2 values of 'bio' were left out: each is longer than 256 characters",
        "2 values of 'likes' were left out: each has more than 16 texts",
    ]


def test_a_recipe_names_the_id_and_chooses(tmp_path):
    recipe = Recipe(users=UserColumns(id="customer", attributes=["country"]))
    users = users_of(
        tmp_path, [{"customer": "k", "id": "no", "country": "NZ", "mail": "m@x"}], recipe
    )
    assert (users.keys, users.of(0)) == (["u:k"], (("country", "NZ"),))

    missing = Recipe(users=UserColumns(attributes=["age", "country"]))
    with pytest.raises(UsageError, match=r"users\.attributes names the column 'age', which"):
        users_of(tmp_path, [{"id": 1, "country": "NZ"}], missing)


def test_more_attributes_than_a_user_may_have_are_refused_unless_chosen(tmp_path):
    row = {"id": 1, **{f"a{n}": n for n in range(17)}}
    with pytest.raises(BadDataError, match=r"more than 16 attributes: choose some by `attributes`"):
        users_of(tmp_path, [row])
    assert users_of(tmp_path, [row], Recipe(users=UserColumns(attributes=["a3"]))).of(0) == (
        ("a3", 3.0),
    )
    with pytest.raises(BadDataError, match="no name of 1 to 64 characters"):
        users_of(tmp_path, [{"id": 1, "x" * 65: 1}])
    with pytest.raises(BadDataError, match="no name of 1 to 64 characters"):
        users_of(tmp_path, [{"id": 1, "x ": 1}])


def test_a_mostly_wrong_file_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="2 of 3 rows"):
        users_of(tmp_path, [{"id": 1}, {"id": True}, {}])


def test_the_planted_catalogue_is_read_whole(tmp_path):
    rows = who_where(n_users=300).users
    users = users_of(tmp_path, rows)
    assert users.kinds == {"country": "string", "age": "number"}
    assert len(users) == 300
    assert set(users.columns["country"]) == set(COUNTRIES)
    assert dict(users.of(17)) == {key: rows[17][key] for key in ("country", "age")}


def test_users_without_an_id_are_counted_and_gaps_are_missing(tmp_path):
    nobody = " null ,30,a\n\\N,31,b\nNone,32,c\n,1,x\n"
    known = " u1 ,N/A,NULL\nu2,33,Oslo\nu3,34,y\nu4,35,z\nu5,36,w\n"
    users = csv_users(tmp_path, f"id,age,city\n{nobody}{known}")
    assert users.keys == ["u:u1", "u:u2", "u:u3", "u:u4", "u:u5"]
    assert dict(users.report.reasons) == {"id is missing": 4}
    assert users.of(0) == ()
    assert users.of(1) == (("age", 33.0), ("city", "Oslo"))
    assert "column 'age': numbers; 1 missing ('N/A')" in users.report.notes
