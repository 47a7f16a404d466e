"""The phrases of all languages as tries, which are read token by token.

A trie is nested dictionaries: token -> trie. Under "" stands what the phrase that ends there means,
and under a slot in braces the trie behind the slot. A query is read with the phrases of the shared
pack, of every language with a script of its own, and of one language for each script that several
have. There is one `PhraseBook` for each such choice.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from types import MappingProxyType
from typing import Any, Final, NamedTuple, TypeAlias

from app.engine.intent.cutting import cut
from app.engine.intent.packs import SHARED, Pack, packs

Trie: TypeAlias = dict[str, Any]

SLOTS_KEY: Final = "{}"
"""Under it: pairs of a slot's name and the trie behind it."""

FIRST: Final = "first"
"""Value of a "not" that leaves the last of its words: "not sony headphones"."""

MAKER: Final = "maker"
"""Value of a "by": what follows is a name of the catalogue, if it can be one."""

_LONG_THING: Final = 3
_PLAIN: Final = re.compile(r"\{\w+\}")
_PIECE: Final = re.compile(r"\{(\w+)\}|([^{}]+)")


class PhraseMeaning(NamedTuple):
    """What a phrase means: a kind, and what the kind needs. `language`: of its pack."""

    kind: str
    value: Any
    language: str


class Unit(NamedTuple):
    """A unit: its group ("mass"), its name, and how many of the group's first unit it is."""

    group: str
    name: str
    factor: float


@dataclass(frozen=True, slots=True)
class PhraseBook:
    """The phrases that a query is read with.

    Attributes:
        language: code of the language that the book's query is in, if it is in none with a script
            of its own.
        phrases: the trie of demands, negations and words without meaning.
        periods: the trie of times: "last week".
        slots: slot -> trie of what may fill it.
        numbers: token -> value of number words.
        multipliers: token -> value: hundred.
        halves, and_halves: tokens of "half", and of "and a half" behind a number.
        ones: tokens that mean one in front of a unit: "an hour".
        units, money: tries of units, with all that a phrase may mean, and of currencies behind a
            number.
        pluses: tokens of "or more" between a number and its unit: "20+ hours".
        money_before: trie of currencies in front of it.
        unfinished: tokens at whose end more is to come.
        openers: tokens that may follow a generic noun: "song about rain".
        like_stops: tokens that end a title after "like".
        glued: words that may follow a number without a blank: "16gb".
        fillers: tokens other than numbers that a number, an amount or a time may begin with.
        firsts: slot -> tokens other than numbers that what fills it may begin with.
        words: every word of any phrase: no word of these is a misspelling.
    """

    language: str
    phrases: Trie
    periods: Trie
    slots: Mapping[str, Trie]
    numbers: Mapping[str, float]
    multipliers: Mapping[str, float]
    halves: Trie
    and_halves: Trie
    ones: frozenset[str]
    units: Trie
    money: Trie
    pluses: frozenset[str]
    money_before: Trie
    unfinished: frozenset[str]
    openers: frozenset[str]
    like_stops: frozenset[str]
    glued: frozenset[str]
    fillers: frozenset[str]
    firsts: Mapping[str, frozenset[str]]
    words: frozenset[str]


class _Phrase(NamedTuple):
    text: str
    meaning: PhraseMeaning


def tokens_of(phrase: str) -> list[str]:
    """Return the tokens of a phrase; slots stay as they are.

    >>> tokens_of("Under {amount}")
    ['under', '{amount}']
    """
    tokens: list[str] = []
    for slot, text in _PIECE.findall(phrase):
        tokens += [f"{{{slot}}}"] if slot else cut(text).texts
    return tokens


@cache
def phrase_books() -> Mapping[str, PhraseBook]:
    """Return language -> book, for each language that shares its script with others; default first.

    Raises:
        PackError: a pack is wrong.
    """
    shared = [pack for pack in packs() if pack.script != "latin"]
    latin = [pack for pack in packs() if pack.script == "latin"]
    return MappingProxyType({pack.code: _book([*shared, pack]) for pack in latin})


