"""Goals of requests, in a shop whose customers click other items than they buy."""

import copy
from typing import Any

import httpx
import jsonschema_rs
import numpy as np
import pytest

from app.api import schemas
from app.bundle.reader import Bundle, load_arrays, open_bundle
from app.core.errors import BundleError
from app.core.ranking import RankRequest
from app.engine.engine import RankEngine
from app.engine.open import goals_of
from app.offline.build import BuildReport, build
from app.offline.input.recipe import Recipe
from tests.api_rig import served
from tests.bundles import fake_encoder, write_jsonl
from tests.goal_shop import N_ITEMS, OFTEN, goal_shop, is_bought, name_of
from tests.learned_rig import engine_over

pytestmark = pytest.mark.learning

BUY, CLICK = {"purchase": 1.0}, {"click": 1.0}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    folder = tmp_path_factory.mktemp("shop")
    items, events = goal_shop()
    files = write_jsonl(folder / "items.jsonl", items), write_jsonl(folder / "events.jsonl", events)
    recipe = Recipe.model_validate({"goals": {"purchase": 1.0, "share": 0.5}})
    return build(*files, recipe, folder / "shop", fake_encoder).bundle


@pytest.fixture(scope="module")
def shop(bundle: Bundle) -> RankEngine:
    return engine_over(bundle)


async def recommended(client: httpx.AsyncClient, at: int = 0, **said: Any) -> dict[str, Any]:
    """Ask for somebody who came to a place of the ring in three steps."""
    said["history"] = [name_of(at - back) for back in (2, 1, 0)]
    response = await client.post("/recommend", json=said)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def firsts(client: httpx.AsyncClient, **said: Any) -> list[str]:
    """Return the first item from every place of the ring."""
    answers = [await recommended(client, at, k=5, **said) for at in range(N_ITEMS)]
    return [answer["items"][0]["id"] for answer in answers]


def bought(items: list[str]) -> float:
    return sum(map(is_bought, items)) / len(items)


async def test_goals_turn_the_order(shop: RankEngine) -> None:
    async with served(shop) as client:
        plain = await firsts(client, goals={})
        assert bought(await firsts(client, goals=BUY)) > 0.9
        assert bought(await firsts(client, goals=CLICK)) < 0.3 < bought(plain)
        # All that is taken is taken by one of them, so both together are the plain order.
        assert await firsts(client, goals={**BUY, **CLICK}) == plain


async def test_a_score_says_how_likely_an_item_is_taken_by_the_goals(shop: RankEngine) -> None:
    async with served(shop) as client:
        for at in range(4):
            answers = [
                {
                    item["id"]: item["score"]
                    for item in (await recommended(client, at, **said))["items"]
                }
                for said in ({"goals": {}}, {"goals": BUY}, {"goals": CLICK})
            ]
            plain, buying, clicking = answers
            following = [name_of(at + 1), name_of(at + 2)]
            for name in following:
                likely, unlikely = (buying, clicking) if is_bought(name) else (clicking, buying)
                assert unlikely[name] < likely[name] < plain[name] + 0.5
            for scores in answers:
                assert list(scores.values()) == sorted(scores.values(), reverse=True)


async def test_the_recipe_decides_where_a_request_says_nothing(shop: RankEngine) -> None:
    """It also names a goal that the log does not have: that one is left out."""
    async with served(shop) as client:
        said = await recommended(client, goals=BUY)
        silent = await recommended(client)
        assert silent["items"] == said["items"] != (await recommended(client, goals={}))["items"]
        info = (await client.get("/info")).json()
        assert sorted(info["goals"]) == ["click", "purchase"]
        assert info["goal_weights"] == BUY
        jsonschema_rs.validate(schemas.INFO, info)
        mutant = copy.deepcopy(info)
        mutant["goal_weights"]["click"] = "much"
        with pytest.raises(jsonschema_rs.ValidationError):
            jsonschema_rs.validate(schemas.INFO, mutant)


@pytest.mark.parametrize(
    ("goals", "field", "said"),
    [
        ({"like": 1.0}, "goals.like", "the goals are"),
        ({"click": 0}, "goals", "above 0"),
        ({"click": 1.5}, "goals.click", "1"),
        ({"click": -0.5}, "goals.click", "0"),
        ({"click": "much"}, "goals.click", "number"),
        (["click"], "goals", "object"),
    ],
    ids=str,
)
async def test_wrong_goals_are_refused(shop: RankEngine, goals: Any, field: str, said: str) -> None:
    async with served(shop) as client:
        response = await client.post("/recommend", json={"goals": goals})
        assert response.status_code == 422, response.text
        error = response.json()["error"]
        assert error["field"] == field
        assert said in error["message"]


