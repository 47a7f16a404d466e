"""Writes a result of `loadtest.scenarios.workers` into docs/benchmarks.md.

python -m loadtest.reports.workers loadtest/results/workers/RESULT.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.reports.page import PAGE, ROWS, cell, measured_on, notes, put

Document = Mapping[str, Any]


def table(document: Document) -> str:
    """Return medians with the lowest and highest round, a column for each number of workers."""
    sides = document["workers"]
    names = [f"{number} worker{'' if number == '1' else 's'}" for number in sides]
    lines = [f"| | {' | '.join(names)} | times better |", f"|---|{'---:|' * (len(names) + 1)}"]
    for name, (label, form, unit) in ROWS.items():
        if name not in document["times_better"]:
            continue
        text = label.format(connections=document["options"]["connections"])
        cells = [cell(side, name, form, unit) for side in sides.values()]
        lines.append(f"| {text} | {' | '.join(cells)} | {document['times_better'][name]:.2f} |")
    return "\n".join(lines)


def section(document: Document) -> str:
    """Return the table and the machine."""
    options = document["options"]
    below = notes(
        f"Median (lowest–highest) of {options['rounds']} rounds of {options['seconds']} s, "
        f"{measured_on(document)}.",
        *(
            f"Unique queries beside {name} in the same rounds "
            f"({peer['median']['uncached_per_s']:.0f}/s): "
            + ", ".join(f"{times:.2f} × by {n}" for n, times in peer["times_better"].items())
            + " workers."
            for name, peer in document.get("peers", {}).items()
        ),
    )
    return f"{table(document)}\n\n{below}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page."""
    parser = argparse.ArgumentParser("python -m loadtest.reports.workers", description=__doc__)
    parser.add_argument("result", type=Path)
    document = json.loads(parser.parse_args(argv).result.read_text())
    text = put(PAGE.read_text(encoding="utf-8"), "workers", section(document))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