@cache
def signs() -> Mapping[str, frozenset[str]]:
    """Return for each language that shares its script: the words that speak for it alone."""
    latin = [pack for pack in packs() if pack.script == "latin"]
    own = {pack.code: frozenset(_signs(pack)) for pack in latin}
    words = {pack.code: frozenset(_tokens_in(_trie(_demands(pack)))) for pack in latin}
    return {
        code: frozenset(
            token
            for token in tokens
            if not any(
                token in own[other] or token in words[other] for other in own if other != code
            )
        )
        for code, tokens in own.items()
    }


def _signs(pack: Pack) -> Iterator[str]:
    """Yield the words that are listed as signs, and the single words for things and values."""
    for text in pack.phrases("words", "signs"):
        yield from cut(text).texts
    singles = [*pack.phrases("words", "generic")]
    singles += [text for texts in pack.section("synonyms").values() for text in texts]
    for text in singles:
        tokens = cut(text).texts
        if len(tokens) == 1 and tokens[0].isalpha():
            yield tokens[0]


@cache
def language_of_script() -> Mapping[str, str]:
    """Return script -> its language; where several share it, the default one."""
    return {pack.script: pack.code for pack in reversed(packs()) if pack.script}


def _book(chosen: list[Pack]) -> PhraseBook:
    phrases, periods = Trie(), Trie()
    for phrase in (p for pack in chosen for p in _demands(pack)):
        insert(phrases, tokens_of(phrase.text), phrase.meaning)
    insert(phrases, ["{period}"], PhraseMeaning("date", "in", ""))
    for phrase in (p for pack in chosen for p in _periods(pack)):
        insert(periods, tokens_of(phrase.text), phrase.meaning)
    slots = {
        name: _trie(p for pack in chosen for p in parts(pack))
        for name, parts in _SLOT_PARTS.items()
    }
    units = _units(chosen)
    money = _trie(p for pack in chosen for p in _words(pack, "currencies", "after"))
    half = _trie(p for pack in chosen for p in _listed(pack, "numbers", "half"))
    and_half = _trie(p for pack in chosen for p in _listed(pack, "numbers", "and_half"))
    tries = (phrases, periods, *slots.values(), units, money)
    before = _trie(p for pack in chosen for p in _words(pack, "currencies", "before"))
    numbers = _values(chosen, "words")
    multipliers = _values(chosen, "multipliers")
    after_slots = [t for trie in (phrases, periods) for t in _behind_numbers(trie)]
    ones = frozenset(t for pack in chosen for t in pack.section("numbers").get("one", ()))
    number = frozenset([*numbers, *multipliers, *ones])
    firsts = {
        name: frozenset([*_first_tokens(trie, slots), *(number if SLOTS_KEY in trie else ())])
        for name, trie in slots.items()
    }
    firsts |= {"number": number, "open_amount": number}
    firsts["amount"] = number.union(before, half)
    firsts["period"] = number.union(_first_tokens(periods, slots))
    return PhraseBook(
        language=chosen[-1].code,
        phrases=phrases,
        periods=periods,
        slots=slots,
        numbers=numbers,
        multipliers=multipliers,
        halves=half,
        and_halves=and_half,
        ones=ones,
        units=units,
        money=money,
        pluses=frozenset(t for pack in chosen for t in pack.section("numbers").get("plus", ())),
        money_before=before,
        unfinished=frozenset(t for pack in chosen for t in pack.phrases("words", "unfinished")),
        openers=frozenset(t for pack in chosen for t in pack.phrases("words", "opener")),
        like_stops=frozenset(t for pack in chosen for t in pack.phrases("like", "stop")),
        glued=frozenset([*units, *money, *multipliers, *after_slots]),
        fillers=frozenset([*numbers, *multipliers, *_first_tokens(periods, slots), *before]),
        firsts=firsts,
        words=frozenset(t for trie in tries for t in _tokens_in(trie) if t.isalpha()),
    )


def insert(trie: Trie, tokens: list[str], meaning: Any) -> None:  # noqa: ANN401 - of the caller
    """Add a phrase to a trie; the first meaning of a phrase stays."""
    for token in tokens:
        if token.startswith("{"):
            behind = trie.setdefault(SLOTS_KEY, {})
            trie = behind.setdefault(token[1:-1], {})
        else:
            trie = trie.setdefault(token, {})
    trie.setdefault("", meaning)


