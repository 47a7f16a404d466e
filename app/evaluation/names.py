"""The names that flags and results use. Nothing here is imported: a command line stays quick."""

from typing import Literal, TypeAlias

ProtocolName: TypeAlias = Literal["strict", "all-but-last", "time-split", "graded", "mind"]
PROTOCOLS: tuple[ProtocolName, ...] = ("strict", "all-but-last", "time-split", "graded", "mind")

SASREC = "sasrec"
"""The trained peer: run by name only, since it trains for a quarter of an hour."""

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
"""What `--baselines all` runs, where it fits the data."""
