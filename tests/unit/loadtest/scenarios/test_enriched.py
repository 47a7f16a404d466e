"""Which queries the enrichment is judged by."""

from loadtest.scenarios.enriched import TEXTS, chosen


def products(n: int, grades: int) -> dict[str, float]:
    return {f"p{k}": 1.0 + k % grades for k in range(n)}


def test_queries_have_enough_products_of_different_grades_and_no_more() -> None:
    grades = {f"q{n}": products(20, 4) for n in range(9)}
    grades |= {"few": products(11, 4), "alike": products(20, 2)}
    some = chosen(grades, 5)
    assert len(some) == 5
    assert not {"few", "alike"} & some.keys()
    assert {len(each) for each in some.values()} == {14}
    assert chosen(dict(reversed(grades.items())), 5) == some
    assert len(chosen(grades, 50)) == 9


def test_the_first_text_has_none_of_the_new_columns() -> None:
    first, *others = TEXTS.values()
    assert all(other.startswith(first) and "{keywords}" in other for other in others)
    assert "{keywords}" not in first
