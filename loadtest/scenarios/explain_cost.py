"""What explanations cost a pass of the engine, and what the engine needs to say why not.

    python -m loadtest.scenarios.explain_cost [--bundle models/demo] [--k 10] [--rounds 200]

Each request is ranked as it is and explained, by turns, so that both meet the same machine. The
figures are medians in milliseconds; `extra` is the median of the differences. The output is one
JSON document.
"""

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from threadpoolctl import threadpool_limits

from app.core.ranking import RankRequest
from app.engine.engine import RankEngine
from app.engine.open import open_engine
from loadtest.runners.services import ROOT

HISTORY = ("1", "260", "1196", "2571", "318")
REQUESTS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "words": {"query": "space robots"},
    "history": {"history": HISTORY},
    "words and history": {"query": "space", "history": HISTORY},
    "like": {"like": ("1",)},
    "intent and history": {"query": "something light-hearted", "history": HISTORY},
    "context and dislikes": {"query": "crime", "history": HISTORY, "dislike": ("2",)},
}


def milliseconds(call: Callable[[], object]) -> float:
    """Return how long a call takes."""
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1e3


def cost_of(engine: RankEngine, request: RankRequest, rounds: int) -> dict[str, float]:
    """Return the medians of one request."""
    explained = request._replace(explain=True)
    plain_ms, explained_ms, why_not_ms = list[float](), list[float](), list[float]()
    for _ in range(rounds):
        plain_ms.append(milliseconds(lambda: engine.rank([request])))
        explained_ms.append(milliseconds(lambda: engine.rank([explained])))
    for _ in range(max(rounds // 10, 1)):
        why_not_ms.append(milliseconds(lambda: engine.why_not(request, "2858", None)))
    extra = [more - less for more, less in zip(explained_ms, plain_ms, strict=True)]
    figures = {
        "plain": median(plain_ms),
        "explained": median(explained_ms),
        "extra": median(extra),
        "why_not": median(why_not_ms),
    }
    return {name: round(figure, 3) for name, figure in figures.items()}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(
        "python -m loadtest.scenarios.explain_cost", description=__doc__
    )
    parser.add_argument("--bundle", type=Path, default=ROOT / "models" / "demo")
    parser.add_argument("--k", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=200)
    asked = parser.parse_args(argv)
    threadpool_limits(limits=1, user_api="blas")  # as the service does
    engine = open_engine(asked.bundle, 1)
    requests = {
        name: RankRequest(k=asked.k, now=time.time(), **fields) for name, fields in REQUESTS.items()
    }
    engine.rank([request._replace(explain=True) for request in requests.values()])
    costs = {name: cost_of(engine, request, asked.rounds) for name, request in requests.items()}
    print(json.dumps({"k": asked.k, "milliseconds": costs}, indent=2))


if __name__ == "__main__":
    main()
