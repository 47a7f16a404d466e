"""Writes a result of `loadtest.scenarios.bench` into docs/benchmarks.md and draws its pictures.

    python -m loadtest.reports.bench [RESULT.json]

Without an argument it takes the newest result. `--check` writes nothing: it exits with 1 if the
page or a picture differs from what would be written, so that nobody types figures by hand.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from loadtest.reports import pictures
from loadtest.reports.page import PAGE, ROOT, ROWS, Document, cell, measured_on, notes, put

RESULTS = ROOT / "loadtest" / "results"

#: Peer -> heading
PEERS = {
    "naive": "Beside a tutorial's service",
    "infinity": "Beside an embedding server, which only encodes",
    "bare": "Cached answers beside a bare FastAPI route with constant bytes",
}
OPEN_ROWS = {
    "uncached_loop_lag_p99_ms": ("the peak above: event-loop lag, p99 at most", ",.1f", "ms"),
    "over_goodput_per_s": ("3 × peak: answers within the deadline", ",.0f", "/s"),
    "over_undegraded_per_s": ("… of them not degraded", ",.0f", "/s"),
    "over_p99_ms": ("… p99 of accepted, not degraded", ",.0f", "ms"),
    "over_degraded_p99_ms": ("… p99 of accepted, degraded", ",.0f", "ms"),
    "over_refused_per_s": ("… refused (429)", ",.0f", "/s"),
    "over_refused_p99_ms": ("… p99 of refused", ",.0f", "ms"),
    "over_retry_after_ms": ("… `retry_after_ms`, median", ",.0f", "ms"),
    "over_timed_out": ("… out of time (504)", ",.0f", "requests"),
    "over_loop_lag_p99_ms": ("… event-loop lag, p99 at most", ",.1f", "ms"),
    "half_p50_ms": ("50 % of peak: p50", ".2f", "ms"),
    "half_p99_ms": ("… p99", ".2f", "ms"),
    "pass_p50_ms": ("model work of one unique query, idle, p50", ".2f", "ms"),
}
DEMAND_ROWS = {
    "uncached_per_s": ("unique queries, {connections} connections", ",.0f", "/s"),
    "demands_per_s": ("… a third of them with demands", ",.0f", "/s"),
    "demands_p50_ms": ("… p50", ".1f", "ms"),
    "demands_p99_ms": ("… p99", ".1f", "ms"),
}
OWN = {
    "over_goodput": ("goodput at 3 × peak ÷ peak", ".2f"),
    "over_undegraded": ("… not degraded", ".2f"),
    "half_p99_to_p50": ("p99 ÷ p50 at 50 % of peak", ".1f"),
    "idle_to_pass": ("p50 of one query at a time ÷ its model work", ".2f"),
}


def tables(document: Document) -> str:
    """Return all figures as Markdown: medians with the lowest and highest round."""
    parts = [_peer(document, peer, heading) for peer, heading in PEERS.items()]
    if "demands" in document["ratio"]["own"]:
        parts.append(_demands(document))
    return "\n\n".join([*parts, _open_loop(document)])


def _peer(document: Document, peer: str, heading: str) -> str:
    lines = [
        f"### {heading}",
        "",
        f"| | recserve | {peer} | times better |",
        "|---|---:|---:|---:|",
    ]
    for name, (label, form, unit) in ROWS.items():
        if name not in document["ratio"][peer]:
            continue
        text = label.format(connections=document["options"]["connections"])
        cells = [cell(document[side], name, form, unit) for side in ("recserve", peer)]
        lines.append(f"| {text} | {' | '.join(cells)} | {document['ratio'][peer][name]:.2f} |")
    return "\n".join(lines)


def _demands(document: Document) -> str:
    lines = ["### Queries that say more than words", "", "| | recserve |", "|---|---:|"]
    for name, (label, form, unit) in DEMAND_ROWS.items():
        text = label.format(connections=document["options"]["connections"])
        lines.append(f"| {text} | {cell(document['recserve'], name, form, unit)} |")
    share = document["ratio"]["own"]["demands"]
    return "\n".join([*lines, f"| **rate with demands ÷ rate without** | **{share:.2f}** |"])


def _open_loop(document: Document) -> str:
    ours = document["recserve"]
    lines = ["### Open loop, overload and idle", "", "| | recserve |", "|---|---:|"]
    lines += [
        f"| {label} | {cell(ours, name, form, unit)} |"
        for name, (label, form, unit) in OPEN_ROWS.items()
        if name in ours["median"]
    ]
    own = document["ratio"]["own"]
    lines += [f"| **{label}** | **{own[name]:{form}}** |" for name, (label, form) in OWN.items()]
    return "\n".join(lines)


def _trials(peer: Document) -> str:
    return "; ".join(
        f"{_setting(trial)}: {trial['uncached_per_s']:.0f}/s, p99 {trial['uncached_p99_ms']:.0f} ms"
        for trial in peer["settings"]["trials"]
    )


def _setting(trial: Document) -> str:
    words = [f"`{trial['endpoint']}`"] if "endpoint" in trial else []
    words += ["compiled"] if trial.get("compile") else []
    return " ".join([*words, f"OMP_NUM_THREADS={trial['omp_num_threads']}"])


def section(document: Document) -> str:
    """Return pictures and tables, the machine, and the settings of the peers."""
    options = document["options"]
    encoded, bare = document["recserve"]["encoded"], document["bare"]["median"]
    texts, sent, answered = (
        sum(check[name] for check in encoded) for name in ("encoded", "sent", "answered")
    )
    packages = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    below = notes(
        f"Median (lowest–highest) of {options['rounds']} rounds of {options['seconds']} s, "
        f"{measured_on(document)}. The load generator runs on the same cores.",
        *(
            f"{name} runs at its best setting, {_setting(document[name]['settings'])}. "
            f"Tried: {_trials(document[name])}."
            for name in ("naive", "infinity")
        ),
        f"Unique queries of recserve under `wrk`: {sent:,} sent, {texts:,} encoded, "
        f"{answered:,} answered.",
        f"The constant-rate runner, against the bare route at the rate of 3 × peak: "
        f"{bare['runner_share']:.1%} answered in time, p99 {bare['runner_p99_ms']:.1f} ms, sent at "
        f"most {bare['runner_late_p99_ms']:.1f} ms late (p99).",
        f"Packages: {packages}.",
    )
    return f"""![Answers a second of recserve and its peers](pictures/rates.svg)

![What became of requests offered at three times the peak](pictures/overload.svg)

{tables(document)}

{below}"""


def page(text: str, document: Document) -> str:
    """Return `text` with a new section of the bench.

    Raises:
        ValueError: the text has no such section.
    """
    return put(text, "bench", section(document))


def newest() -> Path:
    """Return the newest result, by the date inside the document."""
    results = sorted(
        RESULTS.glob("20*.json"), key=lambda path: json.loads(path.read_text())["date"]
    )
    if not results:
        raise SystemExit("no result in loadtest/results/: run `make bench` first")
    return results[-1]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page and its pictures, or with `--check` compare them."""
    parser = argparse.ArgumentParser("python -m loadtest.reports.bench", description=__doc__)
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args(argv)
    old = PAGE.read_text(encoding="utf-8")
    document = json.loads((options.result or newest()).read_text())
    new, drawn = page(old, document), pictures.bench(document)
    if options.check:
        stale = [*([PAGE.name] if new != old else []), *pictures.stale(drawn)]
        print(f"not what it would write: {', '.join(stale)}" if stale else "up to date")
        return 1 if stale else 0
    PAGE.write_text(new, encoding="utf-8")
    pictures.write(drawn)
    return 0


if __name__ == "__main__":
    sys.exit(main())
