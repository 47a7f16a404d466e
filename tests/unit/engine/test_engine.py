"""One pass over a batch: what comes back, in which order, and what may not."""

import numpy as np
import pytest

from app.core.ranking import RankRequest, RankResult
from app.engine.retrieval.index import FlatIndex
from tests.small_engine import TITLES, small_engine


def rank(request: RankRequest, **options: object) -> RankResult:
    return small_engine(**options).rank([request]).results[0]


def ids(result: RankResult) -> list[str]:
    return [item.id for item in result.items]


def test_words_bring_what_they_mean() -> None:
    result = rank(RankRequest(query="space adventure", k=2))

    assert set(ids(result)) == {"star", "robot"}
    assert result.items[0].sources[0].name == "meaning"


def test_history_brings_what_is_like_it_without_what_was_seen() -> None:
    result = rank(RankRequest(history=("heist",), exclude=frozenset({"heist"}), k=1))

    assert ids(result) == ["mob"]
    assert [hit.name for hit in result.items[0].sources] == ["taste"]


def test_history_bends_the_order_of_a_query() -> None:
    alone = rank(RankRequest(query="drama", k=2))
    bent = rank(RankRequest(query="drama", history=("love",), exclude=frozenset({"love"}), k=1))
    crime = rank(RankRequest(query="drama", history=("heist",), k=1))

    assert set(ids(alone)) == {"mob", "love"}
    assert (ids(bent), ids(crime)) == (["mob"], ["mob"])


def test_dislike_pushes_away() -> None:
    plain = rank(RankRequest(query="space", k=3))
    pushed = rank(RankRequest(query="space", dislike=("alien",), k=3))

    assert {*ids(plain)} == {"alien", "star", "robot"}
    assert ids(pushed)[-1] == "alien"


def test_like_pulls_without_a_query() -> None:
    result = rank(RankRequest(like=("mob",), exclude=frozenset({"mob"}), k=1))

    assert ids(result) == ["heist"]
    assert [hit.name for hit in result.items[0].sources] == ["similar"]


def test_several_likes_are_served_each_and_not_their_mean() -> None:
    liked = ("alien", "love")
    result = rank(RankRequest(like=liked, exclude=frozenset(liked), k=3))

    assert set(ids(result)) == {"star", "robot", "mob"}


def test_a_dislike_pushes_away_what_is_liked() -> None:
    request = RankRequest(like=("mob",), exclude=frozenset({"mob"}), k=6)
    plain, pushed = (
        {item.id: item.score for item in rank(asked).items}
        for asked in (request, request._replace(dislike=("heist",)))
    )
    lost = {name: plain[name] - pushed[name] for name in plain}
    assert lost["heist"] == pytest.approx(0.4)
    assert max(lost, key=lost.__getitem__) == "heist"
    assert lost["love"] > lost["star"] == 0


def test_a_query_decides_first_and_likes_reorder() -> None:
    plain = rank(RankRequest(query="space adventure", k=3))
    liking = rank(RankRequest(query="space adventure", like=("heist", "alien"), k=3))

    assert set(ids(plain)) == set(ids(liking)) == {"star", "robot", "alien"}
    assert ids(plain)[-1] == "alien"
    scores = {item.id: item.score for item in liking.items}
    assert scores["alien"] > {item.id: item.score for item in plain.items}["alien"]


def test_with_neither_words_nor_history_the_popular_come_first() -> None:
    result = rank(RankRequest(k=2), popularity={"love": 1.0, "mob": 0.5})

    assert ids(result) == ["love", "mob"]
    assert result.items[0].sources[0].name == "popular"


def test_without_events_the_newest_come_first() -> None:
    assert ids(rank(RankRequest(k=3))) == ["robot", "heist", "mob"]


def test_popularity_breaks_near_ties() -> None:
    result = rank(RankRequest(query="space adventure", k=2), popularity={"robot": 1.0})

    assert ids(result) == ["robot", "star"]


def test_exclusions_cost_no_place() -> None:
    """With more exclusions than a source holds, the source still brings its full number."""
    gone = frozenset(f"dull{n}" for n in range(250))
    result = rank(RankRequest(query="dull number", exclude=gone, k=100), copies=500)

    assert len(result.items) == 100
    assert not gone & set(ids(result))


