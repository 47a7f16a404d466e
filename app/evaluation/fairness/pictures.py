"""What `evaluate --fairness` shows to people: lines for a terminal, and figures for the report.

It reads the part `fairness` of a result and computes no measure.
"""

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final, TypeAlias

from app.evaluation.fairness.curve_chart import Curve, curve_chart
from app.evaluation.report_page import Bar, bar_chart

Document: TypeAlias = Mapping[str, Any]

Figure: TypeAlias = tuple[str, str, str]
"""(title, text, chart as SVG)."""

_LOST: Final = "NDCG@10 lost"


def fairness_lines(fairness: Document) -> list[str]:
    """Return the lines for a terminal; [] where nothing was measured."""
    if not fairness:
        return []
    lines = [
        f"fairness: Gini {fairness['gini@10']:.3f}, "
        f"{fairness['coverage@10']:.1%} of the catalogue shown",
        f"{'items by':<34}{'shown':>10}{'taken':>10}{'shown / taken':>26}",
    ]
    for by, rows in fairness["items"].items():
        lines += [
            f"{by + ': ' + row['group']:<34}{_percent(row['exposure']):>10}"
            f"{_percent(row['relevance']):>10}{_cell(row['ratio']):>26}"
            for row in rows
        ]
    lines.append(f"{'users by':<34}{'users':>10}{'NDCG@10':>26}{'popularity lift':>26}")
    lines += [
        f"{row['by'] + ': ' + row['group']:<34}{row['n_users']:>10}{_cell(row['ndcg@10']):>26}"
        f"{_cell(row['popularity_lift@10']):>26}"
        for row in fairness["users"]
    ]
    trade_off = fairness["trade_off"]
    heads = ("Gini", "coverage", "diversity", "tail", "floor's")
    lines.append(f"{'what it costs':<34}{_LOST:>26}" + "".join(f"{head:>10}" for head in heads))
    lines += [
        f"{row['field'] + ' ' + format(row['value'], 'g'):<34}{_cell(row['lost'], 3):>26}"
        f"{row['gini@10']:>10.3f}{row['coverage@10']:>10.1%}{row['diversity@10']:>10.3f}"
        f"{row['tail_share']:>10.1%}{_percent(row.get('floor_share')):>10}"
        for row in trade_off["settings"]
    ]
    return lines


def fairness_figures(fairness: Document) -> Iterator[Figure]:
    """Yield the figures for a report; none where nothing was measured."""
    if not fairness:
        return
    for by, rows in fairness["items"].items():
        yield _item_figure(by, rows)
    yield from _user_figures(fairness["users"])
    yield from trade_off_figures(fairness["trade_off"])


def _item_figure(by: str, rows: list[Document]) -> Figure:
    title = f"What is shown as often as it is taken, by {by}"
    bars = [
        Bar(
            row["group"],
            row["ratio"]["value"],
            low=row["ratio"]["low"],
            high=row["ratio"]["high"],
            strong=row["ratio"]["high"] is not None and row["ratio"]["high"] < 1.0,
            note=f"{_percent(row['exposure'])} of the places, {_percent(row['relevance'])} taken",
        )
        for row in rows
        if row["ratio"]["value"] is not None
    ]
    text = (
        "Share of the places divided by the share of what users took: 1 = as often as taken. "
        "Strong: shown too rarely, beyond chance."
    )
    if by == "popularity":
        text += " Head, middle and tail: items that together were taken a third of all times each."
    return title, text, bar_chart(bars, title, digits=2)


def _user_figures(rows: list[Document]) -> Iterator[Figure]:
    for name, title, text in (
        ("ndcg@10", "How well different users are served", "NDCG@10 of each group of users."),
        (
            "popularity_lift@10",
            "How much more popular the lists are than what users took",
            "In multiples of the popularity of the group's own histories (1 = equal).",
        ),
    ):
        above = 1.0 if name.startswith("popularity") else 0.0
        bars = [
            Bar(
                f"{row['by']}: {row['group']}",
                row[name]["value"] + above,
                low=None if row[name]["low"] is None else row[name]["low"] + above,
                high=None if row[name]["high"] is None else row[name]["high"] + above,
                note=f"{row['n_users']} users",
            )
            for row in rows
            if row[name]["value"] is not None
        ]
        if bars:
            yield title, text, bar_chart(bars, title)


def trade_off_figures(trade_off: Document) -> Iterator[Figure]:
    """Yield the curves of what each request field costs and brings."""
    views = [
        ("coverage@10", "Share of the catalogue shown", "Of all items, in somebody's first ten."),
        ("diversity@10", "Diversity within lists", "100 % = the items have nothing in common."),
        ("gini@10", "Gini of exposure", "0 = all items equally; lower is more equal."),
    ]
    floor = trade_off["floor"]
    if floor is not None:
        where = f"{floor['field']} {floor['group']}"
        views.append(("floor_share", f"Places of {where}", "Share of the places of its items."))
    for name, y_name, text in views:
        curves = curves_of(trade_off, name)
        if curves:
            title = f"What it costs: {y_name.lower()} by {_LOST}"
            yield title, f"{text} {_about(trade_off)}", curve_chart(curves, title, _LOST, y_name)


def curves_of(trade_off: Document, name: str) -> list[Curve]:
    """Return a curve for each request field, from the plain lists on; a dearer value stands behind.

    Settings without a figure are left out.
    """
    plain, *rows = trade_off["settings"]
    start = (0.0, plain[name], "")
    curves = []
    for field in dict.fromkeys(row["field"] for row in rows):
        points = [
            (row["lost"]["value"], row[name], format(row["value"], "g"))
            for row in rows
            if row["field"] == field and row["lost"]["value"] is not None
        ]
        if points and field == "popularity_bias":
            # One line through the plain lists, from -1 to 1.
            below = [point for point in points if point[2].startswith("-")]
            points = [*below, start, *points[len(below) :]]
        elif points:
            points = [start, *points]
        if points:
            curves.append(Curve(field, tuple(points)))
    return curves


def _about(trade_off: Document) -> str:
    said = [
        f"{field} {'—' if value is None else format(value, 'g')}"
        for field, value in trade_off["chosen"].items()
    ]
    return (
        f"{trade_off['n_users']} users; the other {trade_off['n_choosing']} chose, for a loss of "
        f"at most {trade_off['most_lost']:.0%}: {', '.join(said)}."
    )


def fairness_table(fairness: Document) -> str:
    """Return the settings of the trade-off as an HTML table; "" where nothing was measured."""
    if not fairness:
        return ""
    rows = "".join(
        f"<tr><th>{escape(row['field'])} {row['value']:g}</th><td>{_cell(row['ndcg@10'])}</td>"
        f"<td>{_cell(row['lost'], 3)}</td><td>{row['gini@10']:.3f}</td>"
        f"<td>{row['coverage@10']:.1%}</td><td>{row['diversity@10']:.3f}</td>"
        f"<td>{row['tail_share']:.1%}</td><td>{_percent(row.get('floor_share'))}</td></tr>"
        for row in fairness["trade_off"]["settings"]
    )
    heads = ("", "NDCG@10", "lost", "Gini", "coverage", "diversity", "tail", "floor's group")
    head = "".join(f"<th>{name}</th>" for name in heads)
    return (
        "<section><h2>What each setting costs and brings</h2>"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>'
        "</div></section>"
    )


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.1%}"


def _cell(estimate: Document, digits: int = 4) -> str:
    if estimate["value"] is None:
        return "–"
    value, low, high = (estimate[name] for name in ("value", "low", "high"))
    if low is None or high is None:  # of so few users that some samples have none of them
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"
