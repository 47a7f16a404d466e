"""Files of judgements: what a row means, and one test per rule for a wrong one."""

import pytest

from app.core.errors import BadDataError, UsageError
from app.offline.input.judgements import read_judgements
from app.offline.input.recipe import JudgementColumns, Recipe
from tests.bundles import write_jsonl

IDS = ["a", "b", "7"]
GOOD = {"query": "red sofa", "item_id": "a", "grade": 3}


def judged(tmp_path, rows):
    path = write_jsonl(tmp_path / "judged.jsonl", rows)
    return read_judgements(path, Recipe(), IDS)


def triples(judgements):
    columns = judgements.query, judgements.item_rows, judgements.grades
    return [
        (judgements.queries[query], IDS[row], grade)
        for query, row, grade in zip(*(column.tolist() for column in columns), strict=True)
    ]


def test_judgements_become_flat_arrays_by_query_and_row(tmp_path):
    found = judged(
        tmp_path,
        [
            {**GOOD, "item_id": 7, "grade": "0.5"},
            {**GOOD, "query": 1984},
            {"query": " red\tsofa ", "item_id": "a", "grade": 3, "who": "ann"},
        ],
    )
    assert triples(found) == [("red sofa", "a", 3.0), ("red sofa", "7", 0.5), ("1984", "a", 3.0)]
    assert [str(part.dtype) for part in (found.query, found.item_rows, found.grades)] == [
        "int32",
        "int32",
        "float32",
    ]
    assert len(found) == found.report.rows == 3
    assert found.report.duplicates == found.report.rejected == 0


def test_a_pair_that_is_graded_again_has_the_mean_of_its_grades(tmp_path):
    grades = [3, 0, 0]
    found = judged(
        tmp_path, [*({**GOOD, "grade": grade} for grade in grades), {**GOOD, "query": "b"}]
    )
    assert triples(found) == [("red sofa", "a", 1.0), ("b", "a", 3.0)]
    assert found.report.duplicates == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ({"query": None}, "query is missing"),
        ({"query": " "}, "query is missing"),
        ({"query": ["a"]}, "query is not text"),
        ({"query": "a" * 513}, "query is longer than 512 characters"),
        ({"item_id": None}, "item_id is missing"),
        ({"item_id": 1.5}, "item_id is neither text nor an integer"),
        ({"grade": None}, "grade is missing"),
        ({"grade": "good"}, "grade is not a number"),
        ({"grade": True}, "grade is not a number"),
        ({"grade": -0.5}, "grade is not from 0 to 100"),
        ({"grade": 101}, "grade is not from 0 to 100"),
    ],
)
def test_a_wrong_row_is_counted_with_line_and_reason(tmp_path, bad, reason):
    found = judged(tmp_path, [GOOD, {**GOOD, **bad}])
    assert triples(found) == [("red sofa", "a", 3.0)]
    assert found.report.examples == [f"line 2: {reason}"]


def test_unknown_items_are_counted_and_the_first_are_named(tmp_path):
    rows = [{**GOOD, "item_id": f"x{n}"} for n in range(12)]
    found = judged(tmp_path, [*rows, {**GOOD, "item_id": "x3", "query": "only unknown"}, GOOD])
    assert triples(found) == [("red sofa", "a", 3.0)]
    assert found.queries == ["red sofa"]
    named = ", ".join(f"'x{n}'" for n in range(10))
    assert found.report.lines() == [
        "judged.jsonl: 14 rows, 0 unusable, 0 duplicates, 1 judged query of one grade, "
        "13 unknown judged item",
        "  read as: JSON Lines, UTF-8",
        f"  judged items that the catalogue does not have: {named} and 2 more",
        "  1 of 1 queries teach nothing: their items all have one grade",
    ]


def test_columns_may_have_other_names_and_files_other_formats(tmp_path):
    path = tmp_path / "judged.csv"
    path.write_text('searched,sku,stars\n"red, sofa",7.0,4\nred,007,4\n')
    names = JudgementColumns(query="searched", item_id="sku", grade="stars")
    recipe = Recipe(judgements=names)
    found = read_judgements(path, recipe, IDS)
    assert triples(found) == [("red, sofa", "7", 4.0)]
    with pytest.raises(UsageError, match=r"judgements\.grade names the column 'stars'"):
        read_judgements(write_jsonl(tmp_path / "judged.jsonl", [GOOD]), recipe, IDS)


def test_a_file_without_grades_is_refused(tmp_path):
    with pytest.raises(BadDataError, match="2 of 3 rows cannot be used: 2 × grade is missing"):
        judged(tmp_path, [GOOD, *[{"query": "a", "item_id": "a"}] * 2])


@pytest.mark.parametrize("column", ["query", "item_id", "grade"])
def test_a_file_without_a_column_is_refused_with_what_to_do(tmp_path, column):
    rows = [{name: cell for name, cell in GOOD.items() if name != column}]
    with pytest.raises(BadDataError) as refused:
        judged(tmp_path, rows)
    meaning = column.removesuffix("_id")
    has = ", ".join(repr(name) for name in rows[0])
    assert str(refused.value) == (
        f"judged.jsonl: no column is known as the {meaning}. It has {has} "
        "(read as: JSON Lines, UTF-8). Name yours in a recipe, for example: "
        f'[judgements] {column} = "…"'
    )


def test_queries_whose_items_have_one_grade_are_counted(tmp_path):
    rows = [("sofa", "a", 1), ("sofa", "b", 2), ("lamp", "a", 3), ("bed", "a", 0), ("bed", "b", 0)]
    named = [dict(zip(("query", "item_id", "grade"), row, strict=True)) for row in rows]
    found = judged(tmp_path, named)
    assert found.report.noted["judged_query_of_one_grade"] == 2
    assert "2 of 3 queries teach nothing" in found.report.lines()[-1]


def test_a_file_without_rows_has_no_judgements(tmp_path):
    found = judged(tmp_path, [])
    assert (len(found), found.queries) == (0, [])
    path = write_jsonl(tmp_path / "judged.jsonl", [GOOD])
    assert len(read_judgements(path, Recipe(), [])) == 0
