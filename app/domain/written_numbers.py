"""Numbers as people write them: money, and digits with a decimal comma or grouped thousands.

One value may be ambiguous: `1,299` is 1299 where a point marks decimals, and 1.299 where a comma
does. So the numbers of a column are read together, and the others tell. Without any that does, a
comma before exactly three digits groups thousands. A point marks decimals there, but groups
thousands in money, which hardly has three of them. This module does not know what a column is.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

_SYMBOLS = r"(?:US|CA|AU|NZ|HK|SG|NT|MX|RD|A|C|R|S)?\$|[¢£¤¥֏؋৳฿៛₠-⃀﷼€＄￠￡￥￦]"
_CODES = (
    "AED ARS AUD BDT BGN BHD BRL CAD CHF CLP CNY COP CRC CZK DKK EGP EUR GBP GEL HKD HRK HUF "
    "IDR ILS INR ISK JOD JPY KES KRW KWD KZT LKR MAD MXN MYR NGN NOK NZD OMR PEN PHP PKR PLN "
    "QAR RMB RON RSD RUB SAR SEK SGD THB TND TRY TWD UAH USD UYU VND ZAR"
).replace(" ", "|")
_WORDS = r"kr|zł|zl|Kč|Kc|Ft|lei|лв|руб|грн|р|Rs|Rp|RM|Fr|SFr|TL|euros?|dollars?|元|円|원|圓|块"
_CURRENCY = rf"(?:(?:{_CODES})\s?(?:{_SYMBOLS})|{_SYMBOLS}|(?:{_CODES}|{_WORDS})(?![^\W\d_])\.?)"
_MONEY: Final = re.compile(
    rf"(?P<sign>[+\-−]?)\s*(?P<before>{_CURRENCY})?\s*(?P<sign2>[+\-−]?)\s*"
    r"(?P<body>[0-9][0-9.,'’ \u00a0\u202f]*+|[.,][0-9]+)"
    rf"(?P<whole>(?<=[.,])[-–—]{{1,2}}|/-)?\s*(?P<after>{_CURRENCY})?",
    re.IGNORECASE,
)
_BLANKS = r"[ \u00a0\u202f]"
_SPACED: Final = re.compile(
    rf"[0-9]{{1,3}}(?:(?:{_BLANKS}[0-9]{{3}})+|(?:['’][0-9]{{3}})+)(?![0-9])"
)
_GROUPED: Final = {
    ",": re.compile(r"[1-9][0-9]{0,2}(?:,[0-9]{2,3})*,[0-9]{3}"),  # in India: 12,34,567
    ".": re.compile(r"[1-9][0-9]{0,2}(?:\.[0-9]{3})+"),
}
_OTHER: Final = {",": ".", ".": ","}
_RANGE: Final = re.compile(r"\s*(?:[-–—]|\bto\b|\bbis\b|\bà\b)\s*")
_FROM: Final = re.compile(r"^(?:from|starting at|ab|dès|desde|da|vanaf|från)\s+", re.IGNORECASE)
_SAME: Final = {
    **dict.fromkeys(("USD", "US$", "USD$", "USD $", "DOLLAR", "DOLLARS"), "$"),
    **dict.fromkeys(("EUR", "EURO", "EUROS", "EUR€", "EUR €"), "€"),
    **dict.fromkeys(("GBP", "GBP£", "GBP £"), "£"),
}
"""Names of one currency -> the shortest; others stay as they are written."""
_MAX_CHARS: Final = 64
_MOST_DIGITS: Final = 15  # float64 keeps them all; longer ones are codes
_PLAIN: Final = re.compile(r"[0-9.,]*[0-9]")
_FRACTION: Final = re.compile(r"[.,][0-9]+")
_CODE: Final = re.compile(r"0[0-9]")


@dataclass(frozen=True, slots=True)
class Written:
    """A number as it is written.

    Attributes:
        digits: with a sign, and with the separators that are left to read.
        currency: the currency beside it, "" without one.
        decimal: the separator that surely marks its decimals; "" where it has none to tell.
        unsure: the separator that marks decimals or groups thousands; "" where it is clear.
    """

    digits: str
    currency: str
    decimal: str
    unsure: str

    def number(self, decimal: str) -> float:
        """Return the number. `decimal`: what marks decimals where that is unsure."""
        if not self.unsure:
            return float(self.digits)
        return float(self.digits.replace(self.unsure, "." if self.unsure == decimal else ""))


@lru_cache(maxsize=4096)
def written(text: str) -> Written | None:
    """Return how a text spells a number, None if it spells none.

    A leading zero marks a code ("007"), unless there is a currency.
    """
    if len(text) > _MAX_CHARS:
        return None
    found = _MONEY.fullmatch(text.strip())
    if found is None or (found["sign"] and found["sign2"]):
        return None
    beside = (found["before"] or found["after"] or "").strip(". ")
    # Wide signs of Chinese and Japanese keyboards become the usual ones.
    beside = unicodedata.normalize("NFKC", beside)
    currency = _SAME.get(beside.upper(), beside)
    sign = "-" if (found["sign"] or found["sign2"]) in {"-", "−"} else ""
    body = found["body"].strip(" \u00a0\u202f")
    if sum(map(str.isdigit, body)) > _MOST_DIGITS:
        return None
    if found["whole"] and body[-1] in ".,":  # "12,-"
        body = body[:-1]
    return _split(sign, body, currency)


def lowest_written(text: str) -> Written | None:
    """Return how a text spells the lower end of a range, or a price that is "from" so much.

    >>> number = lowest_written("$11.99 - $19.99")
    >>> number.digits, lowest_written("from 5 EUR").digits, lowest_written("2019-03-31")
    ('11.99', '5', None)
    """
    if len(text) > _MAX_CHARS:
        return None
    ends = _RANGE.split(_FROM.sub("", text.strip()))
    found = [written(end) for end in ends]
    return found[0] if len(found) <= 2 and all(found) else None


def _split(sign: str, body: str, currency: str) -> Written | None:
    """Return the number of digits that may be grouped by blanks, or by points or commas."""
    spaced = _SPACED.match(body)
    if spaced is None:
        is_plain = _PLAIN.fullmatch(body) and (currency or not _CODE.match(body))
        return _by_marks(sign, body, currency) if is_plain else None
    whole, rest = re.sub(r"[^0-9]", "", spaced[0]), body[spaced.end() :]
    if not rest:
        return Written(sign + whole, currency, "", "")
    is_fraction = _FRACTION.fullmatch(rest)
    return Written(f"{sign}{whole}.{rest[1:]}", currency, rest[0], "") if is_fraction else None


def _by_marks(sign: str, body: str, currency: str) -> Written | None:
    last = max(body.rfind(","), body.rfind("."))
    if last < 0:
        return Written(sign + body, currency, "", "")
    mark, head, tail = body[last], body[:last], body[last + 1 :]
    other = _OTHER[mark]
    if mark in head:
        is_grouped = _GROUPED[mark].fullmatch(body)
        return Written(sign + body.replace(mark, ""), currency, other, "") if is_grouped else None
    if other in head and not _GROUPED[other].fullmatch(head):
        return None
    if other not in head and len(tail) == 3 and 1 <= len(head) <= 3 and head[0] != "0":
        return Written(sign + body, currency, "", mark)
    return Written(f"{sign}{head.replace(other, '') or '0'}.{tail}", currency, mark, "")


@dataclass(slots=True)
class NumberStyle:
    """What the numbers of a column tell about the way they are written.

    Attributes:
        decimals: separator -> how many numbers it surely marks the decimals of.
        currencies: currency -> how many numbers have it.
        unsure: how many numbers have a separator whose meaning the others must tell.
    """

    decimals: Counter[str] = field(default_factory=Counter)
    currencies: Counter[str] = field(default_factory=Counter)
    unsure: int = 0

    @classmethod
    def of(cls, numbers: Iterable[Written]) -> "NumberStyle":
        """Return what numbers tell together."""
        style = cls()
        for number in numbers:
            style.decimals[number.decimal] += 1
            style.currencies[number.currency] += 1
            style.unsure += bool(number.unsure)
        del style.decimals[""], style.currencies[""]
        return style

    def decimal_of(self, number: Written) -> str:
        """Return what marks the decimals of a number, where it is unsure."""
        mark = number.unsure
        if not mark:
            return ""
        told = {sign for sign, n in self.decimals.items() if n}
        if len(told) == 1:
            return told.pop()
        is_decimal = mark == "." and not number.currency
        return mark if is_decimal else _OTHER[mark]

    def number(self, number: Written) -> float:
        """Return the value of a number of the column."""
        return number.number(self.decimal_of(number))


def number_of(text: str) -> float | None:
    """Return the number that a text spells by itself, None if it spells none.

    >>> number_of("4,5"), number_of("$1,299.00"), number_of("EUR 12,90"), number_of("call us")
    (4.5, 1299.0, 12.9, None)
    """
    number = written(text)
    return None if number is None else NumberStyle().number(number)
