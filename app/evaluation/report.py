"""The result of an evaluation for people: lines for a terminal, and a report as one HTML file.

It reads the document that `evaluate` returns and computes no metric. Charts and the frame of the
page are in `report_page`.
"""

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any, TypeAlias

from app.evaluation.fairness.pictures import fairness_figures, fairness_lines, fairness_table
from app.evaluation.report_page import PAGE, Bar, bar_chart

Document: TypeAlias = Mapping[str, Any]

OURS = "recserve"
_PROTOCOLS = {
    "strict": "Models learned from all but the last two items of each user; asked for the last.",
    "all-but-last": "Models learned from all but each user's last item, and were asked for it.",
    "time-split": "Models learned from the past, and were asked for what users took next.",
    "search": "Models learned from all but each user's last item, and were asked for it by what "
    "the user had taken before and by words: the user's own, or one or two of its title.",
    "newcomers": "Models learned from some users, and were asked what others took first: without "
    "anything, and by who they are and where.",
    "graded": "People graded products for each query (4 = matches, 1 = does not). Models never saw "
    "the grades of the queries they were asked.",
    "mind": "Models ranked the ten articles of a page by what the reader had read before.",
}


def summary_lines(document: Document) -> list[str]:
    """Return the result as lines for a terminal: the headline, then a row for each model."""
    names = [name for name in ("recall@10", "ndcg@10", "mrr") if name in document["metrics"]]
    if "retrieval_ndcg@10" in document["metrics"]:
        names = ["ndcg@10", "retrieval_ndcg@10"]
    lines = [headline(document), f"{'':<24}" + "".join(f"{name:>24}" for name in names)]
    for label, model in _models(document):
        cells = [_cell(model["metrics"][name]) for name in names]
        lines.append(f"{label:<24}" + "".join(f"{cell:>24}" for cell in cells))
    lines += [
        f"{label:<24}" + "".join(f"{_cell(part.get(name)):>24}" for name in names)
        for label, part in (*search_rows(document), *document.get("graded", {}).items())
    ]
    lines += _names_line(document)
    if same := document.get("same_features"):
        lines.append(
            f"serving and training compute the same features: {same['pairs']:,} pairs, apart by at "
            f"most {same['feature_difference']:.4f} standard deviations"
        )
    lines += fairness_lines(document.get("fairness", {}))
    lines += [f"{b['shown']:<24}  not run: {b['unavailable']}" for b in _not_run(document)]
    timing = document["timings"]["rank_ms_per_request"]
    lines.append(f"{document['seconds']:.0f} s in all, {timing:.2f} ms a request in the engine")
    return lines


def headline(document: Document) -> str:
    """Return the main result as one sentence with its interval, and how baselines compare.

    >>> headline({"protocol": "strict", "baselines": {}, "n_users": 50, "metrics": {"recall@10":
    ...     {"value": 0.125, "low": 0.1, "high": 0.15}, "ndcg@10": {"value": 0.1, "low": 0.1,
    ...     "high": 0.1}}})
    'For 12.5 of 100 users (10.0–15.0), what they took next is among the first ten of recserve.'
    """
    metrics, protocol = document["metrics"], document["protocol"]
    if protocol in ("graded", "mind"):
        value, low, high = _three(metrics["ndcg@10"])
        what = "products by query" if protocol == "graded" else "the articles of a page"
        share = f"{value:.0%} ({low:.0%}–{high:.0%})"
        sentence = f"Ordering {what}, recserve reaches {share} of a perfect order."
    else:
        value, low, high = _three(metrics["recall@10"])
        whose = "searches" if protocol == "search" else "users"
        sentence = (
            f"For {value * 100:.1f} of 100 {whose} ({low * 100:.1f}–{high * 100:.1f}), "
            "what they took next is among the first ten of recserve."
        )
    return sentence + _comparison(document)


