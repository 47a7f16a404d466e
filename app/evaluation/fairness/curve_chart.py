"""A chart of curves as inline SVG, beside the bar charts of `app.evaluation.report_page`.

It knows numbers and labels, not what they mean. Its classes are styled by the page of a report;
`standalone` gives a file of its own the same look.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 16, 48
_TICKS: Final = 6
_WIDE, _HIGH = 26, 13
"""Pixels that the text of a point takes: another one so near is left out."""

_KINDS: Final = ("first", "second", "third")

_STYLE: Final = """<style>
text { font: 13px 'DejaVu Sans', Helvetica, Arial, sans-serif; fill: #24292f; }
.axis { stroke: #d8dee4; fill: none; } .tick { fill: #5c6773; }
.curve { fill: none; stroke-width: 2; }
.first { stroke: #1f6feb; } .second { stroke: #c2572b; } .third { stroke: #2da44e; }
circle.first { fill: #1f6feb; } circle.second { fill: #c2572b; } circle.third { fill: #2da44e; }
text.first, text.second, text.third { stroke: none; }
</style><rect width="100%" height="100%" fill="#fff"/>"""


@dataclass(frozen=True, slots=True)
class Curve:
    """Points that a line joins in their order.

    Attributes:
        label: its name.
        points: (x, y, what stands beside the point); "" = nothing.
    """

    label: str
    points: tuple[tuple[float, float, str], ...]


def curve_chart(curves: Sequence[Curve], title: str, x_name: str, y_name: str) -> str:
    """Return an `<svg>` of at most three curves; both axes are shares, shown as percent.

    Args:
        curves: what to draw.
        title: what a screen reader says.
        x_name: what the lower axis is.
        y_name: what the left axis is.
    """
    x_axis = _Axis.of([x for curve in curves for x, *_ in curve.points])
    y_axis = _Axis.of([y for curve in curves for _, y, _ in curve.points])
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + x_axis.share(x) * width, 1),
            round(_TOP + height - y_axis.share(y) * height, 1),
        )

    parts = [_axes(x_axis, y_axis, x_name, y_name)]
    written: list[tuple[float, float]] = []
    for number, (curve, kind) in enumerate(zip(curves, _KINDS, strict=False)):
        places = [at(x, y) for x, y, _ in curve.points]
        line = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path class="curve {kind}" d="M{line}"/>')
        for (x, y), (_, _, text) in zip(places, curve.points, strict=True):
            parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="3"/>')
            near = any(abs(x - a) < _WIDE and abs(y - b) < _HIGH for a, b in written)
            if text and not near:
                written.append((x, y))
                parts.append(f'<text class="tick" x="{x + 5}" y="{y - 5}">{escape(text)}</text>')
        top = _TOP + 14 + number * 20
        parts.append(
            f'<circle class="{kind}" cx="{WIDTH - _RIGHT + 14}" cy="{top - 4}" r="4"/>'
            f'<text class="note" x="{WIDTH - _RIGHT + 24}" y="{top}">{escape(curve.label)}</text>'
        )
    return (
        f'<svg role="img" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}"><title>{escape(title)}</title>{"".join(parts)}</svg>'
    )


def standalone(chart: str) -> str:
    """Return a chart with its styles on white, for a file of its own."""
    head, end, rest = chart.partition("</title>")
    return f"{head}{end}{_STYLE}{rest}\n"


@dataclass(frozen=True, slots=True)
class _Axis:
    """A scale from `low` to `high` with a tick at each multiple of `step`."""

    low: float
    high: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float]) -> "_Axis":
        """Return the scale of all values and 0, which ends at round numbers."""
        low, high = min((*values, 0.0)), max((*values, 0.0))
        span = (high - low) or 0.01
        size = 10.0 ** math.floor(math.log10(span))
        step = next(part * size for part in (0.2, 0.5, 1.0, 2.0) if span <= part * size * _TICKS)
        return cls(math.floor(low / step) * step, max(math.ceil(high / step), 1) * step, step)

    def share(self, value: float) -> float:
        """Return where a value stands: 0 = at the low end, 1 = at the high one."""
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Return the values of the ticks."""
        n = round((self.high - self.low) / self.step)
        return [self.low + number * self.step for number in range(n + 1)]

    def text(self, value: float) -> str:
        """Return a tick as percent, with decimals where the step needs some."""
        return f"{value:.{1 if self.step < 0.01 else 0}%}"


def _axes(x_axis: _Axis, y_axis: _Axis, x_name: str, y_name: str) -> str:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    bottom = _TOP + height
    zero = _LEFT + x_axis.share(0.0) * width
    parts = [
        f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{_LEFT + width}"/>'
        f'<path class="axis" d="M{zero:.1f} {_TOP}V{bottom}"/>'
    ]
    for value in x_axis.ticks():
        x = _LEFT + x_axis.share(value) * width
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{bottom + 18}">'
            f"{x_axis.text(value)}</text>"
        )
    for value in y_axis.ticks():
        y = bottom - y_axis.share(value) * height
        parts.append(
            f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}">'
            f"{y_axis.text(value)}</text>"
        )
    parts.append(
        f'<text class="note" text-anchor="middle" x="{_LEFT + width / 2}" y="{HEIGHT - 8}">'
        f"{escape(x_name)}</text>"
        f'<text class="note" transform="translate(14 {_TOP + height / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_name)}</text>'
    )
    return "".join(parts)
