"""A chart of curves as inline SVG, beside the bar charts of `app.evaluation.report_page`.

It knows numbers and labels, not what they mean. Its classes are styled by the page of a report;
`standalone` gives a file of its own the same look.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 760
HEIGHT: Final = 380
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 150, 16, 48
_TICKS: Final = 5
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
    low_x, high_x = _ends([x for curve in curves for x, *_ in curve.points])
    low_y, high_y = _ends([y for curve in curves for _, y, _ in curve.points])
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM

    def at(x: float, y: float) -> tuple[float, float]:
        return (
            round(_LEFT + (x - low_x) / (high_x - low_x) * width, 1),
            round(_TOP + height - (y - low_y) / (high_y - low_y) * height, 1),
        )

    parts = [_axes(low_x, high_x, low_y, high_y, x_name, y_name)]
    for number, (curve, kind) in enumerate(zip(curves, _KINDS, strict=False)):
        places = [at(x, y) for x, y, _ in curve.points]
        line = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path class="curve {kind}" d="M{line}"/>')
        for (x, y), (_, _, text) in zip(places, curve.points, strict=True):
            parts.append(f'<circle class="{kind}" cx="{x}" cy="{y}" r="3"/>')
            if text:
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


def _ends(values: Sequence[float]) -> tuple[float, float]:
    """Return the ends of an axis: all values, 0, and a little room."""
    low, high = min((*values, 0.0)), max((*values, 0.0))
    room = (high - low) * 0.06 or 0.01
    return (low - room if low < 0 else 0.0), high + room


def _axes(  # noqa: PLR0913, PLR0917 - the ends of both axes, and their names
    low_x: float, high_x: float, low_y: float, high_y: float, x_name: str, y_name: str
) -> str:
    width, height = WIDTH - _LEFT - _RIGHT, HEIGHT - _TOP - _BOTTOM
    bottom = _TOP + height
    parts = [f'<path class="axis" d="M{_LEFT} {_TOP}V{bottom}H{_LEFT + width}"/>']
    for number in range(_TICKS):
        share = number / (_TICKS - 1)
        x, y = _LEFT + share * width, bottom - share * height
        parts.append(
            f'<text class="tick" text-anchor="middle" x="{x:.1f}" y="{bottom + 18}">'
            f"{low_x + share * (high_x - low_x):.0%}</text>"
            f'<text class="tick" text-anchor="end" x="{_LEFT - 8}" y="{y + 4:.1f}">'
            f"{low_y + share * (high_y - low_y):.0%}</text>"
        )
    parts.append(
        f'<text class="note" text-anchor="middle" x="{_LEFT + width / 2}" y="{HEIGHT - 8}">'
        f"{escape(x_name)}</text>"
        f'<text class="note" transform="translate(14 {_TOP + height / 2}) rotate(-90)" '
        f'text-anchor="middle">{escape(y_name)}</text>'
    )
    return "".join(parts)
