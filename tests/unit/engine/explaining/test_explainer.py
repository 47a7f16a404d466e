"""Explanations of whole answers: sums, groups, fills, and what happens when scoring fails."""

from dataclasses import replace
from math import fsum

import numpy as np
import pytest

from app.core.errors import EngineError
from app.core.ranking import RankRequest
from app.engine.arranging.results import ScoredCandidates
from app.engine.explaining.explainer import grouped_score
from tests.small_engine import small_engine

FULL = {"query": "space adventure", "history": ("alien",), "dislike": ("mob",)}


def explained(engine, **asked):
    (result,) = engine.rank([RankRequest(explain=True, **asked)]).results
    return result


def check_sums(result):
    for item in result.items[:20]:
        parts = [result.baseline, *item.explanation.contributions.values()]
        assert fsum(parts) == pytest.approx(item.score, abs=1e-9)


def test_contributions_and_baseline_add_up_to_the_score():
    engine = small_engine({"alien": 0.4, "star": 0.9})
    for asked in ({}, {"query": "space"}, {"history": ("star",)}, FULL, {"like": ("mob", "love")}):
        result = explained(engine, **asked)
        assert result.items
        check_sums(result)


def test_a_request_has_only_groups_that_it_has_signals_of():
    engine = small_engine({"alien": 0.4})

    def groups(**asked):
        return list(explained(engine, **asked).items[0].explanation.contributions)

    assert groups() == ["popularity", "freshness"]
    assert groups(query="space") == ["words", "popularity", "freshness"]
    assert groups(**FULL) == ["words", "taste", "popularity", "freshness"]


def test_the_order_stays_and_only_the_explanation_is_added():
    engine = small_engine({"alien": 0.4})
    plain = RankRequest(**FULL)
    before, after = engine.rank([plain, plain._replace(explain=True)]).results
    assert [item._replace(explanation=None) for item in after.items] == list(before.items)
    assert before.baseline is None
    assert all(item.explanation is None for item in before.items)


def test_the_group_that_decides_has_the_largest_share():
    engine = small_engine({"dull1": 1.0}, copies=30)
    first = explained(engine).items[0]
    assert first.id == "dull1"
    shares = first.explanation.contributions
    assert max(shares, key=shares.get) == "popularity"
    first = explained(engine, query="bank heist").items[0]
    assert first.id == "heist"
    shares = first.explanation.contributions
    assert max(shares, key=shares.get) == "words"


def test_the_first_twenty_are_explained():
    items = explained(small_engine(copies=40), k=30).items
    assert [item.explanation is not None for item in items] == [True] * 20 + [False] * 10


def test_what_fills_up_an_answer_is_counted_from_its_baseline():
    engine = small_engine({"mob": 1.0}, copies=3)
    found = explained(
        engine, query="space", filter='{"categories":{"any":["space"]}}', on_empty="popular", k=6
    )
    assert found.passing == 3
    check_sums(found)
    assert all("filling" in item.explanation.contributions for item in found.items[3:])
    assert all("filling" not in item.explanation.contributions for item in found.items[:3])


def test_a_fill_behind_nothing_has_a_baseline_of_its_own():
    engine = small_engine({"mob": 1.0})
    found = explained(engine, filter='{"year":{"gt":3000}}', on_empty="popular", k=2)
    assert found.passing == 0
    check_sums(found)
    assert "filling" not in found.items[0].explanation.contributions


class BrokenNetworks:
    networks = ()

    def scores(self, *_):
        raise EngineError("broken")


def test_where_scoring_failed_nothing_is_explained():
    engine = small_engine()
    engine._parts = replace(engine._parts, scorer=BrokenNetworks())
    result = explained(engine, query="space")
    assert result.degraded == ("rerank",)
    assert result.baseline is None
    assert [item.explanation.contributions for item in result.items] == [{}] * len(result.items)
    assert {item.explanation.reason for item in result.items} == {None}


def test_the_terms_of_the_blend_are_its_score():
    engine = small_engine({"alien": 0.4, "mob": 0.7})
    parts = engine._parts
    request = RankRequest(
        query="space adventure", history=("alien",), dislike=("mob",), like=("love",)
    )
    posed = engine._posed([request], engine.encode([request]))
    rows, terms = np.arange(7), {0: {}}
    (scores,) = parts.blend.scores([posed[0].resolved], [rows], [None], terms)
    scored = ScoredCandidates(rows, scores, {}, terms=terms[0])
    found = grouped_score(parts, posed[0], scored).terms
    np.testing.assert_allclose(sum(values for _, values in found), scores, atol=1e-6)
