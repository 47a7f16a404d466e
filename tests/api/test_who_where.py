"""Who somebody is, and where and when they ask, as callers see it: on a catalogue that knows both.

The catalogue is `tests.who_where`: a country and an hour have a section each.
"""

from pathlib import Path
from typing import Any

import httpx
import pytest

from app.bundle.reader import Bundle, load_arrays
from app.engine.engine import RankEngine
from app.offline.build import build
from app.offline.input.recipe import Recipe
from tests.api_rig import served
from tests.bundles import fake_encoder, write_jsonl
from tests.learned_rig import engine_over
from tests.who_where import (
    COUNTRIES,
    section_of_country,
    section_of_hour,
    who_where,
)

pytestmark = pytest.mark.learning

ROWS = who_where(n_users=1200, n_items=80)
"""So few items that the order of queries is not learned, which would take longest."""

SECTION_OF = {item["id"]: item["section"] for item in ROWS.items}


def built(folder: Path, *, events: list[dict[str, Any]], users: list[dict[str, Any]]) -> Bundle:
    return build(
        write_jsonl(folder / "items.jsonl", ROWS.items),
        write_jsonl(folder / "events.jsonl", events),
        Recipe(),
        folder / "shop",
        fake_encoder,
        users=write_jsonl(folder / "users.jsonl", users),
    ).bundle


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return built(tmp_path_factory.mktemp("shop"), events=ROWS.events, users=ROWS.users)


@pytest.fixture(scope="module")
def shop(bundle: Bundle) -> RankEngine:
    return engine_over(bundle)


async def recommended(client: httpx.AsyncClient, **said: Any) -> dict[str, Any]:
    response = await client.post("/recommend", json=said)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def found(client: httpx.AsyncClient, **said: Any) -> list[str]:
    return [item["id"] for item in (await recommended(client, **said))["items"]]


def share(items: list[str], section: str) -> float:
    """Return the share of items that are of a section; by chance it is a quarter."""
    return sum(SECTION_OF[item] == section for item in items) / len(items)


async def test_a_new_user_gets_what_people_of_the_country_take(shop: RankEngine) -> None:
    async with served(shop) as client:
        stranger = await found(client, user_id="new")
        for country in COUNTRIES:
            put = await client.put("/users/new", json={"attributes": {"country": country}})
            assert put.status_code == 200
            items = await found(client, user_id="new")
            assert share(items, section_of_country(country)) >= 0.9
            assert items != stranger


async def test_deleted_attributes_change_nothing_any_more(shop: RankEngine) -> None:
    async with served(shop) as client:
        stranger = await found(client, user_id="new")
        await client.put("/users/new", json={"attributes": {"country": "de"}})
        assert await found(client, user_id="new") != stranger
        await client.put("/users/new", json={"attributes": {}})
        assert await found(client, user_id="new") == stranger
        await client.put("/users/new", json={"attributes": {"country": "de"}})
        await client.delete("/users/new")
        assert await found(client, user_id="new") == stranger


async def test_an_unknown_value_is_no_error_and_changes_nothing(shop: RankEngine) -> None:
    async with served(shop) as client:
        stranger = await found(client, user_id="new")
        attributes = {"country": "xx", "age": 31, "likes": ["tea"]}
        await client.put("/users/new", json={"attributes": attributes})
        assert await found(client, user_id="new") == stranger


async def test_an_hour_brings_what_is_taken_then(shop: RankEngine) -> None:
    async with served(shop) as client:
        items = [await found(client, context={"hour": hour}) for hour in range(24)]
        shares = [share(each, section_of_hour(hour)) for hour, each in enumerate(items)]
        assert min(shares) >= 0.4
        assert sum(shares) / 24 >= 0.6


async def test_country_and_hour_add_up(shop: RankEngine) -> None:
    async with served(shop) as client:
        await client.put("/users/new", json={"attributes": {"country": "de"}})
        items = await found(client, user_id="new", context={"hour": 20})
        both = {section_of_country("de"), section_of_hour(20)}
        assert {SECTION_OF[item] for item in items} == both


