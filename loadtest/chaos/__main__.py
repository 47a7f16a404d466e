"""`make chaos`: run the trials, and each with its seeded faults.

    python -m loadtest.chaos [--short] [--only NAME …] [--fault NAME] [--list] [--seed N] [--write]

The exit code is 1 if a trial crashes, fails where that is not known (`Trial.not_met`), or does not
find a seeded fault. `--write` writes
loadtest/results/chaos.json and docs/reliability.md; with `--only`, the other rows stay as they are.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from loadtest.chaos.report import page
from loadtest.chaos.running import Row, Runs, chosen, line_of, run_all
from loadtest.chaos.trial import Trial
from loadtest.chaos.trials import all_trials
from loadtest.runners import machine
from loadtest.runners.services import ROOT

RESULTS = ROOT / "loadtest" / "results" / "chaos.json"
PAGE = ROOT / "docs" / "reliability.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run what was asked for; return 1 if a row is red."""
    options = _options(argv)
    trials = all_trials()
    try:
        asked = chosen(trials, options.only, options.fault, short=options.short)
    except LookupError as error:
        print(error, file=sys.stderr)
        return 2
    if options.list:
        for trial in asked:
            print(f"{trial.name}: {trial.promise}  [{', '.join(trial.faults) or 'no faults'}]")
        return 0
    with tempfile.TemporaryDirectory(prefix="chaos-") as folder:
        runs = Runs(Path(folder), options.short, options.seed)
        rows = []
        for trial in asked:
            if options.fault is None:
                rows += run_all([trial], runs, _say)
            else:
                rows.append(runs.run(trial, options.fault))
                _say(line_of(rows[-1]))
            if options.write:  # each time: a run that is ended early keeps what it has
                write(rows, trials, options.seed)
    known = {trial.name for trial in asked if trial.not_met}
    red = [row for row in rows if not row.green and (row.crashed or row.trial not in known)]
    print(f"{len(rows) - len(red)} of {len(rows)} runs are as they must be; seed {options.seed}")
    return 1 if red else 0


def write(
    rows: Sequence[Row],
    trials: Sequence[Trial],
    seed: int,
    results: Path = RESULTS,
    to: Path = PAGE,
) -> None:
    """Write results and page. Older rows of trials that still exist stay, if not run again."""
    known = {(t.name, fault) for t in trials for fault in (None, *t.faults)}
    merged: dict[Any, dict[str, Any]] = {}
    if results.exists():
        old = json.loads(results.read_text())["rows"]
        merged = {(row["trial"], row["fault"]): row for row in old}
    merged |= {(row.trial, row.fault): row.document() for row in rows}
    document = {
        "machine": machine.describe(),
        "seed": seed,
        "rows": [merged[key] for key in sorted(merged, key=str) if key in known],
    }
    results.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    to.write_text(page(document, trials), encoding="utf-8")


def _options(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m loadtest.chaos", description=__doc__)
    parser.add_argument("--short", action="store_true", help="only the short form")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="trials or groups")
    parser.add_argument("--fault", help="only trials that claim this seeded fault, with it")
    parser.add_argument("--list", action="store_true", help="show the trials")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write the results and the page")
    return parser.parse_args(argv)


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    sys.exit(main())