def test_an_answer_is_filled_up_when_words_bring_too_little() -> None:
    everything = rank(RankRequest(query="space", k=100))

    assert set(ids(everything)) == set(TITLES)


def test_candidates_are_all_ranked_and_nothing_else() -> None:
    result = rank(RankRequest(query="crime", candidates=("love", "heist", "nope", "love"), k=10))

    assert ids(result) == ["heist", "love"]
    assert result.missing_ids == ("nope",)


def test_an_excluded_candidate_never_comes_back() -> None:
    wanted = RankRequest(candidates=("love", "heist"), exclude=frozenset({"love"}), k=10)

    assert ids(rank(wanted)) == ["heist"]


def test_unknown_ids_are_named_once_and_known_ones_used() -> None:
    result = rank(RankRequest(history=("x", "heist", "x"), like=("y",), dislike=("z",), k=1))

    assert result.missing_ids == ("x", "y", "z")
    assert ids(result) == ["heist"]


def test_fields_come_with_the_item() -> None:
    item = rank(RankRequest(candidates=("robot",), fields=("year", "categories"))).items[0]

    assert item.fields == {"year": 2020, "categories": ["robot", "space", "adventure"]}
    assert rank(RankRequest(candidates=("ghost",))).items[0].title is None


def test_a_batch_answers_as_its_requests_alone() -> None:
    requests = [
        RankRequest(query="space adventure", k=3),
        RankRequest(history=("heist",), k=2),
        RankRequest(query="drama", history=("love",), exclude=frozenset({"love"})),
        RankRequest(k=2),
        RankRequest(query="space adventure", k=1),
        RankRequest(query="crime", candidates=("mob", "love")),
    ]
    engine = small_engine()

    together = engine.rank(requests).results

    assert [ids(r) for r in together] == [ids(engine.rank([r]).results[0]) for r in requests]


def test_scores_are_the_documented_blend() -> None:
    engine = small_engine(popularity={"mob": 0.5})
    # Of five dated films, how many are older; both words of "mob crime drama" count in full.
    older = {"star": 0, "alien": 1, "mob": 2, "heist": 3, "robot": 4}
    covered = {"heist", "mob"}
    request = RankRequest(
        query="crime", history=("heist", "love"), like=("mob",), dislike=("alien",), k=7
    )
    shown = {item.id: item.score for item in engine.rank([request]).results[0].items}

    vectors = dict(zip(TITLES, engine._parts.texts.vectors, strict=True))
    query = engine._parts.encoder.encode(["crime"])[0]
    taste = 0.85 * vectors["heist"] + vectors["love"]
    taste /= np.linalg.norm(taste)
    # On the scale of the most similar candidates: there are fewer than ten others.
    alike = {name: float(vectors[name] @ vectors["mob"]) for name in shown}
    scale = max(np.mean([value for name, value in alike.items() if name != "mob"]), 0.3)
    for name, score in shown.items():
        vector = vectors[name]
        expected = (
            vector @ query
            + 0.5 * (vector @ taste)
            + 0.3 * alike[name] / scale
            - 0.4 * max(0.0, float(vector @ vectors["alien"]))
            + (0.3 + 3.6) * (name in covered)
            + 0.15 * (0.5 if name == "mob" else 0.0)
            + 0.05 * older.get(name, 0) / 5
        )
        assert score == pytest.approx(expected, abs=1e-5)


def test_cost_grows_with_the_text_and_is_bounded() -> None:
    engine = small_engine()
    costs = [engine.cost(RankRequest(query=q)) for q in ("", "space", "space adventure", "x" * 512)]

    assert costs == sorted(costs)
    assert costs[0] >= 1
    assert costs[-1] <= 256


def test_the_index_agrees_with_exact_search() -> None:
    random = np.random.default_rng(0)
    vectors = random.standard_normal((500, 32)).astype(np.float32)
    probes = random.standard_normal((30, 32)).astype(np.float32)

    _, rows = FlatIndex(vectors).search(probes, 20)

    for probe, found in zip(probes, rows, strict=True):
        assert found.tolist() == np.argsort(-(vectors @ probe), kind="stable")[:20].tolist()
