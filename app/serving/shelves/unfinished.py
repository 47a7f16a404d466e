"""Which items a user began and did not finish: what a shelf of kind `continue` shows.

The newest event of an item that begins or ends it decides. A negative event ends it too: somebody
who dislikes an item does not want to go on with it. Only stored events count, as those of a bundle
have neither kinds nor an order among kinds.
"""

from collections.abc import Collection, Mapping
from typing import Final

from app.core.types import Event
from app.domain.event_rules import EventRule

BEGUN: Final = (
    *("play", "start", "started", "watch", "listen", "progress", "pause", "resume"),
    *("cart", "add_to_cart", "basket", "add_to_basket", "product_added", "begin_checkout"),
)
"""Kinds of events that begin an item, unless a shelf names others."""

FINISHED: Final = (
    *("complete", "completed", "finish", "finished", "watched", "listened"),
    *("purchase", "order", "transaction", "buy", "checkout", "booking", "purchased", "ordered"),
    *("bought", "order_completed", "order_placed", "remove_from_cart", "product_removed"),
)
"""Kinds of events that finish an item, unless a shelf names others."""


def unfinished_items(
    events: Collection[Event],
    rules: Mapping[str, EventRule],
    begun: Collection[str],
    finished: Collection[str],
) -> tuple[str, ...]:
    """Return the items that were begun and not finished since, those begun last first.

    Args:
        events: of one user, oldest first.
        rules: what each kind of event means.
        begun: kinds of events that begin an item.
        finished: kinds that finish one, also if they are in both.
    """
    on: dict[str, None] = {}
    for event in events:
        rule = rules.get(event.kind)
        is_negative = rule is not None and rule.sign(event.value) < 0
        if event.kind in finished or is_negative:
            on.pop(event.item, None)
        elif event.kind in begun:
            on.pop(event.item, None)  # so that what was begun last is last
            on[event.item] = None
    return tuple(reversed(on))
