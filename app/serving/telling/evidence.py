"""What can be said of an item: the phrases of its values, its numbers and dates, its texts.

A claim about an item holds if it is found here. Nothing is understood: a phrase is a phrase of a
value, a number is the number of a field, and words of a longer text must stand there as they are.
The words of a title are no evidence: "Horror Hotel" may be a comedy.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Final

from app.serving.telling.facts import FieldValue, ItemFacts, year_of
from app.serving.telling.languages import Language, Phrase, fields_by_group, phrase_of, stems_of
from app.serving.telling.tokens import Token, tokens_of

CATEGORIES: Final = "categories"

_MOST_VALUE_TOKENS: Final = 8
_MOST_HAN: Final = 12
_ENDS: Final = frozenset(".!?;。！？；")
_ARTICLES: Final = frozenset({"the", "a", "an"})


@dataclass(slots=True)
class Support:
    """What supports a phrase in one item: fields of which it is a value, or a part of one."""

    whole: set[str] = field(default_factory=set)
    part: set[str] = field(default_factory=set)


@dataclass(slots=True)
class ItemEvidence:
    """The evidence of one item.

    Attributes:
        names: forms of the title.
        phrases: stems of a phrase -> its support.
        numbers: pairs of field and number.
        dates: pairs of field and date.
        years: all years it may be said to be of.
        texts: sentences of longer texts, as tokens.
    """

    names: set[Phrase] = field(default_factory=set)
    phrases: dict[Phrase, Support] = field(default_factory=dict)
    numbers: list[tuple[str, float]] = field(default_factory=list)
    dates: list[tuple[str, date]] = field(default_factory=list)
    years: set[int] = field(default_factory=set)
    texts: list[list[str]] = field(default_factory=list)
    reason: list[str] = field(default_factory=list)


def evidence_of(item: ItemFacts, language: Language) -> ItemEvidence:
    """Return the evidence of an item."""
    found = ItemEvidence()
    if item.title:
        found.names = {phrase_of(name) for name in names_of(item.title)}
    year_fields = fields_by_group()["year"]
    for name, value in item.fields.items():
        folded = name.casefold()
        if folded in year_fields and (year := year_of(value)) is not None:
            found.years.add(year)
        for each in value if isinstance(value, tuple) else (value,):
            _add(found, folded, each, language)
    if item.reason:
        found.reason = [token.key for token in tokens_of(item.reason) if token.kind != "mark"]
        found.texts += _sentences(item.reason)
    return found


def _add(found: ItemEvidence, name: str, value: FieldValue, language: Language) -> None:
    if value is True:
        # A field that is true says its own name: "waterproof".
        found.phrases.setdefault(stems_of(name.replace("_", " ")), Support()).whole.add(name)
    elif isinstance(value, str):
        day = _date_of(value)
        if day is not None:
            found.dates.append((name, day))
        else:
            _add_value(found, name, value, language)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        found.numbers.append((name, float(value)))


def _add_value(found: ItemEvidence, name: str, value: str, language: Language) -> None:
    """Add a value: a short one by all its phrases, a long one as text."""
    stems = stems_of(value)
    han = all(len(each) == 1 and each > "\u3400" for each in stems)
    if len(stems) > (_MOST_HAN if han else _MOST_VALUE_TOKENS):
        found.texts += _sentences(value)
        return
    if _ENDS.intersection(value[-1:]):  # a sentence, however short
        found.texts += _sentences(value)
        return
    for whole in {stems, *language.same.get(stems, ())}:
        if not all(each.isdecimal() for each in whole):
            found.phrases.setdefault(whole, Support()).whole.add(name)
    least = 2 if han else 1
    for start in range(len(stems)):
        for end in range(start + least, len(stems) + 1):
            part = stems[start:end]
            edges = (part[0], part[-1])
            plain = any((edge,) in language.plain for edge in edges)
            if len(part) < len(stems) and not plain and not any(each.isdecimal() for each in part):
                found.phrases.setdefault(part, Support()).part.add(name)


def _sentences(text: str) -> list[list[str]]:
    sentences: list[list[str]] = [[]]
    for token in tokens_of(text):
        if token.kind != "mark":
            sentences[-1].append(token.key)
        elif token.text in _ENDS and sentences[-1]:
            sentences.append([])
    return [sentence for sentence in sentences if sentence]


def _date_of(value: str) -> date | None:
    if len(value) < 10 or value[4] != "-":
        return None
    try:
        return date.fromisoformat(value[:10])
    except ValueError:
        return None


def names_of(title: str) -> set[str]:
    """Return the forms of a title.

    >>> sorted(names_of("Matrix, The (1999)"))
    ['Matrix, The', 'Matrix, The (1999)', 'The Matrix']
    """
    names = {title}
    bare = title.partition("(")[0].strip() if title.endswith(")") else title
    names.add(bare or title)
    head, comma, article = bare.rpartition(", ")
    if comma and article.casefold() in _ARTICLES:
        names.add(f"{article} {head}")
    return names


def natural_title(title: str) -> str:
    """Return a title as it is said.

    >>> natural_title("Matrix, The (1999)"), natural_title("Heat")
    ('The Matrix', 'Heat')
    """
    forms = names_of(title) - {title}
    return min(forms, key=lambda form: ("," in form, form), default=title)


def stretch(tokens: Sequence[Token], texts: Iterable[Sequence[str]], language: Language) -> int:
    """Return how many of the first tokens stand in a text as they are, glue aside.

    The first and the last of them are no plain words: a text may be left anywhere, but within it
    every word counts.
    """
    return max((_run(tokens, text, language) for text in texts), default=0)


def _run(tokens: Sequence[Token], text: Sequence[str], language: Language) -> int:
    begins = (place for place, key in enumerate(text) if key == tokens[0].key)
    return max((_run_from(tokens, text[begin:], language) for begin in begins), default=0)


def _run_from(tokens: Sequence[Token], text: Sequence[str], language: Language) -> int:
    """Return how many of the first tokens stand at the beginning of a text."""
    at = size = 0
    for place, token in enumerate(tokens):
        if token.kind == "mark":
            break
        if token.key in language.glue:
            at += at < len(text) and text[at] == token.key
            continue
        while at < len(text) and text[at] in language.glue:
            at += 1
        if at >= len(text) or text[at] != token.key:
            break
        at += 1
        if (token.key,) not in language.plain:
            size = place + 1
    return size


def merged(evidence: Sequence[ItemEvidence]) -> Mapping[Phrase, dict[int, Support]]:
    """Return phrase -> place of an item -> its support there."""
    found: dict[Phrase, dict[int, Support]] = {}
    for place, each in enumerate(evidence):
        for phrase, support in each.phrases.items():
            found.setdefault(phrase, {})[place] = support
    return found


def windows(size: int, longest: int) -> Iterator[int]:
    """Yield the lengths of phrases to look for, longest first."""
    return iter(range(min(size, longest), 0, -1))
