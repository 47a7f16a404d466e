"""The measures of the protocol `search`: the same cases by words, by history, and by both.

*Both* has to beat two plain rules: the items that hold all words of the query, in the order of the
history's score, and in the order of their popularity. Where the bundle has learned an order for
words, the fixed blend is asked in the same run. This module does not know how cases are drawn.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from app.bundle.reader import open_bundle
from app.core.ports import Engine
from app.core.ranking import RankRequest
from app.core.types import Rows
from app.evaluation.answers import Answers, Numbering, ask_engine, lists_of
from app.evaluation.protocols import Case
from app.evaluation.text_names import BundleTexts, drawn_names, names_found
from app.offline.metrics.intervals import mean_intervals, ratio_interval
from app.offline.metrics.ranking import Numbers, ndcg_at, recall_at

TOP = 10
MODES = ("words", "history", "both")

Opener: TypeAlias = Callable[[Path], Engine]
Document: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class SearchTrial:
    """A bundle, and the cases that it is asked.

    Attributes:
        bundle: path of the bundle.
        cases: their requests have a history and words.
        numbering: rows of the items.
        popularity: float64[n_items], positive training events of each item.
        seed: of intervals and of the names out of the text.
    """

    bundle: Path
    cases: Sequence[Case]
    numbering: Numbering
    popularity: Numbers
    seed: int

    def document(self, both: Answers, open_engine: Opener, open_blend: Opener | None) -> Document:
        """Return the part `search` of a result.

        Args:
            both: the engine's answers to the cases.
            open_engine: opens the bundle as it is served.
            open_blend: opens it with the fixed blend for words; None = it has no other order.

        Raises:
            BundleError, EngineError: as opening and asking do.
        """
        texts = BundleTexts(open_bundle(self.bundle))
        with closing(open_engine(self.bundle)) as engine:
            modes = {mode: self._asked(engine, mode) for mode in MODES[:2]} | {"both": both}
            by_history = self._all_words_by_history(engine, texts)
            names = names_found(engine, texts, drawn_names(texts, self.seed))
        rules = {
            "all words, by history": by_history,
            "all words, by popularity": self._all_words_by_popularity(texts),
        }
        document: Document = {mode: self._measured(modes[mode]) for mode in MODES}
        document["rules"] = {
            rule: self._measured(answers, beaten_by=both) for rule, answers in rules.items()
        }
        if open_blend is not None:
            with closing(open_blend(self.bundle)) as blend:
                document["blend"] = {
                    mode: self._measured(self._asked(blend, mode), beaten_by=modes[mode])
                    for mode in MODES
                }
        document["by_query_words"] = self._by_query_words({**modes, **rules})
        return {**document, "names": names.document(self.seed)}

    def _by_query_words(self, answers: Mapping[str, Answers]) -> Document:
        """Return the cases and the mean NDCG of each way to answer, by words of the query."""
        lengths = np.array([len(case.request.query.split()) for case in self.cases])
        ndcg = {name: ndcg_at(some.ranks, TOP) for name, some in answers.items()}
        document: Document = {}
        for length in np.unique(lengths).tolist():
            inside = lengths == length
            means = {name: round(float(of[inside].mean()), 6) for name, of in ndcg.items()}
            document[str(length)] = {"n": int(inside.sum()), f"ndcg@{TOP}": means}
        return document

    def _asked(self, engine: Engine, mode: str) -> Answers:
        return self._ask(engine, [_in_mode(case.request, mode) for case in self.cases], mode)

    def _ask(self, engine: Engine, requests: Sequence[RankRequest], label: str) -> Answers:
        return ask_engine(
            engine=engine,
            requests=requests,
            targets=self._targets,
            numbering=self.numbering,
            label=label,
        )

    @property
    def _targets(self) -> Rows:
        return self.numbering.targets(self.cases)

    def _all_words_by_history(self, engine: Engine, texts: BundleTexts) -> Answers:
        requests = [
            _in_mode(case.request, "history")._replace(
                candidates=tuple(texts.holding(case.request.query)),
            )
            for case in self.cases
        ]
        return self._ask(engine, requests, "all words")

    def _all_words_by_popularity(self, texts: BundleTexts) -> Answers:
        lists = list[Rows]()
        for case in self.cases:
            request = case.request
            held = (i for i in texts.holding(request.query) if i not in request.exclude)
            rows = self.numbering.rows(held)
            lists.append(rows[np.argsort(-self.popularity[rows], kind="stable")])
        return lists_of(lists, [self.popularity[rows] for rows in lists], self._targets)

    def _measured(self, answers: Answers, beaten_by: Answers | None = None) -> Document:
        """Return NDCG and Recall, and how many times this NDCG another one is, with intervals."""
        ndcg = ndcg_at(answers.ranks, TOP)
        columns: Mapping[str, Numbers] = {
            f"ndcg@{TOP}": ndcg,
            f"recall@{TOP}": recall_at(answers.ranks, TOP),
        }
        means = mean_intervals(np.stack(list(columns.values()), axis=1), self.seed)
        document: Document = {
            name: mean.document() for name, mean in zip(columns, means, strict=True)
        }
        if beaten_by is not None:
            better = ndcg_at(beaten_by.ranks, TOP)
            document["engine_ratio"] = ratio_interval(better, ndcg, self.seed).document()
        return document


def _in_mode(request: RankRequest, mode: str) -> RankRequest:
    """Return a request for the same user with words alone, with the history alone, or both."""
    if mode == "words":
        return request._replace(history=())
    return request._replace(query="") if mode == "history" else request
