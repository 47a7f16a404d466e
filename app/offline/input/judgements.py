"""Reading judgements: how well items fit queries, as people have graded them.

A row that cannot be used is counted with its line number and reason. A row about an item that the
catalogue does not contain is counted too, and adds nothing. This module does not know what is
learned from grades.
"""

from array import array
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from app.domain.columns import Floats
from app.domain.values import Cell, Unusable, is_missing, parse_id, parse_number, parse_query
from app.offline.input.fitted_columns import fitted
from app.offline.input.read_report import ReadReport, counted_rows
from app.offline.input.recipe import Recipe

HIGHEST_GRADE = 100.0

_MOST_NAMED = 10


@dataclass(frozen=True, slots=True)
class Judgements:
    """The grades of n pairs of a query and an item, by query and then by row; each pair once.

    Attributes:
        queries: the different queries that have a grade, in the order of the file.
        query: int32[n], positions in `queries`, ascending.
        item_rows: int32[n], rows of the catalogue.
        grades: float32[n], 0 to `HIGHEST_GRADE`, higher = fits better; any scale.
        report: what was counted while reading, None where no file was. `duplicates` are rows that
            grade a pair again; the pair has the mean of its grades.
    """

    queries: list[str]
    query: npt.NDArray[np.int32]
    item_rows: npt.NDArray[np.int32]
    grades: npt.NDArray[np.float32]
    report: ReadReport | None

    def __len__(self) -> int:
        return len(self.query)

    @classmethod
    def none(cls) -> "Judgements":
        """Return no judgements."""
        no_codes = np.empty(0, np.int32)
        return cls([], no_codes, no_codes, np.empty(0, np.float32), None)


def read_judgements(path: Path, recipe: Recipe, ids: list[str]) -> Judgements:
    """Read a file of judgements.

    Args:
        path: of the file; each row has a query, the id of an item and a grade.
        recipe: says what they are called.
        ids: of the catalogue, in row order.

    Raises:
        BadDataError: the file cannot be read, lacks a column, or more than half of its rows are
            unusable.
        UsageError: the recipe does not fit the file.
    """
    report, seen = ReadReport(path.name), set[str]()
    recipe, file_format, report.guessed = fitted(path, recipe, "judgements")
    columns = recipe.judgements
    row_of = {item: row for row, item in enumerate(ids)}
    codes: dict[str, int] = {}
    query, item_rows, grades = array("i"), array("i"), array("d")
    unknown: dict[str, int] = {}
    for line, cells in counted_rows(path, file_format, report):
        seen.update(cells)
        try:
            words = _words(cells.get(columns.query))
            item = cells.get(columns.item_id)
            item_id = parse_id(item, "item_id", whole_floats=file_format.whole_floats)
            grade = _grade(cells.get(columns.grade))
        except Unusable as reason:
            report.reject(line, reason)
            continue
        row = row_of.get(item_id)
        if row is None:
            unknown[item_id] = unknown.get(item_id, 0) + 1
            continue
        query.append(codes.setdefault(words, len(codes)))
        item_rows.append(row)
        grades.append(grade)
    recipe.check_columns("judgements", seen, path.name)
    report.check()
    _note_unknown(unknown, report)
    # One integer stands for a pair, so that plain arrays are sorted and compared.
    pairs = np.array(query, np.int64) * len(ids) + np.array(item_rows, np.int64)
    distinct, positions, counts = np.unique(pairs, return_inverse=True, return_counts=True)
    report.duplicates = len(pairs) - len(distinct)
    means = np.bincount(positions, np.array(grades), len(distinct)) / counts
    query_codes, rows = np.divmod(distinct, max(len(ids), 1))
    _note_levels(query_codes.astype(np.int32), means, report)
    return Judgements(
        queries=list(codes),
        query=query_codes.astype(np.int32),
        item_rows=rows.astype(np.int32),
        grades=means.astype(np.float32),
        report=report,
    )


def _note_levels(query: npt.NDArray[np.int32], grades: Floats, report: ReadReport) -> None:
    """Count the queries whose items all have one grade: they tell nothing apart."""
    if not len(query):
        return
    starts = np.flatnonzero(np.diff(query, prepend=-1))
    level = np.minimum.reduceat(grades, starts) == np.maximum.reduceat(grades, starts)
    n_level = int(np.count_nonzero(level))
    report.noted["judged_query_of_one_grade"] = n_level
    if n_level:
        report.notes.append(
            f"{n_level} of {len(starts)} queries teach nothing: their items all have one grade"
        )


def _words(cell: Cell) -> str:
    words = parse_query(cell)
    if not words:
        raise Unusable("query is missing")
    return words


def _grade(cell: Cell) -> float:
    if is_missing(cell):
        raise Unusable("grade is missing")
    grade = parse_number(cell, "grade")
    if not 0.0 <= grade <= HIGHEST_GRADE:
        raise Unusable(f"grade is not from 0 to {HIGHEST_GRADE:g}")
    return grade


def _note_unknown(unknown: dict[str, int], report: ReadReport) -> None:
    """Count the rows about unknown items, and name the first of these."""
    report.noted["unknown_judged_item"] = sum(unknown.values())
    if unknown:
        named = ", ".join(map(repr, list(unknown)[:_MOST_NAMED]))
        more = f" and {len(unknown) - _MOST_NAMED} more" if len(unknown) > _MOST_NAMED else ""
        report.notes.append(f"judged items that the catalogue does not have: {named}{more}")
