"""What judgements bring: the same graded queries, asked of bundles that know less.

    catalogue alone   built from the items: no judgement of any query is known
    fixed blend       nothing is learned

The engine itself learns from the judgements of the other folds. Each is compared with it, query by
query.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

from app.core.ports import Engine
from app.evaluation.answer_metrics import summary
from app.evaluation.answers import Answers
from app.evaluation.model_runs import ask, build_fold
from app.evaluation.protocols import Case, EvalPlan, Fold
from app.offline.build import MakeEncoder
from app.offline.input.recipe import Recipe
from app.offline.metrics.intervals import paired_difference
from app.offline.metrics.ranking import Numbers

Document: TypeAlias = dict[str, Any]
Table: TypeAlias = Callable[[Sequence[Answers]], Mapping[str, Numbers]]

COMPARED: Final = ("ndcg@10", "retrieval_ndcg@10")
LEARNING: Final = {"catalogue alone": True, "fixed blend": False}


@dataclass(frozen=True, slots=True)
class GradedTrial:
    """The graded queries of a plan.

    Attributes:
        plan: of the protocol `graded`.
        cases: of all its folds, in order.
        table: (answer sets) -> the metrics of each case.
        seed: of intervals.
    """

    plan: EvalPlan
    cases: Sequence[Case]
    table: Table
    seed: int

    def document(
        self,
        answer_sets: Sequence[Answers],
        recipe: Recipe,
        folder: Path,
        make_encoder: MakeEncoder,
        open_engine: Callable[[Path], Engine],
    ) -> Document:
        """Return, for each of the other bundles, its metrics, and what the engine gains over it.

        Args:
            answer_sets: the engine's.
            recipe: how bundles are built.
            folder: an existing one to build in.
            make_encoder: makes the encoder of a bundle.
            open_engine: opens a bundle.

        Raises:
            BundleError, EngineError: as opening and asking do.
        """
        engine = self.table(answer_sets)
        nothing = self.plan.folds[0].events
        document: Document = {}
        for name, learning in LEARNING.items():
            path, _ = build_fold(
                plan=self.plan,
                fold=Fold(nothing, tuple(self.cases)),
                recipe=recipe,
                folder=folder / name.replace(" ", "-"),
                make_encoder=make_encoder,
                learning=learning,
            )
            responses = ask(open_engine(path), self.plan, self.cases, self.seed)
            table = {k: self.table(responses.answer_sets)[k] for k in COMPARED}
            metrics = {k: each.document() for k, each in summary(table, self.seed).items()}
            gains = {
                f"engine_gain_{k}": paired_difference(engine[k], table[k], self.seed).document()
                for k in COMPARED
            }
            document[name] = {**metrics, **gains}
        return document
