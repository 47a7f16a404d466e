"""What diversity, draws, shares and explanations cost a request in the engine, beside a plain one.

    python -m loadtest.scenarios.arranging --bundle models/demo

The same requests are ranked in each way, batch by batch, in a random order of the ways. So none of
them always comes behind the one that empties the CPU's caches. The cost is the median over all
batches of the difference to the plain way, per request. What counts is the processor time of the
thread, which a busy machine hardly changes. The texts are encoded before. Writes one JSON document
to `loadtest/results/arranging/`, or where `--json` says.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from time import thread_time
from typing import Any, Final

import orjson
from threadpoolctl import threadpool_limits

from app.core.ranking import RankRequest
from app.domain.exposure import ExposureWish, checked_exposure
from app.engine.engine import RankEngine
from loadtest.runners import machine
from loadtest.scenarios.engine_pass import prepared

BATCHES: Final = (1, 8)
PLAIN: Final = "plain"
RESULTS: Final = Path(__file__).parent.parent / "results" / "arranging"

_COMMON: Final = {"field": "categories", "groups": {"Drama": {"min": 0.2, "max": 0.6}}}
_RARE: Final = {"field": "categories", "groups": {"Documentary": {"min": 0.2}}}

Ways = Mapping[str, Callable[[RankRequest, int], RankRequest]]
"""What is measured -> the same request with it; the number is that of the request."""


def ways(engine: RankEngine) -> Ways:
    """Return all ways to ask; those with shares need the field `categories` of the demo."""

    def exposure(wish: Mapping[str, Any]) -> str:
        sent = ExposureWish.model_validate_json(orjson.dumps(wish))
        return checked_exposure(sent, engine.info.attributes, engine.info.roles)

    common, rare = exposure(_COMMON), exposure(_RARE)
    return {
        PLAIN: lambda request, _: request,
        "popularity_bias": lambda request, _: request._replace(popularity_bias=-0.5),
        "diversity": lambda request, _: request._replace(diversity=0.5),
        "explore": lambda request, n: request._replace(explore=0.2, seed=n),
        "exposure": lambda request, _: request._replace(exposure=common),
        "exposure of a rare group": lambda request, _: request._replace(exposure=rare),
        "all of them": lambda request, n: request._replace(
            popularity_bias=-0.5, diversity=0.5, explore=0.2, seed=n, exposure=common
        ),
        "explain": lambda request, _: request._replace(explain=True),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and write the document."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.arranging", description=__doc__)
    parser.add_argument("--bundle", type=Path, default=Path("models/demo"))
    parser.add_argument("--requests", type=int, default=160, help="of each kind (default: 160)")
    parser.add_argument("--rounds", type=int, default=5, help="over all requests (default: 5)")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--json", type=Path, help="file, or - for stdout")
    options = parser.parse_args(argv)
    threadpool_limits(limits=1, user_api="blas")  # as the service does
    engine, requests_by_kind = prepared(options.bundle, options.requests, options.seed)
    document = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.arranging",
        "machine": machine.describe(),
        "bundle": {"name": engine.info.bundle_name, "items": engine.info.n_items},
        "k": RankRequest().k,
        "rounds": options.rounds,
        "ms_per_request": {
            kind: {str(size): measured(engine, requests, size, options.rounds) for size in BATCHES}
            for kind, requests in requests_by_kind.items()
        },
    }
    line = json.dumps(document) + "\n"
    if str(options.json) == "-":
        sys.stdout.write(line)
        return
    path = options.json or RESULTS / f"{datetime.now(UTC):%Y-%m-%d}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(line)


def measured(
    engine: RankEngine, requests: Sequence[RankRequest], size: int, rounds: int
) -> dict[str, float]:
    """Return milliseconds per request: of the plain way, and what each other way adds to it."""
    how = ways(engine)
    names = list(how)
    times: dict[str, list[float]] = {name: [] for name in names}
    rng = random.Random(1)
    for _ in range(rounds):
        for start in range(0, len(requests), size):
            batch = requests[start : start + size]
            for name in rng.sample(names, len(names)):
                asked = [how[name](request, n) for n, request in enumerate(batch, start)]
                began = thread_time()
                engine.rank(asked)
                times[name].append((thread_time() - began) * 1e3 / len(batch))
    added = {
        name: median(time - plain for time, plain in zip(times[name], times[PLAIN], strict=True))
        for name in names
        if name != PLAIN
    }
    return {PLAIN: round(median(times[PLAIN]), 4)} | {
        name: round(value, 4) for name, value in added.items()
    }


if __name__ == "__main__":
    main()
