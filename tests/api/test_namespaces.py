"""Keys bound to a namespace or to scenarios: what their holders reach, and what they never do."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.serving.access.key_file import add_key
from app.serving.access.keys import Role, new_key
from app.testing.answer_store import MemoryAnswerStore
from tests.api_rig import served

ITEM = "heist"


class Callers:
    """A service, and callers with keys of several kinds."""

    def __init__(self, client: httpx.AsyncClient, path: Path) -> None:
        self._client, self._path = client, path
        self._heads: dict[str, dict[str, str]] = {}

    def add(self, name: str, role: Role = "write", **bound: Any) -> None:
        sent, key = new_key(role, name, 0.0, **bound)
        add_key(self._path, key)
        self._heads[name] = {"Authorization": f"Bearer {sent}"}

    async def call(self, name: str, method: str, path: str, body: Any = None) -> httpx.Response:
        content = {} if body is None else {"json": body}
        return await self._client.request(method, path, headers=self._heads[name], **content)

    async def ask(self, name: str, path: str = "/recommend", **fields: Any) -> dict[str, Any]:
        answer = await self.call(name, "POST", path, {"budget_ms": 10_000, **fields})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    async def click(self, name: str, item: str = ITEM, **who: Any) -> dict[str, Any]:
        answer = await self.call(name, "POST", "/events", [{"item_id": item, **who}])
        assert answer.status_code == 200, answer.text
        return dict(answer.json())


@pytest.fixture
async def callers(tmp_path: Path) -> AsyncIterator[Callers]:
    path = tmp_path / "keys.json"
    made = Callers(httpx.AsyncClient(), path)
    made.add("a", namespace="shopA")
    made.add("b", namespace="shopB")
    made.add("free")
    made.add("admin", "admin")
    made.add("home", scenarios=["home"])
    made.add("two", scenarios=["home", "cart"])
    async with served(api_keys_file=path, answers=MemoryAnswerStore()) as client:
        made._client = client
        for name in ("home", "cart", "other"):
            put = await made.call("admin", "PUT", f"/admin/scenarios/{name}", {"k": 2})
            assert put.status_code == 200, put.text
        yield made


def items(answer: dict[str, Any]) -> list[str]:
    return [item["id"] for item in answer["items"]]


async def test_a_user_of_one_namespace_is_unknown_in_all_others(callers: Callers) -> None:
    await callers.click("a", user_id="9")
    known = await callers.call("a", "GET", "/users/9")
    assert (known.status_code, known.json()["user_id"]) == (200, "9")
    assert known.json()["history"] == [ITEM]
    for other in ("b", "free"):
        assert (await callers.call(other, "GET", "/users/9")).status_code == 404


async def test_the_users_of_the_bundle_are_those_of_the_default_namespace(
    callers: Callers,
) -> None:
    assert (await callers.call("free", "GET", "/users/7")).json()["history"] == [ITEM]
    assert (await callers.call("a", "GET", "/users/7")).status_code == 404


async def test_what_one_took_is_in_nobody_elses_answer(callers: Callers) -> None:
    await callers.click("a", user_id="9")
    mine = items(await callers.ask("a", user_id="9", k=10))
    assert mine
    assert ITEM not in mine
    nothing_known = items(await callers.ask("b", user_id="9", k=10))
    assert nothing_known == items(await callers.ask("free", k=10))
    assert ITEM in nothing_known


@pytest.mark.parametrize("path", ["/recommend/batch", "/shelves", "/recommend/stream"])
async def test_other_routes_read_the_users_of_the_namespace(callers: Callers, path: str) -> None:
    await callers.click("a", user_id="9")
    body: dict[str, Any] = {"user_id": "9", "k": 10}
    if path == "/recommend/batch":
        body = {"requests": [body]}
    elif path == "/shelves":
        body["shelves"] = [{"name": "one"}]
    mine = await callers.call("a", "POST", path, body)
    theirs = await callers.call("b", "POST", path, body)
    assert (mine.status_code, theirs.status_code) == (200, 200)
    assert f'"id":"{ITEM}"' not in mine.text
    assert f'"id":"{ITEM}"' in theirs.text


async def test_a_row_of_what_was_begun_is_that_of_the_namespace(callers: Callers) -> None:
    await callers.click("a", user_id="9")
    wanted = {"user_id": "9", "shelves": [{"name": "because", "kind": "because"}]}
    assert (await callers.ask("a", "/shelves", **wanted))["shelves"][0]["item_id"] == ITEM
    assert (await callers.ask("b", "/shelves", **wanted))["left_out"][0]["name"] == "because"


async def test_why_not_reads_the_users_of_the_namespace(callers: Callers) -> None:
    await callers.click("a", user_id="9")
    wanted = {"request": {"user_id": "9", "k": 10}, "item_id": ITEM}
    mine = await callers.call("a", "POST", "/why-not", wanted)
    theirs = await callers.call("b", "POST", "/why-not", wanted)
    assert (mine.json()["stage"], theirs.json()["stage"]) == ("seen", "answered")


async def test_events_of_the_same_id_are_different_ones(callers: Callers) -> None:
    for name in ("a", "b", "free"):
        taken = await callers.click(name, user_id="9", event_id="e1")
        assert (taken["accepted"], taken["duplicates"]) == (1, 0)
        shown = (await callers.call(name, "GET", "/users/9")).json()["events"]
        assert [event["event_id"] for event in shown] == ["e1"]
    assert (await callers.click("a", user_id="9", event_id="e1"))["duplicates"] == 1

    assert (await callers.call("a", "DELETE", "/events/e1")).json() == {"event_id": "e1"}
    assert (await callers.call("a", "DELETE", "/events/e1")).status_code == 404
    for name in ("b", "free"):
        assert (await callers.call(name, "GET", "/users/9")).status_code == 200


async def test_personal_answers_are_cached_for_one_namespace_and_others_for_all(
    callers: Callers,
) -> None:
    for name in ("a", "b"):
        await callers.click(name, user_id="9", item="robots")
    words = {"query": "space", "user_id": "9"}
    cached = [(await callers.ask(name, **words))["cache"] for name in ("a", "b", "free", "a", "b")]
    assert cached == ["miss", "miss", "miss", "hit", "hit"]
    cached = [(await callers.ask(name, query="train"))["cache"] for name in ("a", "b", "free")]
    assert cached == ["miss", "hit", "hit"]


async def test_kept_answers_are_shown_in_their_namespace_only(callers: Callers) -> None:
    for who in ({}, {"user_id": "9"}):
        for name in ("a", "b", "free"):
            answer = await callers.ask(name, query="space", **who)
            path = f"/recommendations/{answer['recommendation_id']}"
            kept = await callers.call(name, "GET", path)
            assert (kept.status_code, kept.json()["request"].get("user_id")) == (
                200,
                who.get("user_id"),
            )
            for other in {"a", "b", "free"} - {name}:
                assert (await callers.call(other, "GET", path)).status_code == 404


async def test_forgetting_a_user_forgets_them_in_one_namespace(callers: Callers) -> None:
    answers = {}
    for name in ("a", "b", "free"):
        await callers.click(name, user_id="9")
        answers[name] = (await callers.ask(name, user_id="9"))["recommendation_id"]
    gone = await callers.call("a", "DELETE", "/users/9")
    assert gone.json() == {"user_id": "9", "deleted": {"store": 1, "bundle": 0}}
    found = {
        name: (
            (await callers.call(name, "GET", "/users/9")).status_code,
            (await callers.call(name, "GET", f"/recommendations/{answer}")).status_code,
        )
        for name, answer in answers.items()
    }
    assert found == {"a": (404, 404), "b": (200, 200), "free": (200, 200)}


async def test_a_session_is_merged_within_its_namespace(callers: Callers) -> None:
    for name in ("a", "b"):
        await callers.click(name, session_id="s")
    moved = await callers.call("a", "POST", "/users/9/merge", {"session_id": "s"})
    assert moved.json() == {"user_id": "9", "session_id": "s", "moved": 1}
    assert (await callers.call("a", "GET", "/users/9")).json()["history"] == [ITEM]
    assert (await callers.call("b", "GET", "/users/9")).status_code == 404
    assert ITEM not in items(await callers.ask("b", session_id="s", k=10))


async def test_attributes_are_those_of_the_namespace(callers: Callers) -> None:
    for name, country in (("a", "NZ"), ("b", "PE")):
        put = await callers.call(name, "PUT", "/users/9", {"attributes": {"country": country}})
        assert put.json() == {"user_id": "9", "attributes": {"country": country}}
    shown = (await callers.call("a", "GET", "/users/9")).json()
    assert shown["attributes"] == {"country": "NZ"}
    forged = await callers.call("a", "PUT", "/users/9", {"attributes": {"namespace": "shopB"}})
    assert (forged.status_code, forged.json()["error"]["field"]) == (422, "attributes.namespace")


async def test_a_cursor_of_a_user_is_of_no_use_in_another_namespace(callers: Callers) -> None:
    for name in ("a", "b"):
        await callers.click(name, user_id="9", item="robots")
    cursor = (await callers.ask("a", user_id="9", k=1))["next_cursor"]
    page = {"user_id": "9", "k": 1, "cursor": cursor}
    assert (await callers.call("a", "POST", "/recommend", page)).status_code == 200
    assert (await callers.call("b", "POST", "/recommend", page)).status_code == 422


async def test_no_id_can_name_a_user_of_a_namespace(callers: Callers) -> None:
    await callers.click("a", user_id="9")
    forged = "shopA\x1f9"
    for method, path, body in (
        ("POST", "/recommend", {"user_id": forged}),
        ("POST", "/shelves", {"user_id": forged, "shelves": [{"name": "x"}]}),
        ("POST", "/why-not", {"request": {"session_id": forged}, "item_id": ITEM}),
        ("POST", "/users/9/merge", {"session_id": forged}),
        ("GET", "/users/shopA%1F9", None),
        ("DELETE", "/users/shopA%1F9", None),
        ("DELETE", "/events/shopA%1Fe1", None),
    ):
        for name in ("free", "b", "admin"):
            assert (await callers.call(name, method, path, body)).status_code == 422, path
    taken = await callers.call("free", "POST", "/events", [{"user_id": forged, "item_id": ITEM}])
    assert taken.json()["accepted"] == 0
    kept = await callers.call("free", "GET", "/recommendations/shopA%1F" + "0" * 32)
    assert kept.status_code == 404


async def test_a_bound_key_changes_no_items(callers: Callers) -> None:
    one = {"id": "new", "title": "new"}
    calls: list[tuple[str, str, Any]] = [
        ("PUT", "/items", [one]),
        ("PATCH", "/items/new", {"title": "newer"}),
        ("DELETE", "/items/new", None),
    ]
    for method, path, body in calls:
        refused = await callers.call("a", method, path, body)
        assert (refused.status_code, refused.json()["error"]["code"]) == (403, "forbidden")
        assert "all namespaces" in refused.json()["error"]["message"]
        assert (await callers.call("free", method, path, body)).status_code == 200, path
    assert (await callers.call("a", "GET", f"/items/{ITEM}")).status_code == 200


async def test_the_only_scenario_of_a_key_is_its_default(callers: Callers) -> None:
    assert len(items(await callers.ask("home", query="space"))) == 2
    assert len(items(await callers.ask("home", query="space", scenario="home"))) == 2
    assert len(items(await callers.ask("free", query="space"))) > 2
    assert len(items(await callers.ask("home", "/similar", item_id=ITEM))) == 2


@pytest.mark.parametrize(("name", "scenario"), [("home", "other"), ("two", "other"), ("two", None)])
async def test_a_key_may_ask_with_its_scenarios_only(
    callers: Callers, name: str, scenario: str | None
) -> None:
    said = {} if scenario is None else {"scenario": scenario}
    there = "home, cart" if name == "two" else "home"
    message = f"this key may ask with these scenarios only: {there}"
    for path, body in (
        ("/recommend", {"query": "space", **said}),
        ("/similar", {"item_id": ITEM, **said}),
        ("/why-not", {"request": {"query": "space", **said}, "item_id": ITEM}),
    ):
        refused = await callers.call(name, "POST", path, body)
        error = refused.json()["error"]
        assert (refused.status_code, error["code"], error["message"], error["field"]) == (
            *(403, "forbidden", message),
            "scenario",
        ), path
    ask = {"query": "space", **said}
    batch = await callers.call(name, "POST", "/recommend/batch", {"requests": [ask]})
    assert batch.json()["results"][0]["error"]["message"] == message
    rows = await callers.call(name, "POST", "/shelves", {"shelves": [{"name": "x", **ask}]})
    assert rows.json()["shelves"][0]["error"]["message"] == message
    stream = await callers.call(name, "POST", "/recommend/stream", ask)
    assert (stream.status_code, message in stream.text) == (403, True)
    if scenario is None:
        for path in ("/popular", "/trending", "/newest"):
            assert (await callers.call(name, "GET", path)).status_code == 403
            chosen = await callers.call(name, "GET", f"{path}?scenario=cart")
            assert (chosen.status_code, len(chosen.json()["items"])) == (200, 2)
