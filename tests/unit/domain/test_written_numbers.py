"""Money and other numbers as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.domain.written_numbers import NumberStyle, lowest_written, number_of, written


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("$4.95", 4.95),
        ("GBP 1,250", 1250.0),
        ("2.499,00 €", 2499.0),
        ("€12", 12.0),
        ("49,-", 49.0),
        ("49,- kr", 49.0),
        ("CHF 19.–", 19.0),
        ("Rs. 1,299/-", 1299.0),
        ("2 499,50 kr.", 2499.5),
        ("2\u00a0499\u00a0000", 2499000.0),
        ("1'299.50", 1299.5),
        ("R$ 59,90", 59.9),
        ("US$5", 5.0),
        ("¥1200", 1200.0),
        ("1200円", 1200.0),
        ("12,34,567.00", 1234567.0),
        ("-$3.50", -3.5),
        ("−7,5", -7.5),
        ("0,299", 0.299),
        ("1,299", 1299.0),
        ("1.299", 1.299),
        ("1.299 €", 1299.0),
        (".5", 0.5),
        ("12345678", 12345678.0),
        ("$0.99", 0.99),
        ("1.000.000", 1000000.0),
    ],
)
def test_numbers_as_people_write_them(text: str, number: float) -> None:
    assert number_of(text) == number
    assert number_of(f"  {text} ") == number


@pytest.mark.parametrize(
    "text",
    [
        *("", "call us", "$", "$$", "007", "5-10", "1.2.3", "1,2,3", "12 3456", "12%", "20 kg"),
        *("AB12", "abc 12", "1e5", "--5", "020 7946 0958", "1,29.5,0", "9" * 16, "1" * 100),
        *("from $5", "5 to 9 EUR", "12,", "1 2 3"),
    ],
)
def test_what_is_no_number(text: str) -> None:
    assert written(text) is None


@pytest.mark.parametrize(
    ("texts", "numbers"),
    [
        (["1,299", "12.50"], [1299.0, 12.5]),
        (["1,299", "12,5"], [1.299, 12.5]),
        (["1.299", "12,50"], [1299.0, 12.5]),
        (["1.299", "0.5"], [1.299, 0.5]),
        (["$1,299", "$45"], [1299.0, 45.0]),
        (["1.299 €", "45 €"], [1299.0, 45.0]),
        (["€1.299", "€9.50"], [1.299, 9.5]),
        (["1,299", "1,299,000"], [1299.0, 1299000.0]),
        (["EUR 12,90", "$12.99", "1,299"], [12.9, 12.99, 1299.0]),
    ],
)
def test_the_others_tell_what_a_separator_means(texts: list[str], numbers: list[float]) -> None:
    forms = [form for text in texts if (form := written(text)) is not None]
    style = NumberStyle.of(forms)
    assert [style.number(form) for form in forms] == numbers


@pytest.mark.parametrize(
    ("text", "digits"),
    [
        *(("£5 – £9", "5"), ("5-10", "5"), ("12,90 € bis 15,90 €", "12.90"), ("ab 12 €", "12")),
        *(("From $3", "3"), ("$4", "4"), ("1-2-3", None), ("cheap - $5", None), ("", None)),
    ],
)
def test_the_lower_end_of_a_range(text: str, digits: str | None) -> None:
    form = lowest_written(text)
    assert (None if form is None else form.digits) == digits


@given(st.text(max_size=30))
def test_any_text_is_a_finite_number_or_none(text: str) -> None:
    number = number_of(text)
    assert number is None or abs(number) < 1e16
