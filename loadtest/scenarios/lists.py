"""What shelves of five rows cost, beside five single requests, and what lists cost.

    python -m loadtest.scenarios.lists

One connection asks page after page, in turns in three ways: `POST /shelves` with five rows,
`POST /recommend/batch` with the five requests of these rows, and `POST /recommend` five times.
A page has the rows of a shop: like the newest item that the user took, new, popular, and two
queries. New pages have queries that nobody has asked and a user that nobody has asked for; cached
ones were asked before. Beside them, single lists from the cache. Prints one JSON line: milliseconds
of a page, rows a second, and engine passes a page.
"""

import argparse
import itertools
import json
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

from loadtest.runners import machine
from loadtest.runners.client import Client
from loadtest.runners.queries import demo_titles, unique_queries
from loadtest.runners.services import get, recserve

ROWS = 5
K = 10
_START = 1_700_000_000

Page: TypeAlias = tuple[str, str, Sequence[str]]
"""A user, the item that the user took, and two queries."""

Way: TypeAlias = Callable[[Client, Page], None]
"""Asks one page; every row must have items."""


def shelves(client: Client, page: Page) -> None:
    """Ask for all rows in one call of `POST /shelves`."""
    user, _, queries = page
    rows = [
        {"name": "because", "kind": "because"},
        {"name": "new", "kind": "new"},
        {"name": "popular", "kind": "popular"},
        *({"name": query, "query": query} for query in queries),
    ]
    answer = _called(client, "/shelves", {"user_id": user, "k": K, "shelves": rows})
    _check(answer["shelves"])


def batch(client: Client, page: Page) -> None:
    """Ask for all rows in one call of `POST /recommend/batch`."""
    _check(_called(client, "/recommend/batch", {"requests": requests_of(page)})["results"])


def singles(client: Client, page: Page) -> None:
    """Ask for one row after another."""
    _check([_called(client, "/recommend", request) for request in requests_of(page)])


WAYS: dict[str, Way] = {"shelves": shelves, "batch": batch, "singles": singles}


def requests_of(page: Page) -> list[dict[str, Any]]:
    """Return the requests of the five rows of a page."""
    user, item, queries = page
    return [
        {"user_id": user, "k": K, **fields}
        for fields in (
            {"like": [item]},
            {"intent": {"sort": "newest"}},
            {"intent": {"sort": "popular"}},
            *({"query": query} for query in queries),
        )
    ]


def _called(client: Client, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
    status, answer = client.call("POST", path, body)
    if status != 200:
        raise SystemExit(f"{path}: {status} {answer}")
    return answer


def _check(rows: Sequence[dict[str, Any]]) -> None:
    if len(rows) != ROWS or not all(row.get("items") for row in rows):
        raise SystemExit(f"a row is missing, or has no items: {[*map(str, rows)][:1]}")


def pages(
    n: int, users: Iterator[int], items: Iterator[str], queries: Iterator[str], client: Client
) -> list[Page]:
    """Return pages of users who took one item each."""
    made: list[Page] = [
        (f"lists-{next(users)}", next(items), [next(queries), next(queries)]) for _ in range(n)
    ]
    events = [
        {"user_id": user, "item_id": item, "event": "click", "timestamp": _START + at}
        for at, (user, item, _) in enumerate(made)
    ]
    for first in range(0, len(events), 1000):
        _called(client, "/events", events[first : first + 1000])
    return made


def measured(client: Client, port: int, way: Way, asked: Sequence[Page]) -> dict[str, float]:
    """Return what pages cost."""
    before, times = _passes(port), []
    for page in asked:
        start = time.perf_counter()
        way(client, page)
        times.append(time.perf_counter() - start)
    passes = _passes(port) - before
    return {
        "page_ms": round(median(times) * 1e3, 3),
        "rows_per_s": round(ROWS * len(times) / sum(times), 1),
        "passes_per_page": round(passes / len(times), 3),
    }


def _passes(port: int) -> float:
    found = re.search(r"^recserve_batch_size_count (\S+)", get(port, "/metrics")[1], re.MULTILINE)
    return float(found[1]) if found else 0.0


def lists(client: Client, n: int) -> dict[str, float]:
    """Return the median milliseconds of single lists that are in the cache."""
    calls = {
        "POST /recommend": ("POST", "/recommend", {"query": "space", "k": K}),
        "POST /similar": ("POST", "/similar", {"item_id": "1", "k": K}),
        "GET /newest": ("GET", f"/newest?k={K}", None),
    }
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(n):
        for name, call in calls.items():
            start = time.perf_counter()
            status, answer = client.call(*call)
            taken[name].append((time.perf_counter() - start) * 1e3)
            if status != 200 or not answer["items"]:
                raise SystemExit(f"{name}: {status} {answer}")
    return {name: round(median(values), 3) for name, values in taken.items()}


def main() -> None:
    """Measure all ways in turns and print the line."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.lists", description=__doc__)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--pages", type=int, default=40, help="of one turn")
    options = parser.parse_args()
    n_pages = (options.rounds * len(WAYS) + 1) * options.pages
    queries = iter(unique_queries(2 * n_pages, 7, demo_titles()))
    users = itertools.count()
    rounds: dict[str, dict[str, list[dict[str, float]]]] = {
        kind: {name: [] for name in WAYS} for kind in ("new", "cached")
    }
    with (
        tempfile.TemporaryDirectory(prefix="recserve-lists-") as work,
        recserve(Path(work) / "log") as service,
        closing(Client(service.port)) as client,
    ):
        _, popular = client.call("GET", "/popular?k=100")
        items = itertools.cycle([item["id"] for item in popular["items"]])
        known = pages(options.pages, users, items, queries, client)
        for way in WAYS.values():
            measured(client, service.port, way, known)  # fills the cache
        for _ in range(options.rounds):
            for name, way in WAYS.items():
                fresh = pages(options.pages, users, items, queries, client)
                rounds["new"][name].append(measured(client, service.port, way, fresh))
                rounds["cached"][name].append(measured(client, service.port, way, known))
        single = lists(client, 40 * options.rounds)
    print(json.dumps(document(options, rounds, single)))


def document(
    options: argparse.Namespace,
    rounds: dict[str, dict[str, list[dict[str, float]]]],
    single: dict[str, float],
) -> dict[str, Any]:
    """Return what is printed: medians over the rounds, and ratios to single requests."""
    medians = {
        kind: {
            name: {figure: median([turn[figure] for turn in turns]) for figure in turns[0]}
            for name, turns in ways.items()
        }
        for kind, ways in rounds.items()
    }
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": "python -m loadtest.scenarios.lists",
        "commit": machine.commit(),
        "machine": machine.describe(),
        "options": vars(options),
        "rows": ROWS,
        "median": medians,
        "page_ms_to_singles": {
            kind: {
                name: round(figures["page_ms"] / ways["singles"]["page_ms"], 3)
                for name, figures in ways.items()
            }
            for kind, ways in medians.items()
        },
        "cached_list_ms": single,
        "rounds": rounds,
    }


if __name__ == "__main__":
    main()
