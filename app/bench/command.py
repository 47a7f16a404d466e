"""The flags of `recserve bench`.

This module imports little: every command of `recserve` builds this parser, and only `run` imports
the code that loads models.
"""

import argparse
import sys
from pathlib import Path

import orjson

from app.core.errors import UsageError
from app.core.settings import Settings

DEFAULT_SECONDS = 10.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags of `recserve bench`; those of the settings are added elsewhere."""
    queries = "text file, a query a line (default: words of titles of the catalogue)"
    parser.add_argument("--queries", type=Path, metavar="FILE", help=queries)
    parser.add_argument(
        "--seconds",
        type=_positive,
        default=DEFAULT_SECONDS,
        metavar="S",
        help=f"how long to measure, without loading (default: {DEFAULT_SECONDS:.0f})",
    )
    parser.add_argument("--json", metavar="FILE", help="write the figures as JSON; - = to stdout")


def run(arguments: argparse.Namespace, settings: Settings) -> int:
    """Measure, write the outputs that the flags name, and return the exit code 0.

    Raises:
        UsageError: the JSON cannot be written there, or there is nothing to make requests of.
        BadDataError: the file of queries cannot be used.
        BundleError, DeviceError, EngineError, OSError: as they are.
    """
    from app.bench.page import document, page  # noqa: PLC0415 - not for every command
    from app.bench.run_bench import figures_of  # noqa: PLC0415 - loads models

    out = arguments.json
    if out not in (None, "-") and (not Path(out).parent.is_dir() or Path(out).is_dir()):
        raise UsageError(f"--json: {Path(out).name!r} cannot be written there")
    figures = figures_of(settings, arguments.queries, arguments.seconds)
    encoded = orjson.dumps(document(figures), option=orjson.OPT_INDENT_2) + b"\n"
    sys.stdout.write(encoded.decode() if out == "-" else page(figures))
    if out not in (None, "-"):
        Path(out).write_bytes(encoded)
    return 0


def _positive(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number") from None
    if not 0 < seconds <= 3600:
        raise argparse.ArgumentTypeError("must be more than 0 and at most 3600")
    return seconds
