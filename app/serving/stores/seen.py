"""Seen items: how a store joins those of its events with those of events that it has dropped."""

from collections.abc import Iterable

from app.core.types import SeenItem


def united(dropped: Iterable[SeenItem], stored: Iterable[SeenItem]) -> list[SeenItem]:
    """Return each item once, with the newest time and the highest value.

    Args:
        dropped: from dropped events, each item at most once.
        stored: from stored events, one per event. A heavy user has far fewer of them.

    >>> united([SeenItem("a", 1.0, 5.0)], [SeenItem("a", 2.0, 3.0), SeenItem("b", 4.0)])
    [SeenItem(item='a', time=2.0, value=5.0), SeenItem(item='b', time=4.0, value=None)]
    """
    by_item = {seen.item: seen for seen in dropped}
    for seen in stored:
        old = by_item.get(seen.item)
        by_item[seen.item] = seen if old is None else merged(old, seen)
    return list(by_item.values())


def merged(one: SeenItem, other: SeenItem) -> SeenItem:
    """Return the same item with the newer time and the higher value."""
    values = [each.value for each in (one, other) if each.value is not None]
    return SeenItem(one.item, max(one.time, other.time), max(values, default=None))
