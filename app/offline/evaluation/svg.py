"""Horizontal bars with intervals, as inline SVG. Knows numbers and labels, not what they mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 760
_LABEL, _VALUE, _ROW, _BAR = 210, 150, 30, 16
_SPACE = WIDTH - _LABEL - _VALUE


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar; `low` and `high` draw a whisker where known; `strong` = what the page is about."""

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    strong: bool = False
    note: str = ""


def bars(items: Sequence[Bar], title: str, digits: int = 3) -> str:
    """Return an `<svg>` with a bar per item, all on one scale from 0.

    `title` is what a screen reader says; each bar has its own tooltip.
    """
    longest = max((max(item.value, item.high or 0.0) for item in items), default=0.0) or 1.0
    rows = [_row(item, place, longest, digits) for place, item in enumerate(items)]
    height = len(items) * _ROW + 6
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"<title>{escape(title)}</title>{''.join(rows)}</svg>"
    )


def _row(item: Bar, place: int, longest: float, digits: int) -> str:
    top = place * _ROW + 6
    middle = top + _BAR / 2

    def at(value: float) -> float:
        return round(_LABEL + max(value, 0.0) / longest * _SPACE, 1)

    kind = "bar strong" if item.strong else "bar"
    shown = f"{item.value:.{digits}f}"
    whisker = ""
    if item.low is not None and item.high is not None:
        low, high = at(item.low), at(item.high)
        whisker = (
            f'<path class="whisker" d="M{low} {middle}H{high}M{low} {middle - 4}v8'
            f'M{high} {middle - 4}v8"/>'
        )
        shown += f" ({item.low:.{digits}f}–{item.high:.{digits}f})"
    text = escape(f"{item.label}: {shown}{', ' + item.note if item.note else ''}")
    return (
        f"<g><title>{text}</title>"
        f'<text class="label" x="{_LABEL - 10}" y="{middle + 4}">{escape(item.label)}</text>'
        f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{at(item.value) - _LABEL:.1f}" '
        f'height="{_BAR}" rx="2"/>{whisker}'
        f'<text class="value" x="{WIDTH - _VALUE + 10}" y="{middle + 4}">{shown}</text></g>'
    )
