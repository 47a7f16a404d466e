"""The baselines by name, and what each of them can be asked with."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from app.core.errors import UsageError
from app.evaluation.baselines.als import Als
from app.evaluation.baselines.base import Baseline
from app.evaluation.baselines.behaviour import Ease, Hybrid, ItemKnn
from app.evaluation.baselines.simple import Bm25, Meaning, Popularity, WordsAndMeaning
from app.evaluation.baselines.trees import LambdaMart
from app.evaluation.names import BASELINE_NAMES, SASREC


@dataclass(frozen=True, slots=True)
class BaselineEntry:
    """A baseline and its abilities.

    Attributes:
        make: makes a new one.
        label: its name in reports.
        history, words: what it can be asked with.
        scores_any_item: false where it scores only candidates that it finds itself, so that it
            cannot order given ones.
    """

    make: Callable[[], Baseline]
    label: str
    history: bool = True
    words: bool = False
    scores_any_item: bool = True


BASELINES: Mapping[str, BaselineEntry] = {
    "popularity": BaselineEntry(Popularity, "popularity"),
    "minilm": BaselineEntry(Meaning, "MiniLM alone", words=True),
    "bm25": BaselineEntry(Bm25, "BM25 on titles", words=True),
    "bm25+minilm": BaselineEntry(WordsAndMeaning, "BM25 + MiniLM", history=False, words=True),
    "item-knn": BaselineEntry(ItemKnn, "windowed item-KNN"),
    "ease": BaselineEntry(Ease, "EASE"),
    "als": BaselineEntry(Als, "ALS (implicit)"),
    "hybrid": BaselineEntry(Hybrid, "unlearned hybrid"),
    "lambdamart": BaselineEntry(LambdaMart, "LambdaMART (LightGBM)", scores_any_item=False),
}


def parse_names(names: str) -> tuple[str, ...]:
    """Return the baselines that `all`, `none` or a list of names with commas stands for.

    Raises:
        UsageError: an unknown name.

    >>> parse_names("none"), parse_names("ease,popularity"), "sasrec" in parse_names("all")
    ((), ('ease', 'popularity'), False)
    """
    if names == "none":
        return ()
    chosen: list[str] = []
    for name in names.split(","):
        known = (*BASELINE_NAMES, SASREC)
        if name not in (*known, "all"):
            raise UsageError(f"--baselines: {name!r} is none of all, none, {', '.join(known)}")
        chosen += list(BASELINE_NAMES) if name == "all" else [name]
    return tuple(dict.fromkeys(chosen))


def suited_baselines(names: Sequence[str], *, words: bool) -> tuple[str, ...]:
    """Return those of the names that can be asked with words, or with a history if not `words`."""
    return tuple(
        name
        for name in names
        if (name == SASREC and not words)
        or (name in BASELINES and (BASELINES[name].words if words else BASELINES[name].history))
    )
