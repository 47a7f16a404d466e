"""The last two stages: a promoted share of the places, and pins.

promoted share   in the first p places, for every p, at least ⌊p · share⌋ items pass the filter
of the rule, as far as there are such candidates: so they are spread evenly,
and an item that stands high enough by its score stays where it is
pins             an item at its place, first page only; two pins for one place: the older rule
has it, the other one the next free place
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from app.engine.retrieval.resolve import Needed
from app.engine.rules.applied import Pin, PromotedShare

_ROUNDING = 1e-9
"""Three of ten places are a share of 0.3, though 10 · 0.3 may be a little less."""


class Placed(NamedTuple):
    """An item in a list: its row and score, and as in `RankedItem` what put it there."""

    row: int
    score: float
    by: str = ""
    propensity: float | None = None


def places_of(share: float, size: int) -> int:
    """Return how many of the first `size` places a share is.

    >>> places_of(0.3, 10), places_of(0.3, 3), places_of(0.29, 10)
    (3, 0, 2)
    """
    return int(size * share + _ROUNDING)


def needed_by(promotions: Sequence[PromotedShare], size: int) -> tuple[Needed, ...]:
    """Return which rows must be among the candidates, and how many, for shares of `size` places."""
    return tuple(
        [
            Needed(~each.failing, places)
            for each in promotions
            if each.failing is not None and (places := places_of(each.share, size))
        ]
    )


def in_places(
    items: Sequence[Placed],
    size: int,
    promotions: Sequence[PromotedShare],
    pins: Mapping[int, Placed],
) -> list[Placed]:
    """Return the first `size` items of a list, with promoted shares and pins.

    Where two promotions lack an item at the same place, the older rule has the place.

    Args:
        items: the list without the pinned items.
        size: how many items to return at most.
        promotions: the oldest first.
        pins: place -> the item that is pinned there. In a list that is too short for it, it comes
            at the end.
    """
    # What may still come, best last; of each promotion, and of all.
    waiting = [
        [n for n, item in enumerate(items) if each.promotes(item.row)][::-1] for each in promotions
    ]
    rest = list(range(len(items)))[::-1]
    pinned = sorted(pins, reverse=True)
    counts = [0] * len(promotions)
    used: set[int] = set()
    chosen: list[Placed] = []
    for place in range(1, min(size, len(items) + len(pins)) + 1):
        position = _next(rest, used)
        if position is None or (pinned and pinned[-1] == place):
            item = pins[pinned.pop()]
        else:
            for promotion, positions, count in zip(promotions, waiting, counts, strict=True):
                found = _next(positions, used)
                if found is not None and count < places_of(promotion.share, place):
                    break
            else:
                promotion, found = None, position
            used.add(found)
            item = items[found]
            if promotion is not None and found != position:
                item = item._replace(by=f"promotion:{promotion.rule}")
        chosen.append(item)
        counts = [
            count + each.promotes(item.row) for count, each in zip(counts, promotions, strict=True)
        ]
    return chosen


def _next(positions: list[int], used: set[int]) -> int | None:
    """Return the last position that is not used, and drop those behind it; None if all are."""
    while positions and positions[-1] in used:
        positions.pop()
    return positions[-1] if positions else None


def free_places(pins: Sequence[Pin], size: int) -> tuple[Pin, ...]:
    """Return the pins, the oldest first, each at a place of its own, by place.

    Pins behind the first `size` places are gone. An item that two rules pin has the place of the
    older one.
    """
    taken: dict[int, Pin] = {}
    rows: set[int] = set()
    for pin in pins:
        place = pin.place
        while place in taken:
            place += 1
        if place <= size and pin.row not in rows:
            taken[place] = replace(pin, place=place)
            rows.add(pin.row)
    return tuple([taken[place] for place in sorted(taken)])
