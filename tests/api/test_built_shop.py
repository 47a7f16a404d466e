"""What a build knows of a shop, as its callers see it: roles by guess, ratings, defaults."""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.engine.engine import RankEngine
from app.offline.build import build
from app.offline.input.recipe import load_recipe
from tests.api_rig import served
from tests.bundles import fake_encoder, write_jsonl
from tests.learned_rig import engine_over

PRICES = {"red": 9.5, "blue": 7.0, "green": None, "grey": 80.0}
"""Of one vase in four colours; a lamp and a bowl cost 20 and 5."""

STARS = {"lamp": [5, 5, 5, 4, 5], "bowl": [2, 1], "blue": [5], "red": [4, 4, 4]}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> RankEngine:
    folder: Path = tmp_path_factory.mktemp("shop")
    vases = [
        {"id": colour, "title": "ceramic vase", "Preis": price, "Marke": "Acme"}
        for colour, price in PRICES.items()
    ]
    others = [
        {"id": "lamp", "title": "ceramic lamp", "Preis": 20.0, "Marke": "Lux"},
        {"id": "bowl", "title": "ceramic bowl", "Preis": 5.0, "Marke": "Acme"},
    ]
    ratings = [
        {"user_id": f"{item} {n}", "item_id": item, "event": "rating", "value": value}
        for item, values in STARS.items()
        for n, value in enumerate(values)
    ]
    (folder / "shop.toml").write_text("[defaults]\nmax_per = { title = 1 }\n")
    report = build(
        write_jsonl(folder / "items.jsonl", [*vases, *others]),
        write_jsonl(folder / "events.jsonl", ratings),
        load_recipe(folder / "shop.toml"),
        folder / "shop",
        fake_encoder,
    )
    return engine_over(report.bundle)


async def found(client: httpx.AsyncClient, **said: Any) -> list[str]:
    response = await client.post("/recommend", json=said)
    assert response.status_code == 200, response.text
    return [item["id"] for item in response.json()["items"]]


async def test_the_guessed_price_and_the_ratings_sort(shop: RankEngine) -> None:
    everything = {"k": 6, "max_per": {}}
    async with served(shop) as client:
        cheapest = await found(client, intent={"sort": "cheapest"}, **everything)
        assert cheapest == ["bowl", "blue", "red", "lamp", "grey", "green"]
        dearest = await found(client, intent={"sort": "dearest"}, **everything)
        assert dearest == ["grey", "lamp", "red", "blue", "bowl", "green"]
        # One rating of five stars counts less than five of nearly five.
        rated = await found(client, intent={"sort": "rated"}, **everything)
        assert rated[:4] == ["lamp", "blue", "red", "bowl"]
        assert set(rated[4:]) == {"green", "grey"}


async def test_the_default_of_the_recipe_leaves_one_vase(shop: RankEngine) -> None:
    async with served(shop) as client:
        by_default = await found(client, query="ceramic vase", k=5)
        assert len(set(by_default) & set(PRICES)) == 1
        assert {"lamp", "bowl"} <= set(by_default)
        two = await found(client, query="ceramic vase", k=5, max_per={"Marke": 2})
        assert len(set(two) & {*PRICES, "bowl"}) == 2
        assert "lamp" in two
        off = await found(client, query="ceramic vase", k=5, max_per={})
        assert set(off[:4]) == set(PRICES)
        candidates = await found(client, query="ceramic vase", candidates=list(PRICES))
        assert set(candidates) == set(PRICES)
        cheapest = await found(client, intent={"sort": "cheapest"}, k=6)
        assert cheapest == ["bowl", "blue", "lamp"]


async def test_a_role_names_the_field_of_an_exposure(shop: RankEngine) -> None:
    wanted = {"field": "brand", "groups": {"Lux": {"min": 0.25}, "Acme": {"max": 0.5}}}
    said = {"query": "ceramic vase", "k": 4, "max_per": {}}
    async with served(shop) as client:
        assert "lamp" not in await found(client, **said)
        answer = (await client.post("/recommend", json={**said, "exposure": wanted})).json()
    # There is one lamp, and all other brands are Acme: its cap cannot be kept.
    assert "lamp" in [item["id"] for item in answer["items"]]
    report = answer["exposure"]
    assert report["field"] == "Marke"
    assert {name: (each["share"], each["met"]) for name, each in report["groups"].items()} == {
        "Lux": (0.25, True),
        "Acme": (0.75, False),
    }