def _comparison(document: Document) -> str:
    """Return a sentence that compares recserve with the best baseline by NDCG@10, or ""."""
    others = [(_value(m, "ndcg@10") or 0.0, label, m) for label, m in _models(document)[1:]]
    best, label, model = max(others, key=lambda other: other[0], default=(0.0, "", document))
    if not best:
        return ""
    ours, theirs = document["metrics"]["ndcg@10"], model["metrics"]["ndcg@10"]
    ratio = ours["value"] / best
    if ours["low"] > theirs["high"]:
        return f" Its order is {ratio:.2f} times as good as that of the best baseline, {label}."
    if ours["high"] < theirs["low"]:
        return f" It is worse than the best baseline, {label}: {ratio:.2f} times its NDCG@10."
    return f" It cannot be told apart from the best baseline, {label} ({ratio:.2f} times)."


def render(document: Document) -> str:
    """Return the report as HTML."""
    command = str(document.get("command", "recserve evaluate"))
    figures = [
        f"<section><h2>{escape(title)}</h2><p>{escape(text)}</p>{chart}"
        f"<pre>{escape(command)}</pre></section>"
        for title, text, chart in _figures(document)
    ]
    facts = [
        f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>"
        for name, value in _facts(document).items()
    ]
    return PAGE.substitute(
        title=escape(f"{document['dataset']}, {document['protocol']}"),
        headline=escape(headline(document)),
        protocol=escape(_PROTOCOLS[document["protocol"]]),
        figures="".join(figures),
        table=_full_table(document),
        fairness=fairness_table(document.get("fairness", {})),
        missing=_missing(document),
        facts="".join(facts),
    )


def _facts(document: Document) -> dict[str, str]:
    return {
        "users": f"{document['n_users']:,}",
        "items": f"{document['n_items']:,}",
        "training events": f"{document['n_training_events']:,}",
        "seed": str(document["seed"]),
        "seconds": f"{document['seconds']:.0f}",
        "in the engine": f"{document['timings']['rank_ms_per_request']:.2f} ms a request",
        "bundle": f"{document['bundle']['name']}/{document['bundle']['generation']}",
        "recserve": document["recserve"],
        **{name.replace("_", " "): f"{count:,}" for name, count in document["notes"].items()},
    }


Figure: TypeAlias = tuple[str, str, str]
"""(title, text, chart as SVG)."""

_RANKING_FIGURES = (
    ("recall@10", "How often the right item is among the first ten", "Share of users."),
    ("ndcg@10", "How high the right item stands there", "1 = always first (NDCG@10)."),
)
_GRADED_FIGURES = (
    ("ndcg@10", "How good the order of judged products is", "1 = a perfect first ten."),
    ("retrieval_ndcg@10", "How good a search of all products is", "Unjudged counts 0."),
)


def _figures(document: Document) -> Iterable[Figure]:
    yield from _accuracy(document)
    yield from _search(document)
    yield from _history(document)
    yield from _sources(document)
    yield from _lists(document)
    yield from fairness_figures(document.get("fairness", {}))


def _accuracy(document: Document) -> Iterable[Figure]:
    figures = _GRADED_FIGURES if document["protocol"] == "graded" else _RANKING_FIGURES
    whiskers = "Whiskers: 95 % of the time the true value is between them."
    for name, title, text in figures:
        if name in document["metrics"]:
            models = sorted(_models(document), key=lambda pair: -(_value(pair[1], name) or 0.0))
            items = [_bar(label, model["metrics"][name]) for label, model in models]
            yield title, f"{text} {whiskers}", bar_chart(items, title)


def _history(document: Document) -> Iterable[Figure]:
    buckets = document["by_history"]
    if len(buckets) > 1:
        title = "How it depends on how well a user is known"
        items = [
            _bar(
                f"{bucket['history']} items known",
                bucket["metrics"]["ndcg@10"],
                strong=True,
                note=f"{bucket['n_users']} users",
            )
            for bucket in buckets
        ]
        counts = ", ".join(f"{b['history']}: {b['n_users']:,} users" for b in buckets)
        yield title, f"NDCG@10 by length of the history ({counts}).", bar_chart(items, title)


def search_rows(document: Document) -> list[tuple[str, Document]]:
    """Return (label, metrics) of all that the protocol `search` compares; nothing for others."""
    search = document.get("search")
    if search is None:
        return []
    blend = search.get("blend", {})
    return [
        *((f"{OURS}, {mode}", search[mode]) for mode in ("words", "history", "both")),
        *((f"fixed blend, {mode}", part) for mode, part in blend.items()),
        *search["rules"].items(),
    ]


