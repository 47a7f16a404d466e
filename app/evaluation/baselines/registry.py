"""Which baselines there are, by name, and what each can be asked with."""

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
    """A baseline by its name.

    `history`, `words`: what it can be asked with. `orders_any`: it scores every item; otherwise
    only candidates of its own finding, and cannot be asked to order given ones.
    """

    make: Callable[[], Baseline]
    shown: str
    history: bool = True
    words: bool = False
    orders_any: bool = True


BASELINES: Mapping[str, BaselineEntry] = {
    "popularity": BaselineEntry(Popularity, "popularity"),
    "minilm": BaselineEntry(Meaning, "MiniLM alone", words=True),
    "bm25": BaselineEntry(Bm25, "BM25 on titles", words=True),
    "bm25+minilm": BaselineEntry(WordsAndMeaning, "BM25 + MiniLM", history=False, words=True),
    "item-knn": BaselineEntry(ItemKnn, "windowed item-KNN"),
    "ease": BaselineEntry(Ease, "EASE"),
    "als": BaselineEntry(Als, "ALS (implicit)"),
    "hybrid": BaselineEntry(Hybrid, "unlearned hybrid"),
    "lambdamart": BaselineEntry(LambdaMart, "LambdaMART (LightGBM)", orders_any=False),
}


def chosen(names: str) -> tuple[str, ...]:
    """Return the baselines that `all`, `none` or a list with commas names.

    Raises:
        UsageError: an unknown name.

    >>> chosen("none"), chosen("ease,popularity"), "sasrec" in chosen("all")
    ((), ('ease', 'popularity'), False)
    """
    if names == "none":
        return ()
    wanted: list[str] = []
    for name in names.split(","):
        known = (*BASELINE_NAMES, SASREC)
        if name not in (*known, "all"):
            raise UsageError(f"--baselines: {name!r} is none of all, none, {', '.join(known)}")
        wanted += list(BASELINE_NAMES) if name == "all" else [name]
    return tuple(dict.fromkeys(wanted))


def fitting(names: Sequence[str], *, words: bool) -> tuple[str, ...]:
    """Return those of the names that can be asked with words, or else with a history."""
    return tuple(
        name
        for name in names
        if (name == SASREC and not words)
        or (name in BASELINES and (BASELINES[name].words if words else BASELINES[name].history))
    )
