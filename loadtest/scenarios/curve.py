"""The throughput-latency curve of a running service, from rising constant rates.

    python -m loadtest.scenarios.curve --host http://127.0.0.1:8000 --out load-curve.svg --json FILE

Every query is new. Each rate is offered in an open loop (`loadtest.runners.open_loop`). The sweep
ends with the first rate of which fewer than nine tenths are answered in time.
`loadtest.reports.curve` writes FILE into docs/benchmarks.md.
"""

import argparse
import json
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from loadtest.reports import pictures
from loadtest.runners import machine, open_loop
from loadtest.runners.open_loop import Offer, Report
from loadtest.runners.queries import titles_at, unique_queries

_FIRST, _STEP, _MOST = 50.0, 1.35, 16
_QUERIES = 80_000
_ENOUGH = 0.9


def sweep(measure: Callable[[float], Report], first: float = _FIRST) -> list[Report]:
    """Measure rising rates up to the first one that is not answered in time."""
    reports: list[Report] = []
    rate = first
    while len(reports) < _MOST:
        reports.append(measure(rate))
        if reports[-1].goodput_per_s < _ENOUGH * rate:
            break
        rate *= _STEP
    return reports


def document(reports: Sequence[Report], seconds: float) -> dict[str, Any]:
    """Return the result document: the reports, the machine, the commit."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": machine.commit(),
        "command": "python -m loadtest.scenarios.curve",
        "seconds": seconds,
        "machine": machine.describe(),
        "versions": machine.versions(),
        "rates": [asdict(report) for report in reports],
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Sweep, print a table, and write the figures and the picture."""
    parser = argparse.ArgumentParser("python -m loadtest.scenarios.curve", description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8000", help="of a service")
    parser.add_argument("--seconds", type=float, default=3, help="of each rate (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("load-curve.svg"))
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here")
    options = parser.parse_args(argv)
    where = urlsplit(options.host)
    seed = random.randrange(2**32)
    texts = iter(unique_queries(_QUERIES, seed, titles_at(options.host)))

    def measure(rate: float) -> Report:
        some = islice(texts, int(rate * options.seconds))
        bodies = [json.dumps({"query": text, "k": 10}).encode() for text in some]
        offered = Offer(rate, options.seconds)
        report = open_loop.measure(where.port or 80, bodies, offered, where.hostname or "127.0.0.1")
        print(
            f"{rate:8.0f}/s offered {report.goodput_per_s:8.0f}/s in time "
            f"p50 {report.p50_ms or math.nan:8.1f} ms p99 {report.p99_ms or math.nan:8.1f} ms "
            f"refused {report.refused_per_s:6.0f}/s",
            flush=True,
        )
        return report

    result = document(sweep(measure), options.seconds)
    if options.json:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    options.out.write_text(pictures.curve(result), encoding="utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