def _search(document: Document) -> Iterable[Figure]:
    rows = search_rows(document)
    if rows:
        title = "By words, by history, and by both"
        items = [
            _bar(label, part["ndcg@10"], strong=label.startswith(OURS)) for label, part in rows
        ]
        text = (
            "NDCG@10 of the same searches. The rules rank the items that hold all words. "
            + " ".join(_names_line(document))
        )
        yield title, text.strip(), bar_chart(items, title)


def _names_line(document: Document) -> list[str]:
    names = document.get("search", {}).get("names", {})
    if not names.get("n"):
        return []
    share = names["share"]["value"]
    return [
        f"Asked for {names['n']} names out of the texts, {share:.1%} of the first ten items hold "
        "the name."
    ]


def _sources(document: Document) -> Iterable[Figure]:
    sources = document["sources"]
    hits = {name: part["hits"] for name, part in sources.items() if part.get("hits") is not None}
    if hits:
        title = "Where the right items come from"
        items = [Bar(name, share, strong=True) for name, share in _falling(hits)]
        text = "Share of the found items that each source brought; several may bring the same one."
        yield title, text, bar_chart(items, title, digits=2)
    recall = {name: part["recall"] for name, part in sources.items() if "recall" in part}
    if recall:
        pool = document["candidates"]
        title = "What the sources could bring"
        items = [Bar("all together", pool["recall"], strong=True)]
        items += [Bar(name, share) for name, share in _falling(recall)]
        text = (
            f"Share of {pool['n_users']:,} users whose next item was among all candidates "
            f"({pool['mean']:.0f} a request): no order can do better than this."
        )
        yield title, text, bar_chart(items, title)


def _lists(document: Document) -> Iterable[Figure]:
    if document["exposure"]:
        title = "How much of the catalogue is ever shown"
        items = [
            Bar(label, model["exposure"]["coverage@10"], strong=label == OURS)
            for label, model in _models(document)
        ]
        text = "Share of all items that stand in somebody's first ten."
        yield title, text, bar_chart(items, title, digits=2)
    name = "popularity_lift@10"
    if name in document["metrics"]:
        title = "How much it leans on what is popular"
        items = [
            Bar(label, 1.0 + (_value(model, name) or 0.0), strong=label == OURS)
            for label, model in _models(document)
        ]
        text = (
            "Popularity of what is shown, in multiples of what users took themselves (1 = equal)."
        )
        yield title, text, bar_chart(items, title, digits=2)


def _models(document: Document) -> list[tuple[str, Document]]:
    """Return (label, part of the document) of each model: ours, then the baselines that ran."""
    ran = [b for b in document["baselines"].values() if "unavailable" not in b]
    return [(OURS, document), *((str(b["shown"]), b) for b in ran)]


def _full_table(document: Document) -> str:
    names = list(document["metrics"])
    models = _models(document)
    head = "".join(f"<th>{escape(label)}</th>" for label, _ in models)
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
    rows = [
        f"<li>{escape(b['shown'])}: {escape(b['unavailable'])}</li>" for b in _not_run(document)
    ]
    return f"<h2>Not run</h2><ul>{''.join(rows)}</ul>" if rows else ""


def _not_run(document: Document) -> list[Document]:
    """Return the parts of the baselines that did not run; their `unavailable` says why."""
    return [b for b in document["baselines"].values() if "unavailable" in b]


def _falling(shares: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(shares.items(), key=lambda pair: -pair[1])


def _bar(label: str, estimate: Document, *, strong: bool = False, note: str = "") -> Bar:
    value, low, high = _three(estimate)
    return Bar(label, value, low=low, high=high, strong=strong or label == OURS, note=note)


def _three(estimate: Document) -> tuple[float, float, float]:
    """Return value, low and high; 0 where there is none."""
    return (
        float(estimate["value"] or 0.0),
        float(estimate["low"] or 0.0),
        float(estimate["high"] or 0.0),
    )


def _value(model: Document, name: str) -> float | None:
    estimate = model["metrics"].get(name)
    return None if estimate is None else estimate["value"]


def _cell(estimate: Document | None) -> str:
    if estimate is None or estimate["value"] is None:
        return "–"
    return f"{estimate['value']:.4f} ({estimate['low']:.4f}–{estimate['high']:.4f})"
