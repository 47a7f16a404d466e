"""The rules of one moment, indexed so that those of a request are found by look-ups.

    exact words     one look-up of the whole query
    first words     one look-up for each number of first words, up to the longest prefix there is
    no words        always there; so are those that depend on what the query asks for, if there is
                    a query: whether they apply is decided by the engine, once it is parsed

The cost grows with the words of the query, and not with the number of rules. A book is immutable
but for its memory of what it has found, and belongs to one event loop.
"""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

import orjson

from app.core.rank_rules import NO_RULES, RankRule, RankRules
from app.domain.folded_words import folded_words
from app.domain.rule import Rule

_REMEMBERED: Final = 4096
"""Most sets of rules that are remembered: a set is made once, and then found by its members."""


@dataclass(frozen=True, slots=True)
class KnownRule:
    """A rule, and what is worked out of it once: a book is made anew at every change.

    Attributes:
        rule: as it was written.
        engine_rule: what the engine gets.
        digest: equal exactly for equal engine rules.
        begin, end: unix seconds between which it is valid.
        exact, prefix: the words of its condition, joined by blanks; "" = none.
    """

    rule: Rule
    engine_rule: RankRule
    digest: bytes
    begin: float
    end: float
    exact: str
    prefix: str

    @classmethod
    def of(cls, rule: Rule) -> "KnownRule":
        """Work it out."""
        engine_rule = rule.for_engine()
        return cls(
            rule=rule,
            engine_rule=engine_rule,
            digest=hashlib.blake2b(orjson.dumps(engine_rule), digest_size=16).digest(),
            begin=rule.begin,
            end=rule.end,
            exact=" ".join(rule.exact),
            prefix=" ".join(rule.prefix),
        )


@dataclass(slots=True)
class _PlacesByQuery:
    """The places of rules in the book, by what they ask of a query.

    Attributes:
        always: of rules that ask nothing of it.
        intents: of rules that ask for what it means.
        exact, prefix: by the words, joined by blanks.
        longest: most words of a prefix.
        sets: what was returned for the rules that words had found, and whether there was an intent.
    """

    always: list[int] = field(default_factory=list)
    intents: list[int] = field(default_factory=list)
    exact: dict[str, list[int]] = field(default_factory=dict)
    prefix: dict[str, list[int]] = field(default_factory=dict)
    longest: int = 0
    sets: dict[tuple[tuple[int, ...], bool], RankRules] = field(default_factory=dict)

    def add(self, place: int, known: KnownRule) -> None:
        """Put a rule into the index."""
        if known.exact:
            self.exact.setdefault(known.exact, []).append(place)
        elif known.prefix:
            self.prefix.setdefault(known.prefix, []).append(place)
            self.longest = max(self.longest, known.prefix.count(" ") + 1)
        elif known.rule.when is not None:
            self.intents.append(place)
        else:
            self.always.append(place)

    def by_words(self, query: str) -> tuple[int, ...]:
        """Return the places of the rules that the words of a query find."""
        if not query or not (self.exact or self.prefix):
            return ()
        words = folded_words(query)
        found = self.exact.get(" ".join(words), [])
        for n in range(1, min(len(words), self.longest) + 1):
            found = found + self.prefix.get(" ".join(words[:n]), [])
        return tuple(found)


class RuleBook:
    """The rules that are valid from one moment to `until`, unix seconds."""

    def __init__(self, rules: Sequence[KnownRule], now: float) -> None:
        """Take all rules, the oldest first. `now`: unix seconds.

        Those that are not valid now are left out.
        """
        times = [time for rule in rules for time in (rule.begin, rule.end)]
        self.until = min((time for time in times if time > now), default=float("inf"))
        self._rules = [rule for rule in rules if rule.begin <= now < rule.end]
        self._general = _PlacesByQuery()
        self._of_scenario: dict[str, _PlacesByQuery] = {}
        for known in self._rules:
            if known.rule.scenario is not None:
                self._of_scenario.setdefault(known.rule.scenario, _PlacesByQuery())
        for place, known in enumerate(self._rules):
            for index in self._indexes_of(known.rule):
                index.add(place, known)

    def __repr__(self) -> str:
        return f"<RuleBook of {len(self._rules)} rules>"

    def __len__(self) -> int:
        """Return how many rules are valid."""
        return len(self._rules)

    def matching(self, query: str, scenario: str | None, *, interpreted: bool) -> RankRules:
        """Return the rules that may apply to a request, the oldest first.

        Args:
            query: its words; "" = none.
            scenario: its scenario; None = none.
            interpreted: whether it has an intent, its own or that of its query.
        """
        if not self._rules:
            return NO_RULES
        index = self._general
        if scenario is not None:
            index = self._of_scenario.get(scenario, index)
        # A set is made once, and then found by what is not the same for all requests.
        key = index.by_words(query), interpreted
        known = index.sets.get(key)
        return known if known is not None else self._made(index, key)

    def _indexes_of(self, rule: Rule) -> Iterable[_PlacesByQuery]:
        if rule.scenario is not None:
            return (self._of_scenario[rule.scenario],)
        return (self._general, *self._of_scenario.values())

    def _made(self, index: _PlacesByQuery, key: tuple[tuple[int, ...], bool]) -> RankRules:
        if len(index.sets) >= _REMEMBERED:
            index.sets.clear()
        found, interpreted = key
        places = sorted((*index.always, *found, *(index.intents if interpreted else ())))
        some = [self._rules[place] for place in places]
        made = NO_RULES
        if some:
            digest = hashlib.blake2b(b"".join([each.digest for each in some]), digest_size=12)
            made = RankRules(digest.hexdigest(), tuple([each.engine_rule for each in some]))
        index.sets[key] = made
        return made


EMPTY: Final = RuleBook((), 0.0)
