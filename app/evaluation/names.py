"""The names of protocols and baselines in flags and results.

This module imports no other module of ours, so that building the command line is quick.
"""

from typing import Literal, TypeAlias, get_args

ProtocolName: TypeAlias = Literal[
    "strict", "all-but-last", "time-split", "search", "newcomers", "ratings", "graded", "mind"
]
PROTOCOLS: tuple[ProtocolName, ...] = get_args(ProtocolName)

SASREC = "sasrec"
"""A trained baseline. It runs only if it is named: it trains for a quarter of an hour."""

BASELINE_NAMES = (
    "popularity",
    "minilm",
    "bm25",
    "bm25+minilm",
    "item-knn",
    "ease",
    "als",
    "hybrid",
    "lambdamart",
)
"""The baselines of `--baselines all`; those that do not suit the data are left out."""