async def test_an_unknown_goal_is_answered_with_those_there_are(shop: RankEngine) -> None:
    async with served(shop) as client:
        error = (await client.post("/recommend", json={"goals": {"like": 1}})).json()["error"]
        assert error["message"] == "there is no goal 'like'; the goals are purchase, click"


async def test_a_bundle_without_goals_refuses_them() -> None:
    async with served() as client:
        response = await client.post("/recommend", json={"goals": BUY})
        assert response.status_code == 422
        assert "this bundle has no goals" in response.json()["error"]["message"]
        assert (await client.post("/recommend", json={"goals": {}})).status_code == 200
        info = (await client.get("/info")).json()
        assert (info["goals"], info["goal_weights"]) == ([], {})


async def test_other_goals_are_another_answer_to_the_cache(shop: RankEngine) -> None:
    async with served(shop) as client:
        for goals in (BUY, CLICK, {}):
            assert (await recommended(client, goals=goals))["cache"] == "miss"
            assert (await recommended(client, goals=goals))["cache"] == "hit"


async def test_nobody_in_particular_gets_what_is_popular_whatever_the_goals(
    shop: RankEngine,
) -> None:
    """Nothing is known of them, so no network scores anything."""
    async with served(shop) as client:
        answers = [await client.post("/recommend", json={"goals": each}) for each in (BUY, {})]
        assert answers[0].json()["items"] == answers[1].json()["items"]


async def test_an_explanation_says_what_the_goals_add(shop: RankEngine) -> None:
    async with served(shop) as client:
        answer = await recommended(client, goals=BUY, explain=True)
        jsonschema_rs.validate(schemas.ANSWER, answer)
        for item in answer["items"]:
            total = answer["baseline"] + sum(item["contributions"].values())
            assert total == pytest.approx(item["score"], abs=1e-6)
        added = {item["id"]: item["contributions"]["goals"] for item in answer["items"]}
        means = [
            [added[name] for name in added if is_bought(name) == wanted] for wanted in (True, False)
        ]
        assert min(means[0]) > max(means[1])
        plain = await recommended(client, goals={}, explain=True)
        assert all("goals" not in item["contributions"] for item in plain["items"])


def test_heads_change_no_answer_without_goals(bundle: Bundle, shop: RankEngine) -> None:
    """And a bundle without heads opens: it is one that was built before there were heads."""
    facts = bundle.manifest.learned
    assert facts is not None
    manifest = bundle.manifest.model_copy(
        update={"learned": facts.model_copy(update={"goals": ()})}
    )
    before = engine_over(Bundle(bundle.path, manifest))
    assert (before.info.goals, shop.info.goals) == ((), facts.goals)
    requests = [
        RankRequest(history=(name_of(at), name_of(at + 1)), query="thing" if at % 3 else "")
        for at in range(N_ITEMS)
    ]
    assert before.rank(requests).results == shop.rank(requests).results
    mixed = [
        RankRequest(history=each.history, query=each.query, goals=(("click", 1.0),) * (at % 2))
        for at, each in enumerate(requests)
    ]
    assert shop.rank(mixed).results[::2] == shop.rank(requests).results[::2]


def test_the_bundle_on_disk_has_the_heads(bundle: Bundle) -> None:
    opened = open_bundle(bundle.path)
    assert opened.manifest.learned is not None
    assert opened.manifest.learned.goals == ("purchase", "click")
    arrays = load_arrays(opened, "goals.safetensors")
    shares = arrays["shares"]
    assert shares.shape == (2, N_ITEMS + 1)
    odd = np.arange(N_ITEMS) % 2 == 1
    assert np.abs(shares[0, :-1] - np.where(odd, OFTEN, 1 - OFTEN)).mean() < 0.1
    np.testing.assert_allclose(shares.sum(axis=0), 1.0, atol=0.02)  # each event is of one kind


def test_the_report_names_goals_of_the_recipe_that_are_left_out(bundle: Bundle) -> None:
    lines = str(BuildReport(bundle, (), {})).splitlines()
    assert [line for line in lines if line.startswith("goal ")] == [
        "goal 'share' of the recipe is left out: too few events of this kind, or nothing learned"
    ]


def test_shares_that_do_not_fit_are_refused(bundle: Bundle) -> None:
    facts = bundle.manifest.learned
    assert facts is not None
    for update in (
        {"learned": facts.model_copy(update={"goals": ("purchase",)})},
        {"n_items": N_ITEMS + 1},
    ):
        other = Bundle(bundle.path, bundle.manifest.model_copy(update=update))
        with pytest.raises(BundleError, match="goals"):
            goals_of(other)
