"""Cuts sentences and values into tokens: words, single Han characters, numbers and punctuation.

Values and sentences are cut in the same way, so a phrase of one can be found in the other.
"""

import re
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal

Kind = Literal["word", "han", "number", "date", "mark"]

_TOKEN: Final = re.compile(
    r"(?P<date>\d{4}-\d{2}-\d{2}(?!\d))"
    r"|(?P<han>[\u3400-\u9fff\uf900-\ufaff々])"
    r"|(?P<number>\d+(?:[.,]\d+)*(?![^\W_]))"
    r"|(?P<numbered>\d+(?:[.,]\d+)*(?=[\u3400-\u9fff]))"
    r"|(?P<word>['’][^\W\d_\u3400-\u9fff]{1,2}(?![^\W_])|[^\W_\u3400-\u9fff]+)"
    r"|(?P<mark>\S)"
)
_JOINED: Final = re.compile(r"(?<=[^\W_])[-‐‑](?=[^\W\d_])")
"""Hyphens within words: "sci-fi" is two words."""
_ENDINGS: Final = (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"))


@dataclass(frozen=True)
class Token:
    """One token: its kind, the text as it is written, and where it begins and ends."""

    kind: Kind
    text: str
    start: int
    end: int

    @cached_property
    def key(self) -> str:
        """What it is compared by."""
        return self.text.casefold().replace("’", "'")

    @cached_property
    def stem(self) -> str:
        """The same without an ending of the plural."""
        return stem_of(self.key)


def stem_of(word: str) -> str:
    """Return a word without an ending of the plural.

    >>> stem_of("comedies"), stem_of("jackets"), stem_of("glass"), stem_of("bus")
    ('comedy', 'jacket', 'glass', 'bus')
    """
    for ending, other in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word[: -len(ending)] + other
    if len(word) > 3 and word[-1] == "s" and word[-2] not in "sui'":
        return word[:-1]
    return word


def tokens_of(text: str) -> list[Token]:
    """Cut a text.

    >>> [token.key for token in tokens_of("Sci-Fi, 7.9 《夜》 Kira's")]
    ['sci', 'fi', ',', '7.9', '《', '夜', '》', 'kira', "'s"]
    """
    text = _JOINED.sub(" ", text)
    found = []
    for each in _TOKEN.finditer(text):
        kind: str = each.lastgroup or "mark"
        if kind == "numbered":
            kind = "number"
        found.append(Token(kind, each.group(), each.start(), each.end()))  # type: ignore[arg-type]
    return found


def words_in(text: str) -> tuple[Token, ...]:
    """Return the tokens of a value but its punctuation."""
    return tuple(token for token in tokens_of(text) if token.kind != "mark")


def number_of(text: str) -> float | None:
    """Return the value of a number as it is written; None = it may mean two values.

    >>> number_of("1,999"), number_of("7.9"), number_of("7,9"), number_of("1.2.3")
    (1999.0, 7.9, 7.9, None)
    """
    if re.fullmatch(r"\d{1,3}(,\d{3})+(\.\d+)?", text):
        return float(text.replace(",", ""))
    if re.fullmatch(r"\d+([.,]\d+)?", text):
        return float(text.replace(",", "."))
    return None
