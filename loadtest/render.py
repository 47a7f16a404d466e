"""Put the figures of a result into docs/benchmarks.md: `python -m loadtest.render [RESULT.json]`.

Without an argument the newest result is taken. Nobody types figures by hand; `--check` fails if the
page differs from what it would write.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "loadtest" / "results"
PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- bench:begin -->", "<!-- bench:end -->"

#: Figure -> (what it is called, format, unit)
ROWS = {
    "uncached_per_s": ("unique queries, {connections} connections", ".0f", "/s"),
    "uncached_p50_ms": ("… p50", ".1f", "ms"),
    "uncached_p99_ms": ("… p99", ".1f", "ms"),
    "hot_per_s": ("the same query, {connections} connections", ".0f", "/s"),
    "hot_p50_ms": ("… p50", ".2f", "ms"),
    "hot_p99_ms": ("… p99", ".2f", "ms"),
    "idle_p50_ms": ("one unique query at a time, p50", ".2f", "ms"),
    "idle_p99_ms": ("… p99", ".2f", "ms"),
    "rss_mib": ("memory after load", ".0f", "MiB"),
    "start_s": ("start until ready", ".2f", "s"),
}

Document = Mapping[str, Any]


def table(document: Document) -> str:
    """Return the figures as a Markdown table: medians with the lowest and highest round."""
    lines = ["| | recserve | naive | times better |", "|---|---:|---:|---:|"]
    for name, (label, form, unit) in ROWS.items():
        text = label.format(connections=document["options"]["connections"])
        cells = [_cell(document[side], name, form, unit) for side in ("recserve", "naive")]
        lines.append(f"| {text} | {' | '.join(cells)} | {document['ratio'][name]:.1f} |")
    return "\n".join(lines)


def _cell(side: Document, name: str, form: str, unit: str) -> str:
    rounds = side["rounds"][name]
    middle, low, high = (
        format(value, form) for value in (side["median"][name], min(rounds), max(rounds))
    )
    return f"{middle} {unit} ({low}–{high})"


def section(document: Document) -> str:
    """Return the table, and below it what it was measured on."""
    machine, options = document["machine"], document["options"]
    naive = document["naive"]["settings"]
    trials = "; ".join(
        f"`{t['endpoint']}`/{t['omp_num_threads']}: {t['uncached_per_s']:.0f}/s, "
        f"p99 {t['uncached_p99_ms']:.0f} ms"
        for t in naive["trials"]
    )
    encoded = document["recserve"]["encoded"]
    texts, sent, answered = (
        sum(check[name] for check in encoded) for name in ("encoded", "sent", "answered")
    )
    features = ", ".join(machine["cpu_features"]) or "none of AVX2 and later"
    packages = ", ".join(f"{name} {version}" for name, version in document["versions"].items())
    return f"""{table(document)}

Median (lowest–highest) of {options["rounds"]} rounds of {options["seconds"]} s, \
on {machine["cpu"]}, {machine["cores"]} cores ({features}), \
{machine["memory_gib"]:.0f} GiB, Python {machine["python"]}; {document["date"][:10]}, \
commit `{document["commit"] or "none"}`.
The load generator runs on the same cores. Naive peer at its best setting, \
`{naive["endpoint"]}` with OMP_NUM_THREADS={naive["omp_num_threads"]} (tried: {trials}).
Unique queries of recserve: {sent:,} sent, {texts:,} encoded, {answered:,} answered.
{packages}."""


def page(text: str, document: Document) -> str:
    """`text` with the section between the markers replaced.

    Raises:
        ValueError: a marker is missing.
    """
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"no {BEGIN} … {END} in the page")
    return f"{head}{BEGIN}\n{section(document)}\n{END}{tail}"


def newest() -> Path:
    """Find the latest result by its own date, not by that of the file."""
    results = sorted(RESULTS.glob("*.json"), key=lambda path: json.loads(path.read_text())["date"])
    if not results:
        raise SystemExit("no result in loadtest/results/: run `make bench` first")
    return results[-1]


def main(argv: Sequence[str] | None = None) -> int:
    """Write the page, or with `--check` compare it."""
    parser = argparse.ArgumentParser("python -m loadtest.render", description=__doc__)
    parser.add_argument("result", type=Path, nargs="?")
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    options = parser.parse_args(argv)
    old = PAGE.read_text(encoding="utf-8")
    new = page(old, json.loads((options.result or newest()).read_text()))
    if options.check:
        return 0 if old == new else 1
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
