"""Writes a result of `loadtest.scenarios.curve` into docs/benchmarks.md and draws its picture.

python -m loadtest.reports.curve loadtest/results/curve/RESULT.json
"""

import argparse
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from loadtest.reports import pictures
from loadtest.reports.page import PAGE, measured_on, notes, put


def section(document: Mapping[str, Any]) -> str:
    """Return the picture and the machine."""
    rates = document["rates"]
    below = notes(
        f"{len(rates)} rates from {rates[0]['offered_per_s']:,.0f} to "
        f"{rates[-1]['offered_per_s']:,.0f} /s, {document['seconds']:g} s each, "
        f"{measured_on(document)}."
    )
    return f"![Milliseconds by answers in time a second](pictures/curve.svg)\n\n{below}"


def main(argv: Sequence[str] | None = None) -> None:
    """Write the page and the picture."""
    parser = argparse.ArgumentParser("python -m loadtest.reports.curve", description=__doc__)
    parser.add_argument("result", type=Path)
    document = json.loads(parser.parse_args(argv).result.read_text())
    pictures.write({"curve.svg": pictures.curve(document)})
    text = put(PAGE.read_text(encoding="utf-8"), "curve", section(document))
    PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
