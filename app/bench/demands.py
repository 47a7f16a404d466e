"""Queries with demands, such as "newest {words}" or "{words} not horror", made of other queries.

`recserve bench` and `make bench` measure what understanding a query costs. The demands name values
of the catalogue; the phrases around them are English. This module knows no catalogue.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

EVERY: Final = 3
"""One of so many queries carries a demand."""

_ORDERS: Final = ("newest {text}", "oldest {text}", "best rated {text}", "most popular {text}")
_OF_A_CATEGORY: Final = ("{category} {text}", "{text} not {category}", "{text} without {category}")
_OF_A_YEAR: Final = (
    "{text} from {year}",
    "{text} since {year}",
    "{text} before {year}",
    "{text} from the {decade}s",
)


@dataclass(frozen=True, slots=True)
class DemandValues:
    """What demands are about: categories and years of publication of a catalogue; may be empty."""

    categories: Sequence[str] = ()
    years: Sequence[int] = ()


def with_demands(texts: Iterable[str], values: DemandValues, rng: random.Random) -> Iterator[str]:
    """Yield different texts: every third one carries a demand, the others stay as they are.

    The words of each text stand in the query, so that there is something new to encode. A text that
    has come before is left out, so there may be fewer than there are `texts`.

    >>> list(with_demands(["a", "b", "c", "d", "b"], DemandValues(), random.Random(3)))
    ['oldest a', 'b', 'c', 'oldest d']
    """
    seen: set[str] = set()
    for number, plain in enumerate(texts):
        text = plain if number % EVERY else with_demand(plain, values, rng)
        if text not in seen:
            seen.add(text)
            yield text


def with_demand(text: str, values: DemandValues, rng: random.Random) -> str:
    """Return a query with a demand and the words of a text."""
    phrases = [*_ORDERS]
    phrases += _OF_A_CATEGORY if values.categories else ()
    phrases += _OF_A_YEAR if values.years else ()
    category = rng.choice(values.categories).lower() if values.categories else ""
    year = rng.choice(values.years) if values.years else 0
    decade = year - year % 10
    phrase = rng.choice(phrases)
    return phrase.format(text=text, category=category, year=year, decade=decade)
