"""Categories in the forms that exports have."""

import pytest

from app.domain.category_names import WrongCategoriesError, category_names, named


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Tea|Herbal", ("Tea", "Herbal")),
        ([{"id": 7, "name": "Drama"}, {"id": 9, "name": "War"}], ("Drama", "War")),
        ([["Books", "Crime"], ["Books", "Gifts"]], ("Books", "Crime", "Gifts")),
        ({"Title": "Sofas", "parent": {"title": "Furniture"}}, ("Furniture", "Sofas")),
        ([{"name": "A", "children": [{"name": "B"}, {"name": "C"}]}], ("A", "B", "C")),
        ("Home > Bath > Towels", ("Home", "Bath", "Towels")),
        (["Home>Bath", "Home>Kitchen"], ("Home", "Bath", "Kitchen")),
        ("Electronics › Audio", ("Electronics", "Audio")),
        ("Salt &amp; Pepper", ("Salt & Pepper",)),
        ("['soups', 'easy']", ("soups", "easy")),
        ('[{"id": 18, "name": "Drama"}]', ("Drama",)),
        ("[{'id': 16, 'name': 'Animation'}]", ("Animation",)),
        ('c("Dessert", "Easy")', ("Dessert", "Easy")),
        ("c(minor)", ("c(minor)",)),
        ([{"categoryName": "Toys", "id": 9}], ("Toys",)),
        ("Size >XL", ("Size >XL",)),
        ("A -> B", ("A -> B",)),
        ("[sic]", ("[sic]",)),
        ([2019, 3.5], ("2019", "3.5")),
        ([], None),
        (" | ", None),
    ],
)
def test_names_are_found(value: object, names: tuple[str, ...] | None) -> None:
    assert category_names(value) == names


@pytest.mark.parametrize(
    "value", [7, True, {"id": 3}, [True], [None], [{"name": 3}], {"a": {}}, [[["a"]]]]
)
def test_what_names_no_categories(value: object) -> None:
    with pytest.raises(WrongCategoriesError):
        category_names(value)


def test_parts_without_a_name_are_left_out_where_others_have_one() -> None:
    value = [{"name": "Kitchen"}, {"name": None}, {"id": 3}, True, "Cups"]
    assert list(named(value)) == ["Kitchen", "Cups"]
    assert list(named([None, [[["a"]]]])) == ["a"]
    inner = {"main": {"name": "Books"}, "others": [{"name": "Crime"}]}
    assert list(named(inner)) == ["Books", "Crime"]
    with pytest.raises(WrongCategoriesError):
        category_names(value)


def test_endless_nesting_is_refused() -> None:
    value: object = "x"
    for _ in range(500):
        value = [value]
    with pytest.raises(WrongCategoriesError):
        category_names(value)