def _trie(phrases: Iterable[_Phrase]) -> Trie:
    trie = Trie()
    for phrase in phrases:
        insert(trie, tokens_of(phrase.text), phrase.meaning)
    return trie


def _demands(pack: Pack) -> Iterator[_Phrase]:
    """Yield the phrases of a pack that stand in queries; what comes first wins."""
    yield from _words(pack, "words", "plain")
    for text, names in pack.section("parts").items():
        yield _Phrase(
            text, PhraseMeaning("parts", tuple(" ".join(tokens_of(n)) for n in names), pack.code)
        )
    yield from _listed(pack, "negation", "before_first", "not_before", FIRST)
    for key in ("before", "before_taste", "before_value", "before_known", "after", "after_value"):
        yield from _listed(pack, "negation", key, f"not_{key}")
    yield from _listed(pack, "negation", "only_end", "only_end")
    yield from _all_words(pack, "like", ("unlike", "like", "with_end"))
    yield from _all_keys(pack, ("sort", "count"))
    yield from _bounds(pack)
    for key in pack.section("dates"):
        yield from _listed(pack, "dates", key, "date", key)
    yield from _all_keys(pack, ("tone",))
    yield from _all_words(pack, "words", ("lead", "filler", "and", "or", "but", "comma"))
    for key in ("taste", "after", "end"):
        yield from _listed(pack, "like", key, f"like_{key}")
    yield from _generic(pack)
    yield from _listed(pack, "words", "maker", "stop", MAKER)
    yield from _all_words(pack, "words", ("stop", "connective"))
    yield from _all_keys(pack, ("soft_sort", "soft_tone"))
    yield from _things(pack)


def _things(pack: Pack) -> Iterator[_Phrase]:
    """Yield long synonyms of a script without blanks: where no value has one, it is one word.

    Otherwise the parts of "running shoes" would be taken for two values. What begins with an order
    is left out: "popular songs" may be songs that are popular.
    """
    orders = [text for texts in pack.section("sort").values() for text in texts]
    for texts in () if pack.plurals else pack.section("synonyms").values():
        for text in texts:
            if len(text) >= _LONG_THING and not text.startswith(tuple(orders)):
                yield _Phrase(text, PhraseMeaning("thing", None, pack.code))


def _all_words(pack: Pack, section: str, keys: Iterable[str]) -> Iterator[_Phrase]:
    for key in keys:
        yield from _words(pack, section, key)


def _all_keys(pack: Pack, sections: Iterable[str]) -> Iterator[_Phrase]:
    for section in sections:
        for key in pack.section(section):
            yield from _listed(pack, section, key, section, key)


def _bounds(pack: Pack) -> Iterator[_Phrase]:
    for key, value in pack.section("bounds").items():
        parts = {"": {key: value}} if isinstance(value, list) else {key: value}
        for role, texts in parts.items():
            for test, phrases in texts.items():
                for text in phrases:
                    # Without a unit, "5 to 10" and "about 7" say little.
                    bare = text.startswith("{") and not any(map(str.isalpha, _PLAIN.sub("", text)))
                    weak = test == "vague" or bare or (test == "between" and text[0] == "{")
                    kind = "about" if test == "vague" else test
                    yield _Phrase(text, PhraseMeaning("bound", (kind, role, weak), pack.code))


def _generic(pack: Pack) -> Iterator[_Phrase]:
    for text in pack.phrases("words", "generic"):
        plural = pack.is_plural(text)
        yield _Phrase(text, PhraseMeaning("generic", plural or not pack.plurals, pack.code))
        for form, is_plural in () if plural else pack.forms(text):
            if is_plural:
                yield _Phrase(form, PhraseMeaning("generic", True, pack.code))


def _periods(pack: Pack) -> Iterator[_Phrase]:
    for unit, by_count in pack.section("back").items():
        yield from _counted("back", by_count, pack, partial(_back, unit))
    yield from _counted("season_back", pack.section("season_back"), pack, int)
    for key in pack.section("periods"):
        yield from _listed(pack, "periods", key, key, key)
    yield from _counted("decade_word", pack.section("decades"), pack, int)


