"""Exact words come first, after training, in five catalogues: whatever a model has learned."""

import numpy as np
import pytest

from app.core.ranking import RankRequest
from app.engine.retrieval.word_cutting import STOP_WORDS, words_of
from app.engine.scoring.exactness import FEW, RARE_SHARE
from tests.exact_catalogues import N_ITEMS, NAMES, engine_of, items_of, text_of, trained

pytestmark = pytest.mark.learning

N_QUERIES = 40
RARE = max(RARE_SHARE * N_ITEMS, FEW)


class Trained:
    """A catalogue, its engine, and what is known of its items without an index."""

    def __init__(self, name, model):
        self.items = items_of(name)
        networks = (
            {} if model == "none" else {"words": trained(self.items, linear=model == "linear")}
        )
        self.networks, self.engine = networks, engine_of(self.items, networks)
        self.held = {item["id"]: set(words_of(text_of(item))) for item in self.items}
        self.rng = np.random.default_rng(0)

    def n_with(self, word):
        return sum(word in words for words in self.held.values())

    def some(self):
        rows = self.rng.permutation(len(self.items))[:N_QUERIES]
        return [self.items[row] for row in rows.tolist()]

    def asked(self, queries, k=1):
        requests = [RankRequest(query=query, k=k) for query in queries]
        return [result.items for result in self.engine.rank(requests).results]

    def two_words(self, item):
        """Two words of an item that are in few and in any number of items, or None."""
        words = sorted(self.held[item["id"]] - STOP_WORDS)
        words = [word for word in words if len(word) > 1 and not word.isdecimal()]
        rare = [word for word in words if self.n_with(word) <= RARE]
        if not rare or len(words) < 2:
            return None
        first = str(self.rng.choice(rare))
        return first, str(self.rng.choice([word for word in words if word != first]))


@pytest.fixture(
    scope="module",
    params=[(n, "linear") for n in NAMES] + [("films", "network"), ("books", "none")],
)
def catalogue(request):
    return Trained(*request.param)


def test_an_id_that_equals_the_query_is_first(catalogue):
    ids = [item["id"] for item in catalogue.some()]
    assert [items[0].id for items in catalogue.asked(ids)] == ids
    loud = [name.upper() if name.islower() else name.lower() for name in ids]
    assert [items[0].id for items in catalogue.asked(loud)] == ids


def test_a_whole_folded_title_is_first(catalogue):
    titles = [item["title"] for item in catalogue.some()]
    answers = catalogue.asked([title.upper() for title in titles])
    found = [sorted(words_of(items[0].title)) for items in answers]
    assert found == [sorted(words_of(title)) for title in titles]


def test_what_holds_all_words_is_above_all_that_lack_the_rare_one(catalogue):
    pairs = [pair for pair in map(catalogue.two_words, catalogue.some()) if pair]
    assert len(pairs) >= N_QUERIES // 4
    answers = catalogue.asked([" ".join(pair) for pair in pairs], k=N_ITEMS)
    for pair, items in zip(pairs, answers, strict=True):
        rarest = min(pair, key=catalogue.n_with)
        holders = {name for name, words in catalogue.held.items() if words.issuperset(pair)}
        order = [item.id for item in items]
        assert holders <= set(order), pair
        last = max(map(order.index, holders))
        assert all(rarest in catalogue.held[name] for name in order[:last]), pair


def test_rows_are_not_seen(catalogue):
    """A permuted catalogue gives the same scores, by the same model.

    Of texts that match equally well a source brings the first ones. So a rank far down the list may
    differ by some places, and a score by little: the scores of an answer lie many units apart.
    """
    order = catalogue.rng.permutation(N_ITEMS).tolist()
    permuted = engine_of([catalogue.items[row] for row in order], catalogue.networks)
    queries = [item["title"].split()[0] for item in catalogue.some()]
    requests = [RankRequest(query=query, k=10) for query in queries]
    ours, theirs = catalogue.engine.rank(requests).results, permuted.rank(requests).results
    for one, other in zip(ours, theirs, strict=True):
        scores = [item.score for item in one.items]
        assert [item.score for item in other.items] == pytest.approx(scores, abs=0.1)
