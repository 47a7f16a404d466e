"""The page docs/benchmarks.md: its sections, and how a figure is written in its tables.

Each report renders a section of text from a result document and puts it between two markers of the
page, `<!-- NAME:begin -->` and `<!-- NAME:end -->`.
"""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "benchmarks.md"

#: Figure -> (label, format, unit)
ROWS = {
    "uncached_per_s": ("unique queries, {connections} connections", ",.0f", "/s"),
    "uncached_p50_ms": ("… p50", ".1f", "ms"),
    "uncached_p99_ms": ("… p99", ".1f", "ms"),
    "hot_per_s": ("the same query, {connections} connections", ",.0f", "/s"),
    "hot_p50_ms": ("… p50", ".2f", "ms"),
    "hot_p99_ms": ("… p99", ".2f", "ms"),
    "mix_per_s": ("popular mix, {connections} connections", ",.0f", "/s"),
    "mix_p50_ms": ("… p50", ".2f", "ms"),
    "mix_p99_ms": ("… p99", ".2f", "ms"),
    "idle_p50_ms": ("one unique query at a time, p50", ".2f", "ms"),
    "idle_p99_ms": ("… p99", ".2f", "ms"),
    "rss_mib": ("memory after load", ",.0f", "MiB"),
    "start_s": ("start until ready", ".2f", "s"),
}
Document = Mapping[str, Any]


def cell(side: Document, name: str, form: str, unit: str) -> str:
    """Return a cell of a table: the median with the lowest and highest round."""
    rounds = side["rounds"][name]
    middle, low, high = (
        format(value, form) for value in (side["median"][name], min(rounds), max(rounds))
    )
    return f"{middle} {unit} ({low}–{high})"


def measured_on(document: Document) -> str:
    """Return machine, day and commit of a result, for the line below a table."""
    machine = document["machine"]
    features = ", ".join(machine["cpu_features"]) or "none of AVX2 and later"
    gpu = f"{machine['gpu']} and " if machine.get("gpu") else ""
    return (
        f"on {gpu}{machine['cpu']}, {machine['cores']} cores ({features}), "
        f"{machine['memory_gib']:.0f} GiB, Python {machine['python']}; {document['date'][:10]}, "
        f"commit `{document['commit'] or 'none'}`"
    )


def notes(*sentences: str) -> str:
    """Return the notes below a table as a list, wrapped at 100 columns."""
    return "\n".join(
        textwrap.fill(
            sentence,
            width=100,
            initial_indent="- ",
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        for sentence in sentences
    )


def put(text: str, name: str, content: str) -> str:
    """Return a page with new content between the markers of a section.

    Raises:
        ValueError: a marker is missing.
    """
    begin, end = f"<!-- {name}:begin -->", f"<!-- {name}:end -->"
    head, opened, rest = text.partition(begin)
    _, closed, tail = rest.partition(end)
    if not (opened and closed):
        raise ValueError(f"no {begin} … {end} in the page")
    return f"{head}{begin}\n{content}\n{end}{tail}"
