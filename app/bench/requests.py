"""The requests of `recserve bench`: with words, a user's history, both, or words with demands.

This module knows neither the engine nor the clock.
"""

import asyncio
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from app.core.errors import BadDataError
from app.core.ranking import RankRequest
from app.domain.query_text import MAX_QUERY_CHARACTERS, normalised_query
from app.serving.stores.bundle_users import BundleUserStore

WORDS_IN_QUERY: Final = {1: 5, 2: 23, 3: 35, 4: 21, 5: 9, 6: 7}
"""Number of words -> percent of the queries, as in the public set of shop queries WANDS."""

MAX_HISTORIES: Final = 2000

_MAX_MADE_HISTORY: Final = 20
_TRIES: Final = 40
_TRIES_PER_LENGTH: Final = 10


class Requests:
    """Requests of every kind, without end."""

    def __init__(
        self,
        queries: Iterator[str],
        histories: Sequence[tuple[str, ...]],
        demanding: Iterator[str] | None = None,
    ) -> None:
        """Take queries without end, and histories, which are used again and again.

        `demanding`: queries without end of which some carry demands; None = there are none.
        """
        self._queries = queries
        self._demanding = demanding
        self._histories = itertools.cycle(histories)

    def take(self, kind: str, n: int) -> list[RankRequest]:
        """Return the next `n` requests of a kind: "words", "user", "both" or "demands"."""
        return [self._next(kind) for _ in range(n)]

    @property
    def have_demands(self) -> bool:
        """Whether there are requests of the kind "demands"."""
        return self._demanding is not None

    def _next(self, kind: str) -> RankRequest:
        if kind == "demands" and self._demanding is not None:
            return RankRequest(query=next(self._demanding))
        query = "" if kind == "user" else next(self._queries)
        history = () if kind == "words" else next(self._histories)
        return RankRequest(query=query, history=history, exclude=frozenset(history))


def read_queries(path: Path) -> list[str]:
    """Return the different queries of a text file with a query a line; blank lines are skipped.

    Raises:
        BadDataError: it cannot be read, is not UTF-8, or has no query or one that is longer than
            the service accepts.
    """
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise BadDataError(f"{path.name}: not a text file in UTF-8") from error
    except OSError as error:
        raise BadDataError(f"{path.name} cannot be read: {error.strerror}") from error
    for number, line in enumerate(lines, 1):
        if len(line.strip()) > MAX_QUERY_CHARACTERS:
            raise BadDataError(
                f"{path.name}, line {number}: longer than {MAX_QUERY_CHARACTERS} characters"
            )
    queries = list(dict.fromkeys(filter(None, map(normalised_query, lines))))
    if not queries:
        raise BadDataError(f"{path.name}: no query in it")
    return queries


def made_queries(title: Callable[[], str | None], rng: random.Random) -> Iterator[str]:
    """Yield queries without end: words that follow each other in titles, as long as real queries.

    No query comes twice, unless the titles have too few different words.

    Args:
        title: returns any title; some title among the next few must have a word.
        rng: chooses the lengths.
    """
    words = _words(title)
    lengths, weights = list(WORDS_IN_QUERY), list(WORDS_IN_QUERY.values())
    seen: set[str] = set()
    while True:
        length = rng.choices(lengths, weights)[0]
        for attempt in range(_TRIES):
            # There are few different texts of one word. After some tries the text gets longer.
            run = itertools.islice(words, length + attempt // _TRIES_PER_LENGTH)
            text = normalised_query(" ".join(run)[:MAX_QUERY_CHARACTERS])
            if text not in seen:
                break
        seen.add(text)
        yield text


def _words(title: Callable[[], str | None]) -> Iterator[str]:
    while True:
        yield from (title() or "").lower().split()


def histories_of(users: BundleUserStore, rng: random.Random) -> list[tuple[str, ...]]:
    """Return the histories of a random sample of users, as serving reads them; none is empty."""
    rows = rng.sample(range(len(users)), min(len(users), MAX_HISTORIES))
    histories = asyncio.run(_read(users, [users.key(row) for row in rows]))
    return [history for history in histories if history]


async def _read(users: BundleUserStore, keys: Sequence[str]) -> list[tuple[str, ...]]:
    return [await users.history(key) for key in keys]


def made_histories(item: Callable[[], str], rng: random.Random) -> list[tuple[str, ...]]:
    """Return histories of one to twenty items; `item` returns the id of any item."""
    lengths = [rng.randint(1, _MAX_MADE_HISTORY) for _ in range(MAX_HISTORIES)]
    return [tuple(dict.fromkeys(item() for _ in range(length))) for length in lengths]