def _back(unit: str, count: str) -> tuple[str, int]:
    return unit, int(count)


def _counted(
    kind: str,
    by_count: Mapping[str, Sequence[str]],
    pack: Pack,
    value_of: Callable[[str], object],
) -> Iterator[_Phrase]:
    for count, texts in by_count.items():
        for text in texts:
            yield _Phrase(text, PhraseMeaning(kind, value_of(count), pack.code))


def _units(chosen: Sequence[Pack]) -> Trie:
    """Return the trie of units; the meaning of a phrase is all units that it may be."""
    units = known_units()
    by_text: dict[tuple[str, ...], tuple[Unit, ...]] = {}
    for pack in chosen:
        for name, texts in pack.section("units").get("words", {}).items():
            for tokens in (tuple(cut(text).texts) for text in texts):
                known = by_text.get(tokens, ())
                by_text[tokens] = known if units[name] in known else (*known, units[name])
    trie = Trie()
    for tokens, found in by_text.items():
        insert(trie, list(tokens), PhraseMeaning("unit", found, ""))
    return trie


@cache
def known_units() -> Mapping[str, Unit]:
    """Return the units by name."""
    shared = next(pack for pack in packs() if pack.code == SHARED).section("units")
    names = {name: factor for name, factor in shared.items() if name != "words"}
    split = {name.partition(".")[2]: (name.partition(".")[0], by) for name, by in names.items()}
    return {name: Unit(group, name, by) for name, (group, by) in split.items()}


def _words(pack: Pack, section: str, key: str) -> Iterator[_Phrase]:
    return _listed(pack, section, key, key)


def _listed(
    pack: Pack, section: str, key: str, kind: str = "", value: object = None
) -> Iterator[_Phrase]:
    for text in pack.phrases(section, key):
        yield _Phrase(text, PhraseMeaning(kind or key, value, pack.code))


def _keyed(section: str) -> Any:  # noqa: ANN401 - a function of a pack
    def phrases(pack: Pack) -> Iterator[_Phrase]:
        for key in pack.section(section):
            value = int(key) if key.isdecimal() else key
            yield from _listed(pack, section, key, section, value)

    return phrases


def _ordinals(pack: Pack) -> Iterator[_Phrase]:
    for text, value in pack.section("numbers").get("ordinals", {}).items():
        yield _Phrase(text, PhraseMeaning("ordinal", value, pack.code))
    yield from _listed(pack, "numbers", "ordinal", "ordinal")


_SLOT_PARTS: Final[Mapping[str, Any]] = {
    "time": _keyed("time"),
    "month": _keyed("months"),
    "decade": _keyed("decades"),
    "weekday": _keyed("weekdays"),
    "season": _keyed("seasons"),
    "ordinal": _ordinals,
    "generic": _generic,
}


def _values(chosen: Iterable[Pack], key: str) -> dict[str, float]:
    return {
        word: float(value)
        for pack in chosen
        for word, value in pack.section("numbers").get(key, {}).items()
    }


def _behind_numbers(trie: Trie) -> Iterator[str]:
    for slot, behind in trie.get(SLOTS_KEY, {}).items():
        if slot in {"number", "amount"}:
            yield from (token for token in behind if token.isalpha())
        yield from _behind_numbers(behind)
    for token, behind in trie.items():
        if token not in {"", SLOTS_KEY}:
            yield from _behind_numbers(behind)


def _first_tokens(trie: Trie, slots: Mapping[str, Trie]) -> Iterator[str]:
    yield from (token for token in trie if token not in {"", SLOTS_KEY})
    for slot in trie.get(SLOTS_KEY, {}):
        yield from _first_tokens(slots.get(slot, {}), slots)


def _tokens_in(trie: Trie) -> Iterator[str]:
    for token, behind in trie.items():
        if token == SLOTS_KEY:
            for part in behind.values():
                yield from _tokens_in(part)
        elif token:
            yield token
            yield from _tokens_in(behind)
