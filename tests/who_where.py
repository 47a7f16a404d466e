"""A made-up catalogue in which who somebody is, and the hour, decide what they take.

400 items lie in four sections. A user comes from one of four countries. An event is of the section
of the user's country with probability `BY_COUNTRY`, of the section of the hour with probability
`BY_HOUR`, and of any section else. Texts say nothing of all this, so that words cannot find it.
"""

import random
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.bundles import write_jsonl

COUNTRIES: Final = ("br", "de", "in", "nz")
SECTIONS: Final = ("books", "garden", "music", "tools")
BY_COUNTRY: Final = 0.5
BY_HOUR: Final = 0.3

_EVENTS_A_USER: Final = (3, 8)
_START: Final = 1_700_000_000
_HOUR_S: Final = 3600


@dataclass(frozen=True, slots=True)
class WhoWhere:
    """Rows of the three files: items, events and users."""

    items: list[dict[str, Any]]
    events: list[dict[str, Any]]
    users: list[dict[str, Any]]


def section_of_country(country: str) -> str:
    """Return the section that people of a country take most."""
    return SECTIONS[COUNTRIES.index(country)]


def section_of_hour(hour: int) -> str:
    """Return the section that is taken most at an hour, 0–23; each has a quarter of the day."""
    return SECTIONS[hour // 6]


def who_where(n_users: int = 3000, n_items: int = 400, seed: int = 0) -> WhoWhere:
    """Draw the rows; the same arguments give the same rows.

    Users also have an age, which decides nothing. Events carry the hour in `context`, beside a
    device, which decides nothing either.
    """
    rng = random.Random(seed)
    items = [
        {"id": f"i{n}", "title": f"thing {n}", "section": SECTIONS[n % len(SECTIONS)]}
        for n in range(n_items)
    ]
    rows_of = {s: [i["id"] for i in items if i["section"] == s] for s in SECTIONS}
    weights = [1.0 / (1 + place) ** 0.5 for place in range(n_items // len(SECTIONS))]
    users: list[dict[str, Any]] = []
    events: list[dict[str, Any]] = []
    for n in range(n_users):
        country = rng.choice(COUNTRIES)
        users.append({"id": f"u{n}", "country": country, "age": rng.randint(18, 80)})
        for day in range(rng.randint(*_EVENTS_A_USER)):
            hour = rng.randrange(24)
            chance = rng.random()
            if chance < BY_COUNTRY:
                section = section_of_country(country)
            elif chance < BY_COUNTRY + BY_HOUR:
                section = section_of_hour(hour)
            else:
                section = rng.choice(SECTIONS)
            (item,) = rng.choices(rows_of[section], weights)
            events.append(
                {
                    "user_id": f"u{n}",
                    "item_id": item,
                    "timestamp": _START + (day * 24 + hour) * _HOUR_S,
                    "context": {"hour": hour, "device": rng.choice(("phone", "desk"))},
                }
            )
    return WhoWhere(items, events, users)


def main() -> None:
    """Write `items.jsonl`, `events.jsonl` and `users.jsonl` of 2,000 users into a folder."""
    rows, folder = who_where(n_users=2000), Path(sys.argv[1])
    for name in ("items", "events", "users"):
        write_jsonl(folder / f"{name}.jsonl", getattr(rows, name))


if __name__ == "__main__":
    main()
