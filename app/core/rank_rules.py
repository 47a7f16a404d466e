"""The rules that may apply to one request, as the engine gets them.

What an operator writes is in `app.domain.rule`; which rules travel with a request is decided in
`app.serving.control`.
"""

from dataclasses import dataclass, field
from typing import Final, Literal, TypeAlias

RuleAction: TypeAlias = Literal["boost", "bury", "pin", "promote", "block"]

DemandedValue: TypeAlias = str | float | bool


@dataclass(frozen=True, slots=True)
class RankRule:
    """One rule.

    Attributes:
        id: its name.
        action: what it does.
        filter: JSON text of the items that it is about; "" for a pin.
        amount: what a boost adds to the score, in log odds, below 0 for a bury; the share of
            places of a promotion.
        item, place: what a pin puts where; the first place is 1.
        sort: the order that a query must ask for; "" = any.
        demands: field and value, each of which a query must demand.
    """

    id: str
    action: RuleAction
    filter: str = ""
    amount: float = 0.0
    item: str = ""
    place: int = 0
    sort: str = ""
    demands: tuple[tuple[str, DemandedValue], ...] = ()


@dataclass(frozen=True, slots=True)
class RankRules:
    """The rules of one request, the oldest first.

    `key`: equal exactly for equal rules; it stands for them in cache keys and comparisons.
    """

    key: str = ""
    rules: tuple[RankRule, ...] = field(default=(), compare=False)

    def __bool__(self) -> bool:
        """Return whether there are any."""
        return bool(self.key)

    @property
    def pinned(self) -> tuple[str, ...]:
        """The ids of the items that they pin."""
        return tuple([rule.item for rule in self.rules if rule.action == "pin"])

    @property
    def reads_fields(self) -> bool:
        """Whether any of them is about items with certain values, which any change may alter."""
        return any(rule.filter for rule in self.rules)


NO_RULES: Final = RankRules()
