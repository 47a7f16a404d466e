"""Measures what exact words bring to the fixed blend, on queries with human grades.

    python -m tests.exact_grades ../shared/data/crowdflower-search

It builds the bundle of the protocol `graded`, and asks it with the fixed blend twice: with the term
of `app.engine.scoring.exactness` and without it. It prints the table of docs/accuracy.md.
"""

import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from app.core.ports import Engine
from app.core.types import Matrix, Rows
from app.engine.engine import RankEngine
from app.engine.kernels.lexical_features import LEXICAL_FEATURES
from app.engine.open import open_engine
from app.engine.parts import EngineParts
from app.engine.retrieval.lexical import LexicalSearch
from app.engine.scoring.blend import Blend
from app.engine.scoring.learned import LearnedScorer
from app.evaluation.answer_metrics import graded_table
from app.evaluation.answers import Numbering
from app.evaluation.dataset_readers import read_pairs
from app.evaluation.model_runs import ask, build_fold
from app.evaluation.protocols import EvalPlan, Fold, plan_of_grades
from app.offline.build import packed_encoder
from app.offline.input.events import Events
from app.offline.input.recipe import Recipe
from app.offline.metrics.intervals import mean_intervals
from app.offline.metrics.ranking import Numbers

SEED = 0
METRICS = ("ndcg@10", "retrieval_ndcg@10")


class InexactWords:
    """The words of a catalogue without the features that the fixed blend reads."""

    def __init__(self, words: LexicalSearch) -> None:
        """Wrap a lexical index."""
        self._words = words

    def __getattr__(self, name: str) -> object:
        """Return what the index has."""
        return getattr(self._words, name)

    def features(self, queries: Sequence[str], candidates: Sequence[Rows]) -> Matrix:
        """Return zeros: no word is exact."""
        return np.zeros((len(LEXICAL_FEATURES), sum(map(len, candidates))), np.float32)


def blend_engine(engine: RankEngine, *, exact: bool) -> RankEngine:
    """Return an engine over the same bundle that scores by the fixed blend alone."""
    parts: EngineParts = engine._parts
    texts = parts.texts
    blend = Blend(
        texts.vectors,
        texts.index.empty,
        texts.words if exact else InexactWords(texts.words),
        similarity=parts.similarity,
        signals=parts.signals,
        topk=parts.topk,
    )
    unlearned = LearnedScorer(parts.scorer.features, {}, len(parts.catalogue))
    return RankEngine(replace(parts, blend=blend, scorer=unlearned), engine.info)


def graded(engine: Engine, plan: EvalPlan) -> Numbers:
    """Return float64[q, 2], the metrics of each query."""
    cases = plan.folds[0].cases
    judged, retrieved = ask(engine, plan, cases, SEED).answer_sets
    numbering = Numbering.of(plan.catalogue.ids)
    table = graded_table(judged=judged, retrieved=retrieved, cases=cases, numbering=numbering)
    return np.stack([table[name] for name in METRICS], axis=1)


def unlearned(plan: EvalPlan) -> EvalPlan:
    """Return a plan with all cases in one fold without judgements to learn from."""
    cases = tuple(case for fold in plan.folds for case in fold.cases)
    return replace(plan, folds=(Fold(Events.none(), cases),))


def measure(plan: EvalPlan, bundle: Path) -> list[str]:
    """Return the lines of the table."""
    engine = open_engine(bundle, threads=2)
    exact, vague = (graded(blend_engine(engine, exact=each), plan) for each in (True, False))
    rows = {"with the term": exact, "without it": vague, "difference": exact - vague}
    lines = [f"| | {' | '.join(METRICS)} |", f"|---|{'---|' * len(METRICS)}"]
    for name, values in rows.items():
        found = mean_intervals(values, SEED)
        cells = [f"{each.value:.4f} [{each.low:.4f} {each.high:.4f}]" for each in found]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main(folder: Path) -> None:
    """Build, ask and print."""
    plan = unlearned(plan_of_grades(*read_pairs(folder, SEED)))
    with tempfile.TemporaryDirectory(prefix="recserve-exact-") as work:
        fold = Path(work) / "fold"
        bundle, _ = build_fold(plan, plan.folds[0], Recipe(), fold, packed_encoder, learning=False)
        print("\n".join(measure(plan, bundle)))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
