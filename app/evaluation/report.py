"""The result of an evaluation for people: a few lines for a terminal, a page for a product manager.

The page is one file without external assets. This module reads the document of `run`; it computes
no metric.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from string import Template
from typing import Any, TypeAlias

# Horizontal bars with intervals, as inline SVG. Knows numbers and labels, not what they mean.

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


# The page of a report, with `$`-places for what `report` puts in.

PAGE = """<!doctype html>
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
<p>$protocol All models are measured by the same code on the same queries, against every item of
the catalogue unless the query names candidates; equal scores count half. recserve is measured
as it serves: a bundle built by <code>recserve build</code>, asked through its engine.</p>
$figures
<section><h2>All figures</h2><p>Value, with 95 % interval over users or queries where there is one.
Recall and NDCG: higher is better. Gini: 0 = all items shown equally. Novelty: bits; higher = less
expected. Diversity: 1 = the items of a list have nothing in common.</p>
<div class="wide">$table</div></section>
$missing
<section><h2>Facts</h2><dl>$facts</dl></section>
</body>
</html>
"""


Document: TypeAlias = Mapping[str, Any]

OURS = "recserve"
_WORDS = {
    "strict": "Models learned from all but the last two items of each user; asked for the last.",
    "all-but-last": "Models learned from all but each user's last item, and were asked for it.",
    "time-split": "Models learned from the past, and were asked for what users took next.",
    "graded": "People graded products for each query (4 = matches, 1 = does not). Models never saw "
    "the grades of the queries they were asked.",
    "mind": "Models ranked the ten articles of a page by what the reader had read before.",
}


def lines(document: Document) -> list[str]:
    """Return the result as lines for a terminal: the headline, then a row per model."""
    names = [name for name in ("recall@10", "ndcg@10", "mrr") if name in document["metrics"]]
    if "retrieval_ndcg@10" in document["metrics"]:
        names = ["ndcg@10", "retrieval_ndcg@10"]
    found = [headline(document), f"{'':<24}" + "".join(f"{name:>24}" for name in names)]
    for shown, model in _models(document):
        cells = [_cell(model["metrics"][name]) for name in names]
        found.append(f"{shown:<24}" + "".join(f"{cell:>24}" for cell in cells))
    gone = [b for b in document["baselines"].values() if "unavailable" in b]
    found += [f"{b['shown']:<24}  not run: {b['unavailable']}" for b in gone]
    timing = document["timings"]["rank_ms_per_request"]
    found.append(f"{document['seconds']:.0f} s in all, {timing:.2f} ms a request in the engine")
    return found


def headline(document: Document) -> str:
    """Return the one sentence that matters, and how sure it is.

    >>> headline({"protocol": "strict", "baselines": {}, "n_users": 50, "metrics": {"recall@10":
    ...     {"value": 0.125, "low": 0.1, "high": 0.15}, "ndcg@10": {"value": 0.1, "low": 0.1,
    ...     "high": 0.1}}})
    'For 12.5 of 100 users (10.0–15.0), what they took next is among the first ten of recserve.'
    """
    metrics, protocol = document["metrics"], document["protocol"]
    if protocol in ("graded", "mind"):
        value, low, high = _three(metrics["ndcg@10"])
        what = "products by query" if protocol == "graded" else "the articles of a page"
        sure = f"{value:.0%} ({low:.0%}–{high:.0%})"
        sentence = f"Ordering {what}, recserve reaches {sure} of a perfect order."
    else:
        value, low, high = _three(metrics["recall@10"])
        sentence = (
            f"For {value * 100:.1f} of 100 users ({low * 100:.1f}–{high * 100:.1f}), "
            "what they took next is among the first ten of recserve."
        )
    return sentence + _compared(document)


def _compared(document: Document) -> str:
    """Say how it stands to the best baseline by NDCG@10, or that they cannot be told apart."""
    others = [(_value(m, "ndcg@10") or 0.0, shown, m) for shown, m in _models(document)[1:]]
    best, shown, model = max(others, key=lambda other: other[0], default=(0.0, "", document))
    if not best:
        return ""
    ours, theirs = document["metrics"]["ndcg@10"], model["metrics"]["ndcg@10"]
    ratio = ours["value"] / best
    if ours["low"] > theirs["high"]:
        return f" Its order is {ratio:.2f} times as good as that of the best baseline, {shown}."
    if ours["high"] < theirs["low"]:
        return f" It is worse than the best baseline, {shown}: {ratio:.2f} times its NDCG@10."
    return f" It cannot be told apart from the best baseline, {shown} ({ratio:.2f} times)."


def render(document: Document) -> str:
    """Return the page."""
    command = str(document.get("command", "recserve evaluate"))
    figures = [figure for figure in (*_accuracy(document), *_behind(document)) if figure]
    shown = [
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{body}"
        f"<pre>{escape(command)}</pre></section>"
        for title, text, body in figures
    ]
    facts = {
        "users": f"{document['n_users']:,}",
        "items": f"{document['n_items']:,}",
        "training events": f"{document['n_training_events']:,}",
        "seed": document["seed"],
        "seconds": f"{document['seconds']:.0f}",
        "in the engine": f"{document['timings']['rank_ms_per_request']:.2f} ms a request",
        "bundle": f"{document['bundle']['name']}/{document['bundle']['generation']}",
        "recserve": document["recserve"],
        **{name.replace("_", " "): f"{count:,}" for name, count in document["notes"].items()},
    }
    return Template(PAGE).substitute(
        title=escape(f"{document['dataset']}, {document['protocol']}"),
        headline=escape(headline(document)),
        protocol=escape(_WORDS[document["protocol"]]),
        figures="".join(shown),
        table=_full_table(document),
        missing=_missing(document),
        facts="".join(f"<dt>{escape(k)}</dt><dd>{escape(str(v))}</dd>" for k, v in facts.items()),
    )


Figure: TypeAlias = tuple[str, str, str]


def _accuracy(document: Document) -> list[Figure]:
    order = ("ndcg@10", "How good the order of judged products is", "1 = a perfect first ten.")
    search = ("retrieval_ndcg@10", "How good a search of all products is", "Unjudged counts 0.")
    hit = ("recall@10", "How often the right item is among the first ten", "Share of users.")
    high = ("ndcg@10", "How high the right item stands there", "1 = always first (NDCG@10).")
    wanted = (order, search) if document["protocol"] == "graded" else (hit, high)
    sure = "Whiskers: 95 % of the time the true value is between them."
    found = []
    for name, title, text in wanted:
        if name in document["metrics"]:
            models = sorted(_models(document), key=lambda pair: -(_value(pair[1], name) or 0.0))
            items = [_bar(shown, model["metrics"][name]) for shown, model in models]
            found.append((title, f"{text} {sure}", bars(items, title)))
    return found


def _behind(document: Document) -> Iterable[Figure]:
    yield from _history(document)
    yield from _sources(document)
    yield from _lists(document)


def _history(document: Document) -> Iterable[Figure]:
    buckets = document["by_history"]
    if len(buckets) > 1:
        title = "How it depends on how well a user is known"
        items = [
            Bar(
                f"{bucket['history']} items known",
                *_three(bucket["metrics"]["ndcg@10"]),
                strong=True,
                note=f"{bucket['n_users']} users",
            )
            for bucket in buckets
        ]
        counts = ", ".join(f"{b['history']}: {b['n_users']:,} users" for b in buckets)
        yield title, f"NDCG@10 by length of the history ({counts}).", bars(items, title)


def _sources(document: Document) -> Iterable[Figure]:
    sources = document["sources"]
    hits = {name: part["hits"] for name, part in sources.items() if part.get("hits") is not None}
    if hits:
        title = "Where the right items come from"
        items = [Bar(name, share, strong=True) for name, share in _falling(hits)]
        text = "Share of the found items that each source brought; several may bring the same one."
        yield title, text, bars(items, title, 2)
    recall = {name: part["recall"] for name, part in sources.items() if "recall" in part}
    if recall:
        together = document["candidates"]
        title = "What the sources could bring"
        items = [Bar("all together", together["recall"], strong=True)]
        items += [Bar(name, share) for name, share in _falling(recall)]
        text = (
            f"Share of {together['n_users']:,} users whose next item was among all candidates "
            f"({together['mean']:.0f} a request): no order can do better than this."
        )
        yield title, text, bars(items, title)


def _lists(document: Document) -> Iterable[Figure]:
    if document["exposure"]:
        title = "How much of the catalogue is ever shown"
        models = [(shown, m["exposure"]["coverage@10"]) for shown, m in _models(document)]
        items = [Bar(shown, value, strong=shown == OURS) for shown, value in models]
        yield title, "Share of all items that stand in somebody's first ten.", bars(items, title, 2)
    name = "popularity_lift@10"
    if name in document["metrics"]:
        title = "How much it leans on what is popular"
        items = [
            Bar(shown, 1.0 + (_value(model, name) or 0.0), strong=shown == OURS)
            for shown, model in _models(document)
        ]
        text = (
            "Popularity of what is shown, in multiples of what users took themselves (1 = equal)."
        )
        yield title, text, bars(items, title, 2)


def _models(document: Document) -> list[tuple[str, Document]]:
    """Return (name, its part of the document): ours, then the baselines that ran."""
    ran = [b for b in document["baselines"].values() if "unavailable" not in b]
    return [(OURS, document), *((str(b["shown"]), b) for b in ran)]


def _full_table(document: Document) -> str:
    names = list(document["metrics"])
    models = _models(document)
    head = "".join(f"<th>{escape(shown)}</th>" for shown, _ in models)
    rows = [
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{_cell(model['metrics'].get(name))}</td>" for _, model in models)
        + "</tr>"
        for name in names
    ]
    rows += [
        f"<tr><th>{escape(name)}</th>"
        + "".join(f"<td>{model['exposure'][name]:.3f}</td>" for _, model in models)
        + "</tr>"
        for name in document["exposure"]
    ]
    return f"<table><thead><tr><th></th>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table>"


def _missing(document: Document) -> str:
    gone = [b for b in document["baselines"].values() if "unavailable" in b]
    rows = "".join(f"<li>{escape(b['shown'])}: {escape(b['unavailable'])}</li>" for b in gone)
    return f"<h2>Not run</h2><ul>{rows}</ul>" if gone else ""


def _falling(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])


def _bar(shown: str, estimate: Document) -> Bar:
    return Bar(shown, *_three(estimate), strong=shown == OURS)


def _three(estimate: Document) -> tuple[float, float, float]:
    return tuple(float(estimate[name] or 0.0) for name in ("value", "low", "high"))  # type: ignore[return-value]


def _value(model: Document, name: str) -> float | None:
    estimate = model["metrics"].get(name)
    return None if estimate is None else estimate["value"]


def _cell(estimate: Document | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    return f"{estimate['value']:.4f} ({estimate['low']:.4f}–{estimate['high']:.4f})"
