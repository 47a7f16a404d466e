"""The parts of an HTML report that do not depend on what is measured: bar charts and the page.

A chart is inline SVG, so a report is one file without external assets. This module knows numbers
and labels, not what they mean.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from string import Template

WIDTH = 760
_LABEL, _VALUE, _ROW, _BAR = 210, 150, 30, 16
_SPACE = WIDTH - _LABEL - _VALUE


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a chart.

    Attributes:
        label: what it is a bar of.
        value: its length.
        low, high: ends of the interval; a whisker where both are known.
        strong: drawn in the strong colour.
        note: added to the tooltip.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    strong: bool = False
    note: str = ""


def bar_chart(items: Sequence[Bar], title: str, digits: int = 3) -> str:
    """Return an `<svg>` of horizontal bars, all on one scale from 0.

    Args:
        items: the bars, from top to bottom.
        title: what a screen reader says.
        digits: decimals of the values.
    """
    longest = max((max(item.value, item.high or 0.0) for item in items), default=0.0) or 1.0
    rows = [
        _row(item=item, number=number, longest=longest, digits=digits)
        for number, item in enumerate(items)
    ]
    height = len(items) * _ROW + 6
    return (
        f'<svg role="img" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}">'
        f"<title>{escape(title)}</title>{''.join(rows)}</svg>"
    )


def _row(item: Bar, number: int, longest: float, digits: int) -> str:
    """Return the label, bar, whisker and value of one row."""
    top = number * _ROW + 6
    middle = top + _BAR / 2

    def x_of(value: float) -> float:
        return round(_LABEL + max(value, 0.0) / longest * _SPACE, 1)

    kind = "bar strong" if item.strong else "bar"
    shown = f"{item.value:.{digits}f}"
    whisker = ""
    if item.low is not None and item.high is not None:
        low, high = x_of(item.low), x_of(item.high)
        whisker = (
            f'<path class="whisker" d="M{low} {middle}H{high}M{low} {middle - 4}v8'
            f'M{high} {middle - 4}v8"/>'
        )
        shown += f" ({item.low:.{digits}f}–{item.high:.{digits}f})"
    text = escape(f"{item.label}: {shown}{', ' + item.note if item.note else ''}")
    return (
        f"<g><title>{text}</title>"
        f'<text class="label" x="{_LABEL - 10}" y="{middle + 4}">{escape(item.label)}</text>'
        f'<rect class="{kind}" x="{_LABEL}" y="{top}" width="{x_of(item.value) - _LABEL:.1f}" '
        f'height="{_BAR}" rx="2"/>{whisker}'
        f'<text class="value" x="{WIDTH - _VALUE + 10}" y="{middle + 4}">{shown}</text></g>'
    )


PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>recserve: $title</title>
<style>
:root { color-scheme: light dark; --ink: #1d232b; --soft: #5c6773; --paper: #fff; --line: #dfe3e8;
        --bar: #a9b6c6; --strong: #1f6feb; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e9ed; --soft: #9aa5b1; --paper: #14181d; --line: #2d343c; --bar: #55616f;
          --strong: #58a0ff; } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.1rem; color: var(--soft); font-weight: 600; margin: 0; }
.headline { font-size: 1.6rem; line-height: 1.3; margin: .3rem 0 1rem; }
h2 { font-size: 1.1rem; margin: 2.2rem 0 .2rem; }
p { margin: .2rem 0 .8rem; color: var(--soft); }
svg { max-width: 100%; height: auto; font: 13px system-ui, sans-serif; }
svg .label { text-anchor: end; fill: var(--ink); } svg .value { fill: var(--soft); }
svg .bar { fill: var(--bar); } svg .strong { fill: var(--strong); }
svg .whisker { stroke: var(--ink); stroke-width: 1.5; fill: none; }
svg .axis { stroke: var(--line); fill: none; } svg .tick { fill: var(--soft); }
svg .note { fill: var(--ink); } svg .curve { fill: none; stroke-width: 2; }
svg path.first { stroke: #1f6feb; } svg circle.first { fill: #1f6feb; }
svg path.second { stroke: #c2572b; } svg circle.second { fill: #c2572b; }
svg path.third { stroke: #2da44e; } svg circle.third { fill: #2da44e; }
pre { font-size: .75rem; color: var(--soft); white-space: pre-wrap; overflow-wrap: anywhere;
      border-left: 3px solid var(--line); padding-left: .6rem; margin: .4rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .8rem; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid var(--line); text-align: right;
         white-space: nowrap; } tbody th { text-align: left; font-weight: 500; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; font-size: .85rem; }
dt { color: var(--soft); } dd { margin: 0; }
</style>
</head>
<body>
<h1>$title</h1>
<p class="headline" style="color: var(--ink)">$headline</p>
<p>$protocol All models are measured by the same code on the same questions, against every item of
the catalogue unless the question names candidates; equal scores count half. recserve is measured
as it serves: a bundle built by <code>recserve build</code>, asked through its engine.</p>
$figures
<section><h2>All figures</h2><p>Value, with 95 % interval over users or queries where there is one.
Recall and NDCG: higher is better. Gini: 0 = all items shown equally. Novelty: bits; higher = less
expected. Diversity: 1 = the items of a list have nothing in common.</p>
<div class="wide">$table</div></section>
$fairness
$missing
<section><h2>Facts</h2><dl>$facts</dl></section>
</body>
</html>
""")
"""The page, with `$` placeholders that `report.render` fills."""
