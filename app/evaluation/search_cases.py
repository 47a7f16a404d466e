"""The cases of the protocol `search`: a user's history, words, and the item that they led to.

Where events have a query, a case is the last positive event of a user that has one. Elsewhere it is
the last positive event, and the query is drawn: one or two words of the title of the target. They
are drawn uniformly among those that are neither rare nor in most titles, so that no word is taken
because it gives the target away. This module does not know how cases are asked or measured.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from app.core.errors import BadDataError
from app.domain.event_rules import EventRule
from app.engine.retrieval.word_cutting import STOP_WORDS, words_of
from app.evaluation.eval_catalogue import EvalCatalogue
from app.evaluation.protocols import Case, EvalPlan, by_user, next_item, plan_of_cases
from app.offline.input.events import Events
from app.offline.learning.signals import positive_weights

FEWEST_TITLES, MOST_TITLES = 20, 1000
"""A word is drawn if so many titles hold it, in a catalogue of at least 10,000 items."""

MOST_WORDS = 2
_EDGES = re.compile(r"^[\W_]+|[\W_]+$")


@dataclass(frozen=True, slots=True)
class DrawableWords:
    """The words of titles that may be drawn.

    Attributes:
        counts: word, as `words_of` cuts it -> how many titles hold it.
        fewest, most: so many titles must hold a word.
    """

    counts: Mapping[str, int]
    fewest: int
    most: int

    @classmethod
    def of(cls, titles: Sequence[str]) -> "DrawableWords":
        """Count the words of titles. In a small catalogue both bounds are lower."""
        counts = Counter(word for title in titles for word in set(words_of(title)))
        fewest = min(FEWEST_TITLES, max(2, len(titles) // 400))
        return cls(counts, fewest, max(fewest, min(MOST_TITLES, len(titles) // 10)))

    def of_title(self, title: str) -> list[str]:
        """Return the words of a title that may be drawn, as written there, in its order."""
        return [
            spelled
            for word, spelled in spelled_words(title).items()
            if self.fewest <= self.counts.get(word, 0) <= self.most
        ]

    def draw(self, title: str, rng: np.random.Generator) -> str:
        """Return one or two words of a title, in its order; "" where it has none to draw."""
        words = self.of_title(title)
        n = int(rng.integers(1, MOST_WORDS + 1))
        return " ".join(words[at] for at in sorted(rng.permutation(len(words))[:n].tolist()))


def spelled_words(title: str) -> dict[str, str]:
    """Return the words of a title as `words_of` cuts them, each with its spelling in lower case.

    Stop words, numbers and single Latin letters are left out: nobody searches for them alone.

    >>> spelled_words("Men's Boots, size 44 (leather)")
    {'men': "men's", 'boot': 'boots', 'size': 'size', 'leather': 'leather'}
    >>> spelled_words("a 16GB 红茶杯")
    {'gb': 'gb', '红茶': '红茶', '茶杯': '茶杯'}
    """
    found: dict[str, str] = {}
    for token in title.lower().split():
        words = words_of(token)
        bare = _EDGES.sub("", token)
        is_one = len(words) == 1 and words_of(bare) == words
        for word in words:
            if word not in STOP_WORDS and _is_telling(word):
                found.setdefault(word, bare if is_one else word)
    return found


def _is_telling(word: str) -> bool:
    return any(map(str.isalpha, word)) and not (len(word) == 1 and word.isascii())


def plan_of_search(
    *,
    catalogue: EvalCatalogue,
    events: Events,
    weights: Mapping[str, EventRule],
    seed: int = 0,
) -> EvalPlan:
    """Return the plan of `search` over an event log.

    It is fitted on everything before the target of each user. The request of a case has the history
    and the words. A user whose target has no word to draw is not asked about.

    Args:
        catalogue: the items.
        events: the whole log.
        weights: event kind -> rule; says which events are positive.
        seed: decides which words are drawn.

    Raises:
        BadDataError: there is no case.
    """
    positive = positive_weights(events, weights) > 0
    searched = positive & (events.query >= 0)
    is_real = bool(searched.any())
    keep = np.ones(len(events), dtype=bool)
    words = DrawableWords.of(catalogue.titles)
    title_of = dict(zip(catalogue.ids, catalogue.titles, strict=True))
    rng = np.random.default_rng(seed)
    targets = list(_targets(events, positive, searched if is_real else positive))
    cases = list[Case]()
    for rows, taken, position in targets:
        target = taken[position]
        case = _case(events, taken, position)
        title = title_of.get(events.items[events.item[target]], "")
        keep[rows[np.flatnonzero(rows == target)[0] :]] = False
        query = events.queries[events.query[target]] if is_real else words.draw(title, rng)
        if query:
            cases.append(replace(case, request=case.request._replace(query=query)))
    if not cases:
        raise BadDataError("no user has two positive events, and a word to search for the last")
    plan = plan_of_cases("search", catalogue, events, positive=positive, keep=keep, cases=cases)
    if is_real:
        return replace(plan, notes={**plan.notes, "real_queries": len(cases)})
    drawn = {
        "left_out_without_query_word": len(targets) - len(cases),
        "fewest_titles_of_a_query_word": words.fewest,
        "most_titles_of_a_query_word": words.most,
    }
    return replace(plan, notes={**plan.notes, **drawn})


def _targets(
    events: Events, positive: npt.NDArray[np.bool_], eligible: npt.NDArray[np.bool_]
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]]:
    """Yield for each user all rows, the positive ones, and which of them is the target.

    It is the last that is eligible. A user who took nothing before it is left out.
    """
    for rows in by_user(events):
        taken = rows[positive[rows]]
        at = np.flatnonzero(eligible[taken])
        if len(at) and at[-1] > 0:
            yield rows, taken, int(at[-1])


def _case(events: Events, taken: npt.NDArray[np.int64], position: int) -> Case:
    ids = [events.items[item] for item in events.item[taken[: position + 1]]]
    return next_item(ids[:-1], ids[-1])
