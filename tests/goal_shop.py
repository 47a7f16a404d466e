"""A made-up shop whose customers click other items than they buy.

Customers walk along a ring of items, so what they take next is known. Most events of the items with
an even number are clicks, and most of those with an odd number are purchases.
"""

import random
from typing import Any, Final

N_ITEMS: Final = 60
OFTEN: Final = 0.9

_START: Final = 1_700_000_000


def name_of(at: int) -> str:
    """Return the id of a place on the ring."""
    return f"i{at % N_ITEMS}"


def is_bought(item: str) -> bool:
    """Tell whether an item is mostly bought, not clicked."""
    return int(item[1:]) % 2 == 1


def goal_shop(
    n_users: int = 500, seed: int = 0
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Draw the rows of the items and of the events; the same arguments give the same rows."""
    rng = random.Random(seed)
    items = [{"id": name_of(at), "title": f"thing {at}"} for at in range(N_ITEMS)]
    events: list[dict[str, Any]] = []
    for user in range(n_users):
        at, time = rng.randrange(N_ITEMS), _START + user * 1000
        for _ in range(6):
            at += rng.choice((1, 2))
            bought = is_bought(name_of(at)) == (rng.random() < OFTEN)
            time += 1
            events.append(
                {
                    "user_id": f"u{user}",
                    "item_id": name_of(at),
                    "event": "purchase" if bought else "click",
                    "timestamp": time,
                }
            )
    return items, events
