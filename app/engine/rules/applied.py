"""The rules that apply to one request, with the rows that they are about."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from app.core.errors import InvalidRequestError
from app.core.rank_rules import RankRule
from app.core.types import Mask
from app.engine.catalogue.catalogue import Catalogue


@dataclass(frozen=True, slots=True)
class Shift:
    """A boost or a bury: what it adds, in log odds, to all rows but those of bool[n] `failing`."""

    rule: str
    amount: float
    failing: Mask | None


@dataclass(frozen=True, slots=True)
class PromotedShare:
    """A share of the places for all rows but those of bool[n] `failing`."""

    rule: str
    share: float
    failing: Mask | None

    def promotes(self, row: int) -> bool:
        """Tell whether a row is one of them."""
        return self.failing is None or not self.failing[row]


@dataclass(frozen=True, slots=True)
class Pin:
    """A row at a place, of which the first is 1."""

    rule: str
    row: int
    place: int


@dataclass(frozen=True, slots=True)
class AppliedRules:
    """The rules of one request in the terms of the catalogue.

    Attributes:
        ids: of all of them, the oldest first.
        blocks: JSON text of a filter that what they block fails; "" = they block nothing.
        shifts, promotions, pins: by what they do, the oldest first.
    """

    ids: tuple[str, ...]
    blocks: str = ""
    shifts: tuple[Shift, ...] = ()
    promotions: tuple[PromotedShare, ...] = ()
    pins: tuple[Pin, ...] = ()

    @property
    def arranges(self) -> bool:
        """Whether one of them gives items their places."""
        return bool(self.promotions or self.pins)

    def with_pins(self, pins: tuple[Pin, ...]) -> "AppliedRules":
        """Return the rules with these pins in place of their own."""
        if pins == self.pins:
            return self
        before, after = {pin.rule for pin in self.pins}, {pin.rule for pin in pins}
        ids = tuple([name for name in self.ids if name not in before or name in after])
        return replace(self, ids=ids, pins=pins)


def applied(rules: Sequence[RankRule], catalogue: Catalogue) -> AppliedRules:
    """Return rules in the terms of a catalogue.

    A filter that does not fit, because another bundle has taken over meanwhile, and an item that is
    not there, are left out with their rules.
    """
    ids: list[str] = []
    blocks: list[str] = []
    shifts: list[Shift] = []
    promotions: list[PromotedShare] = []
    pins: list[Pin] = []
    for rule in rules:
        if rule.action == "pin":
            row = catalogue.row(rule.item)
            if row < 0:
                continue
            pins.append(Pin(rule.id, row, rule.place))
        else:
            try:
                failing = catalogue.blocked(rule.filter)
            except InvalidRequestError:
                continue
            if rule.action == "block":
                blocks.append(rule.filter)
            elif rule.action == "promote":
                promotions.append(PromotedShare(rule.id, rule.amount, failing))
            else:
                shifts.append(Shift(rule.id, rule.amount, failing))
        ids.append(rule.id)
    return AppliedRules(
        ids=tuple(ids),
        blocks=f'{{"$not":[{",".join(blocks)}]}}' if blocks else "",
        shifts=tuple(shifts),
        promotions=tuple(promotions),
        pins=tuple(pins),
    )
