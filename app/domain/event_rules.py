"""Event rules: whether an event of a kind is positive, negative or neutral, and for how long.

A recipe contains the rules, and the manifest of the bundle carries them, so that building and
serving follow the same ones. This module knows neither files nor stores.
"""

import difflib
import math
import re
from collections.abc import Collection, Mapping
from functools import lru_cache
from typing import Final

from pydantic import BaseModel, ConfigDict, field_validator

MAX_KIND_CHARS: Final = 64
DEFAULT_KIND: Final = "click"
"""The kind of an event that comes without one."""
RATING_KIND: Final = "rating"
"""The kind of an event that gives stars."""
MOST_HALVINGS: Final = 4.0
"""Half-lives after which an event no longer shapes the taste: 1/16 of its weight is left."""
DAY_S: Final = 86_400.0


_USUAL: Final = "click view cart purchase like dislike rating impression"
_MOST_LISTED: Final = 12


class EventRule(BaseModel):
    """How much an event of a kind counts.

    Attributes:
        weight: above 0 for a positive kind, below 0 for a negative one, 0 for a neutral one.
        positive_from: the value from which an event is positive; below it the event is negative.
            None = the value does not matter.
        half_life_days: days in which the weight halves; None = never.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    weight: float
    positive_from: float | None = None
    half_life_days: float | None = None

    @field_validator("weight")
    @classmethod
    def _finite(cls, weight: float) -> float:
        if not math.isfinite(weight):
            raise ValueError("must be a finite number")
        return weight

    @field_validator("half_life_days")
    @classmethod
    def _lasts(cls, days: float | None) -> float | None:
        if days is not None and not (math.isfinite(days) and days > 0):
            raise ValueError("must be a finite number above 0")
        return days

    def sign(self, value: float | None) -> int:
        """Return 1 for a positive event of this kind, -1 for a negative one, 0 for neither.

        >>> rating = EventRule(weight=1.0, positive_from=3.5)
        >>> rating.sign(4.0), rating.sign(2.0), rating.sign(None), EventRule(weight=-1.0).sign(None)
        (1, -1, 0, -1)
        """
        threshold = self.positive_from
        is_below = threshold is not None and value is not None and value < threshold
        if self.weight < 0 or is_below:
            return -1
        is_reached = threshold is None or (value is not None and value >= threshold)
        return int(self.weight > 0 and is_reached)

    @property
    def half_life_s(self) -> float:
        """Return the half-life in seconds; infinity if there is none."""
        return math.inf if self.half_life_days is None else self.half_life_days * DAY_S

    def telling_since(self, now: float) -> float:
        """Return the time, in unix seconds, before which an event no longer shapes the taste.

        >>> EventRule(weight=0.5, half_life_days=7).telling_since(30 * DAY_S) / DAY_S
        2.0
        >>> EventRule(weight=0.5).telling_since(0.0)
        -inf
        """
        return now - MOST_HALVINGS * self.half_life_s


_WEIGHTS: Final[Mapping[float, str]] = {
    3.0: "purchase order transaction buy checkout booking purchased ordered bought "
    "order_completed order_placed",
    2.0: "cart add_to_cart basket add_to_basket like favorite favourite love upvote follow "
    "subscribe complete product_added begin_checkout liked loved fav completed",
    1.5: "wishlist add_to_wishlist bookmark save share download install saved shared downloaded",
    1.0: "click play watch listen stream read open select_item clicked played watched listened",
    0.5: "view page_view product_view detail_view view_item detail visit viewed product_viewed pv",
    0.0: "impression exposure search remove_from_cart remove_from_wishlist unlike product_removed "
    "view_item_list",
    -0.5: "skip skipped",
    -1.0: "dislike downvote dismiss hide disliked dismissed hidden",
    -2.0: "return refund returned refunded",
}
"""What the kinds of events mean that shops, players and analytics programs usually send."""

_REMEMBERED: Final = 1024
_STARS: Final = EventRule(weight=1.0, positive_from=3.5)

DEFAULT_EVENT_RULES: Final[Mapping[str, EventRule]] = {
    **{kind: EventRule(weight=w) for w, kinds in _WEIGHTS.items() for kind in kinds.split()},
    RATING_KIND: _STARS,
    "rate": _STARS,
    "review": _STARS,
}


def known_spelling(kind: str, known: Collection[str]) -> str | None:
    """Return the known kind that differs from `kind` at most by case, blanks and signs.

    >>> known_spelling("Add to Cart", ["add_to_cart", "click"]), known_spelling("bought", ["buy"])
    ('add_to_cart', None)
    """
    if kind in known:
        return kind
    wanted = _joined(kind)
    return next((name for name in known if _joined(name) == wanted), None)


def read_otherwise(kind: str, known: str) -> str:
    """Return a warning for a kind of event that is read as a known one."""
    return f"events of kind {kind!r} have no rule; they are read as {known!r}"


@lru_cache(_REMEMBERED)
def _joined(kind: str) -> str:
    return re.sub(r"[\W_]+", "", kind.casefold())


def without_rule(kind: str, known: Collection[str]) -> str:
    """Return a warning for a kind of event that has no rule; it names the nearest `known` kind.

    >>> without_rule("add_to_Cart", ["cart", "click"])
    "events of kind 'add_to_Cart' have no rule, so they shape nothing; nearest kind: 'cart'"
    >>> without_rule("bought", ["click", "cart"])
    "events of kind 'bought' have no rule, so they shape nothing; known kinds: click, cart"
    """
    nearest = _nearest(kind.casefold(), {name.casefold(): name for name in known})
    hint = f"nearest kind: {nearest!r}" if nearest else f"known kinds: {_listed(known)}"
    return f"events of kind {kind!r} have no rule, so they shape nothing; {hint}"


def _listed(kinds: Collection[str]) -> str:
    """Return some kinds; those that most programs send come first."""
    usual = [kind for kind in _USUAL.split() if kind in kinds]
    names = [*usual, *sorted(set(kinds) - {*usual})][:_MOST_LISTED]
    rest = len(kinds) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")


def _nearest(kind: str, known: Mapping[str, str]) -> str | None:
    """Return the value of the nearest key: to the whole of `kind`, else to one of its words."""
    for part in (kind, *re.findall(r"[^\W_]+", kind)):
        if found := difflib.get_close_matches(part, known, n=1):
            return known[found[0]]
    return None