async def test_a_history_and_a_country_count_both(shop: RankEngine) -> None:
    """What a user took says where they come from; the country says it better."""
    history = [item["id"] for item in ROWS.items if item["section"] == "music"][:2]
    async with served(shop) as client:
        by_history = await found(client, user_id="new", history=history)
        await client.put("/users/new", json={"attributes": {"country": "de"}})
        items = await found(client, user_id="new", history=history)
        assert share(items, "garden") > share(by_history, "garden")


async def test_words_and_a_country_count_both(shop: RankEngine) -> None:
    async with served(shop) as client:
        plain = await found(client, query="thing", user_id="new")
        await client.put("/users/new", json={"attributes": {"country": "nz"}})
        items = await found(client, query="thing", user_id="new")
        assert share(items, section_of_country("nz")) > share(plain, section_of_country("nz"))


async def test_a_filter_and_exclusions_hold_for_what_such_people_take(shop: RankEngine) -> None:
    async with served(shop) as client:
        items = await found(client, context={"hour": 3}, filter={"section": {"any": ["tools"]}})
        assert {SECTION_OF[item] for item in items} == {"tools"}
        rest = await found(client, context={"hour": 3}, exclude=items)
        assert not set(rest) & set(items)


async def test_only_what_is_known_of_a_context_makes_another_answer(shop: RankEngine) -> None:
    async with served(shop) as client:
        asked = [{"hour": 3}, {"hour": "3"}, {"hour": 3.0, "device": "phone"}, {"hour": 3, "x": 1}]
        caches = [(await recommended(client, context=each))["cache"] for each in asked]
        assert caches == ["miss", "hit", "hit", "hit"]
        assert (await recommended(client, context={"hour": 4}))["cache"] == "miss"
        assert (await recommended(client, context={"device": "desk"}))["cache"] == "miss"
        assert (await recommended(client))["cache"] == "hit"


async def test_the_source_is_named(shop: RankEngine) -> None:
    async with served(shop) as client:
        answer = await recommended(client, context={"hour": 3})
        assert {source["name"] for item in answer["items"] for source in item["sources"]} == {
            "people_like"
        }


def test_users_and_contexts_that_say_nothing_give_the_bundle_without_them(tmp_path: Path) -> None:
    """The same bytes: no feature, no source, no array more."""
    rows = who_where(n_users=700, n_items=80)
    aged = [{"id": user["id"], "age": user["age"]} for user in rows.users]
    on_device = [
        {**event, "context": {"device": event["context"]["device"]}} for event in rows.events
    ]
    plain = [
        {name: value for name, value in event.items() if name != "context"} for event in rows.events
    ]
    folders = [tmp_path / "plain", tmp_path / "noise"]
    for folder in folders:
        folder.mkdir()
    bundles = [
        built(folders[0], events=plain, users=[{"id": user["id"]} for user in rows.users]),
        built(folders[1], events=on_device, users=aged),
    ]
    for name in ("behaviour.safetensors", "scorer.safetensors"):
        one, other = (bundle.manifest.files[name] for bundle in bundles)
        assert one == other
    assert not [n for n in load_arrays(bundles[1], "behaviour.safetensors") if "sides" in n]
    learned = bundles[1].manifest.learned
    assert learned is not None
    assert not [n for names in learned.features.values() for n in names if n.startswith("side.")]
    assert learned.notes[0] == "who and where: nothing that says what is taken"


def test_the_manifest_names_the_features(bundle: Bundle) -> None:
    learned = bundle.manifest.learned
    assert learned is not None
    assert learned.features["history"][-6:] == (
        "side.score",
        "side.who",
        "side.where",
        "side.rank",
        "side.taste",
        "side.known",
    )
    assert learned.notes[0] == "who and where: country, context hour"
