"""The flags of `recserve evaluate`.

This module imports little: every command of `recserve` builds this parser, and only `run` imports
the code that loads models.
"""

import argparse
from pathlib import Path

from app.evaluation.names import BASELINE_NAMES, PROTOCOLS, SASREC


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `recserve evaluate`."""
    data = parser.add_argument_group("data: one of --dataset, --items, --bundle, --demo")
    data.add_argument(
        "--dataset",
        type=Path,
        metavar="DIR",
        help="folder with sequences.txt + items.tsv, or pairs.csv, or valid.jsonl",
    )
    data.add_argument("--items", type=Path, metavar="FILE", help="item file, as for build")
    data.add_argument("--events", type=Path, metavar="FILE", help="event file, as for build")
    data.add_argument(
        "--attributes",
        type=Path,
        metavar="FILE",
        help="who the users are: a file of users, as for build --users",
    )
    data.add_argument(
        "--bundle",
        type=Path,
        metavar="DIR",
        help="a finished bundle, asked about those --events that came after all it has seen",
    )
    data.add_argument(
        "--demo", action="store_true", help="the items, events and recipe of the demo"
    )
    data.add_argument("--recipe", type=Path, metavar="FILE", help="recipe (TOML) to build with")
    parser.add_argument("--protocol", choices=PROTOCOLS, help="default: by what the data is")
    parser.add_argument("--users", type=_positive, metavar="N", help="ask about N users only")
    parser.add_argument("--seed", type=int, default=0, help="of samples, intervals and baselines")
    parser.add_argument(
        "--baselines",
        default="none",
        metavar="NAMES",
        help=f"all, none, or some of {', '.join((*BASELINE_NAMES, SASREC))} (default: none)",
    )
    parser.add_argument(
        "--ablation",
        action="store_true",
        help="measure what each piece of learning brings, not the engine; with --protocol search: "
        "what words bring",
    )
    parser.add_argument(
        "--fairness",
        action="store_true",
        help="also measure which items are shown, whom the service serves how well, and what it "
        "costs to show more of the catalogue",
    )
    parser.add_argument(
        "--exposure-field",
        default="",
        metavar="FIELD",
        help="with --fairness: a field of the items, such as provider, whose values are groups",
    )
    parser.add_argument("--json", metavar="FILE", help="write the result as JSON; - = to stdout")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report as HTML")


def run(args: argparse.Namespace) -> int:
    """Evaluate, write the outputs that the flags name, and return the exit code 0.

    Raises:
        UsageError: flags that do not go together, an unknown name.
        BadDataError: files that cannot be used.
        EngineError, BundleError, OSError: as they are.
    """
    from app.evaluation.run_command import run_evaluation  # noqa: PLC0415 - loads models

    return run_evaluation(args)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("must be at least 1")
    return number
