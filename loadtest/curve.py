"""The throughput-latency curve of a running service: rising constant rates until it gives way.

    python -m loadtest.curve --host http://127.0.0.1:8000 --out load-curve.svg

Every query is new. Each rate is offered in an open loop (`loadtest.open_loop`); the sweep ends with
the first rate of which less than nine tenths come back in time.
"""

import argparse
import json
import math
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

from loadtest import open_loop
from loadtest.open_loop import Offer, Report
from loadtest.queries import titles_at, unique_queries

_FIRST, _STEP, _MOST = 50.0, 1.35, 16
_QUERIES = 80_000
_ENOUGH = 0.9
_WIDTH, _HEIGHT = 760, 420
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 20, 44, 48
_COLOURS = {"p50": "#3b6fb6", "p99": "#c2572b"}


@dataclass(frozen=True, slots=True)
class Point:
    """One rate: answers in time a second, and times of accepted, undegraded answers in ms."""

    goodput_per_s: float
    p50_ms: float
    p99_ms: float


def sweep(measure: Callable[[float], Report], first: float = _FIRST) -> list[Report]:
    """Measure rising rates, the last being the first that the service cannot answer in time."""
    found: list[Report] = []
    rate = first
    while len(found) < _MOST:
        found.append(measure(rate))
        if found[-1].goodput_per_s < _ENOUGH * rate:
            break
        rate *= _STEP
    return found


def points(reports: Iterable[Report]) -> list[Point]:
    """Return what can be drawn: rates with at least one accepted, undegraded answer."""
    return [
        Point(r.goodput_per_s, r.p50_ms, r.p99_ms)
        for r in reports
        if r.p50_ms is not None and r.p99_ms is not None
    ]


def draw(drawn: Sequence[Point], title: str) -> str:
    """Return the curve as one self-contained `<svg>`: answers a second against ms (logarithmic).

    Raises:
        ValueError: there are no points.
    """
    if not drawn:
        raise ValueError("nothing was answered: there is no curve")
    fastest = max(point.goodput_per_s for point in drawn)
    low = math.floor(math.log10(min(point.p50_ms for point in drawn)))
    high = max(low + 1, math.ceil(math.log10(max(point.p99_ms for point in drawn))))

    def x(rate: float) -> float:
        return round(_LEFT + rate / fastest * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(ms: float) -> float:
        share = (math.log10(ms) - low) / (high - low)
        return round(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM), 1)

    parts = [_grid_line(y(10.0**power), f"{10.0**power:g} ms") for power in range(low, high + 1)]
    parts += [_tick(x(rate), f"{rate:,.0f}/s") for rate in _round_steps(fastest)]
    lines = {
        "p50": [(x(p.goodput_per_s), y(p.p50_ms)) for p in drawn],
        "p99": [(x(p.goodput_per_s), y(p.p99_ms)) for p in drawn],
    }
    parts += [_line(name, line) for name, line in lines.items()]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" viewBox="0 0 {_WIDTH} {_HEIGHT}" '
        f'width="{_WIDTH}" height="{_HEIGHT}" font-family="sans-serif" font-size="12">'
        f"<title>{escape(title)}</title>"
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>'
        f'<text x="{_LEFT}" y="22" font-size="14">{escape(title)}</text>{"".join(parts)}</svg>\n'
    )


def _round_steps(most: float) -> list[float]:
    """Return up to six round numbers from 0 to `most`.

    >>> _round_steps(530)
    [0, 100, 200, 300, 400, 500]
    """
    rough = most / 5
    unit = 10 ** math.floor(math.log10(rough))
    step = next(unit * n for n in (1, 2, 5, 10) if unit * n >= rough * 0.9)
    return [step * n for n in range(int(most / step) + 1)]


def _grid_line(y: float, label: str) -> str:
    return (
        f'<path d="M{_LEFT} {y}H{_WIDTH - _RIGHT}" stroke="#ddd"/>'
        f'<text x="{_LEFT - 8}" y="{y + 4}" text-anchor="end">{label}</text>'
    )


def _tick(x: float, label: str) -> str:
    return f'<text x="{x}" y="{_HEIGHT - _BOTTOM + 22}" text-anchor="middle">{label}</text>'


def _line(name: str, line: Sequence[tuple[float, float]]) -> str:
    colour = _COLOURS[name]
    path = "L".join(f"{x} {y}" for x, y in line)
    dots = "".join(f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in line)
    x, y = line[len(line) // 2]
    return (
        f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>{dots}'
        f'<text x="{x}" y="{y - 10}" fill="{colour}" text-anchor="middle">{name}</text>'
    )


def main(argv: Sequence[str] | None = None) -> None:
    """Sweep, print a table, write the picture."""
    parser = argparse.ArgumentParser("python -m loadtest.curve", description=__doc__)
    parser.add_argument("--host", default="http://127.0.0.1:8000", help="of a service")
    parser.add_argument("--seconds", type=float, default=3, help="of each rate (default: 3)")
    parser.add_argument("--out", type=Path, default=Path("load-curve.svg"))
    options = parser.parse_args(argv)
    where = urlsplit(options.host)
    seed = random.randrange(2**32)
    texts = iter(unique_queries(_QUERIES, seed, titles_at(options.host)))

    def measure(rate: float) -> Report:
        some = islice(texts, int(rate * options.seconds))
        bodies = [json.dumps({"query": text, "k": 10}).encode() for text in some]
        offered = Offer(rate, options.seconds)
        found = open_loop.measure(where.port or 80, bodies, offered, where.hostname or "127.0.0.1")
        print(
            f"{rate:8.0f}/s offered {found.goodput_per_s:8.0f}/s in time "
            f"p50 {found.p50_ms or math.nan:8.1f} ms p99 {found.p99_ms or math.nan:8.1f} ms "
            f"refused {found.refused_per_s:6.0f}/s",
            flush=True,
        )
        return found

    picture = draw(points(sweep(measure)), "New queries answered in time, and how long they took")
    options.out.write_text(picture, encoding="utf-8")
    print(f"written: {options.out}")


if __name__ == "__main__":
    main()
