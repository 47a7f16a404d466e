"""The pictures of docs/diversity.md, drawn from the result of an evaluation.

recserve evaluate --demo --fairness --exposure-field categories --json fairness.json
python -m loadtest.reports.fairness fairness.json
"""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from app.evaluation.fairness.curve_chart import standalone
from app.evaluation.fairness.pictures import trade_off_figures
from loadtest.reports.pictures import FOLDER

NAMES = ("trade-off-coverage.svg", None, None, "trade-off-exposure.svg")
"""Of the figures of an evaluation in their order; the page shows only those with a name."""


def main(argv: Sequence[str] | None = None) -> None:
    """Write the pictures and print their names."""
    parser = argparse.ArgumentParser("python -m loadtest.reports.fairness", description=__doc__)
    parser.add_argument("result", type=Path, help="what `evaluate --fairness --json` has written")
    parser.add_argument("--out", type=Path, default=FOLDER, metavar="DIR", help="default: the docs")
    options = parser.parse_args(argv)
    document = json.loads(options.result.read_text("utf-8"))
    figures = trade_off_figures(document["fairness"]["trade_off"])
    for name, (_, _, chart) in zip(NAMES, figures, strict=False):
        if name is None:
            continue
        (options.out / name).write_text(standalone(chart), encoding="utf-8")
        print(name)


if __name__ == "__main__":
    main()
