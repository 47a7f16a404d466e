"""The rules of this process: which may apply to a request, and whether they fit the catalogue."""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from app.core.control_port import ControlEntry
from app.core.errors import InvalidRequestError, NotFoundError
from app.core.ports import Engine
from app.core.rank_rules import NO_RULES, RankRules
from app.domain.rule import Rule
from app.serving.control.checking import ControlWarning, check_rule, problem_of
from app.serving.control.rule_book import EMPTY, KnownRule, RuleBook

MOST_RULES: Final = 5000
MOST_UNCONDITIONAL: Final = 50
"""Most rules that apply to every request, or to every one of a scenario: each costs time in every
pass."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """A stored rule. `problem`: why it does not fit the catalogue; None if it does."""

    entry: ControlEntry
    known: KnownRule
    problem: str | None


@dataclass(frozen=True, slots=True)
class ShownRule:
    """A rule as operators see it.

    Attributes:
        rule: the rule.
        version: number of the change that put it.
        put_at: unix seconds.
        active: whether it is valid now, and fits the catalogue.
        problem: why it does not fit; None if it does.
    """

    rule: Rule
    version: int
    put_at: float
    active: bool
    problem: str | None


class Rules:
    """The rules in force. All methods belong to one event loop."""

    def __init__(self, engine: Engine, now: Callable[[], float] = time.time) -> None:
        """Have none yet. `engine`: knows the catalogue. `now`: unix seconds."""
        self._engine, self._now = engine, now
        self._bundle = ""
        self._held: dict[str, _Held] = {}
        self._fitting: list[KnownRule] = []
        self._book = EMPTY

    def __repr__(self) -> str:
        return f"<Rules: {len(self._held)}, {self._book!r}>"

    def matching(self, query: str, scenario: str | None, *, interpreted: bool) -> RankRules:
        """Return the rules that may apply to a request now; see `RuleBook.matching`."""
        if not self._fitting:
            return NO_RULES
        if self._now() >= self._book.until:
            self._book = RuleBook(self._fitting, self._now())
        return self._book.matching(query, scenario, interpreted=interpreted)

    def book_with(self, rules: Sequence[Rule]) -> RuleBook:
        """Return a book of the rules in force with some others, which are not in force."""
        known = {name: held.known for name, held in self._held.items() if held.problem is None}
        known |= {rule.id: KnownRule.of(rule) for rule in rules}
        return RuleBook(list(known.values()), self._now())

    async def take(self, entries: Sequence[ControlEntry]) -> None:
        """Use exactly these rules, the oldest first; only those that are new are read.

        Others have the event loop after each that is read: its filter may be long.
        """
        bundle = self._engine.info.bundle
        before = self._held if bundle == self._bundle else {}
        taken: dict[str, _Held] = {}
        for entry in entries:
            held = before.get(entry.name)
            if held is None or held.entry.version != entry.version:
                held = self._read_back(entry)
                await asyncio.sleep(0)
            if held is not None:
                taken[entry.name] = held
        self._bundle, self._held = bundle, taken
        self._fitting = [held.known for held in self._held.values() if held.problem is None]
        self._book = RuleBook(self._fitting, self._now())

    async def take_bundle(self) -> None:
        """Check all rules again if another bundle serves."""
        if self._bundle != self._engine.info.bundle:
            await self.take([held.entry for held in self._held.values()])

    async def check(self, rules: Sequence[Rule], where: str = "") -> list[ControlWarning]:
        """Check rules together with those that are in force; return what looks wrong.

        Others have the event loop after each rule.

        `where`: the name of the list in what was sent; "" = it was one rule.

        Raises:
            InvalidRequestError: one does not fit the catalogue, one comes twice, or there would be
                too many.
        """
        warnings: list[ControlWarning] = []
        ids = set[str]()
        for position, rule in enumerate(rules):
            path = f"{where}.{position}." if where else ""
            if rule.id in ids:
                raise InvalidRequestError("this id comes twice", field=f"{path}id")
            ids.add(rule.id)
            warnings += check_rule(rule, self._engine, path)
            await asyncio.sleep(0)
        everything = {name: held.known.rule for name, held in self._held.items()}
        everything |= {rule.id: rule for rule in rules}
        if len(everything) > MOST_RULES:
            raise InvalidRequestError(
                f"there may be at most {MOST_RULES} rules", field=where or "id"
            )
        unconditional = sum(rule.when is None for rule in everything.values())
        if unconditional > MOST_UNCONDITIONAL:
            message = f"there may be at most {MOST_UNCONDITIONAL} rules without `when`"
            raise InvalidRequestError(message, field=where or "when")
        return warnings

    def shown(self) -> list[ShownRule]:
        """Return all rules, the oldest first."""
        return [self._shown(held) for held in self._held.values()]

    def shown_one(self, rule_id: str) -> ShownRule:
        """Return one rule. Raises `NotFoundError`."""
        held = self._held.get(rule_id)
        if held is None:
            raise NotFoundError("there is no such rule", field="rule_id")
        return self._shown(held)

    def _shown(self, held: _Held) -> ShownRule:
        known = held.known
        return ShownRule(
            rule=known.rule,
            version=held.entry.version,
            put_at=held.entry.put_at,
            active=held.problem is None and known.begin <= self._now() < known.end,
            problem=held.problem,
        )

    def _read_back(self, entry: ControlEntry) -> _Held | None:
        """Return a stored rule; None if a newer version of the service has written it."""
        try:
            rule = Rule.model_validate_json(entry.text)
        except ValueError:
            _log.warning("the rule %s cannot be read; it is left out", entry.name)
            return None
        return _Held(entry, KnownRule.of(rule), problem_of(rule, self._engine))
