"""Other ways to write a word of a query that an item may use: numerals and units.

They count only for queries, beside the word itself and a little less: the words of an item stay as
they are written. So "Rocky 4" finds "Rocky IV", while "IV drip" is no 4.
"""

from typing import Final

_NUMERALS: Final = (
    "ii iii iv v vi vii viii ix x xi xii xiii xiv xv xvi xvii xviii xix xx".split()  # noqa: SIM905
)
NUMERALS: Final = {numeral: str(number) for number, numeral in enumerate(_NUMERALS, 2)}
"""Roman numerals in small letters -> decimal. "i" is not among them: it is a word."""

_OF_NUMBER: Final = {number: numeral for numeral, number in NUMERALS.items()}

_UNITS: Final = (
    ("gb", "gigabyte"),
    ("tb", "terabyte"),
    ("mb", "megabyte"),
    ("mm", "millimeter", "millimetre"),
    ("cm", "centimeter", "centimetre"),
    ("m", "meter", "metre"),
    ("km", "kilometer", "kilometre"),
    ("inch", "in"),
    ("ft", "foot", "feet"),
    ("ml", "milliliter", "millilitre"),
    ("l", "liter", "litre", "ltr"),
    ("g", "gram", "gr"),
    ("kg", "kilogram", "kilo"),
    ("oz", "ounce"),
    ("lb", "pound"),
    ("w", "watt"),
    ("v", "volt"),
)
_OF_UNIT: Final = {
    unit: tuple(other for other in units if other != unit) for units in _UNITS for unit in units
}


WITH_VARIANTS: Final = frozenset({*NUMERALS, *_OF_NUMBER, *_OF_UNIT})
"""The words that may have any."""


def variants_of(word: str, before: str) -> tuple[str, ...]:
    """Return other ways to write a word that follows another one; both are cut and stemmed.

    >>> variants_of("4", "rocky"), variants_of("iv", "rocky"), variants_of("gb", "16")
    (('iv',), ('4',), ('gigabyte',))
    >>> variants_of("x", "spy"), variants_of("men", "x"), variants_of("g", "spy")
    (('10',), (), ())
    """
    if word in NUMERALS:
        return (NUMERALS[word],)
    if word in _OF_NUMBER:
        return (_OF_NUMBER[word],)
    if before[-1:].isdecimal():
        return _OF_UNIT.get(word, ())
    return ()
