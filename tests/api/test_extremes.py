"""Items and events at both ends of what is accepted: every route still answers, also afterwards."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from app.engine.engine import RankEngine
from app.offline.build import build
from app.offline.input.recipe import Recipe
from app.testing.event_store import MemoryEventStore
from app.testing.journal import MemoryChanges
from tests.api_rig import served
from tests.bundles import build_small, fake_encoder, write_jsonl
from tests.learned_rig import engine_over

LONGEST_ID = "\U0001f600" * 256
LARGEST = 1.7976931348623157e308
DAY_S = 86_400

TIMES = [
    *("0001-01-01T00:00:00Z", "1000-01-01", "1969-12-31T23:59:59.999Z", "1970-01-01"),
    *("2999-12-31", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-00:00"),
    *(-62_135_596_800, -2.5, -1, -0.0, 0, 5e-324, 99_999_999_999, 99_999_999_999.999),
]
ITEMS: list[dict[str, Any]] = [
    *({"available_from": moment} for moment in TIMES),
    *({"available_until": moment} for moment in TIMES),
    *({"published_at": moment} for moment in [*TIMES, 999, 1000, 2999, 3000]),
    {"available_from": TIMES[0], "available_until": TIMES[5]},
    {"available_from": TIMES[5], "available_until": TIMES[0]},
    *({"price": n} for n in (2**53, -(2**53), 2**64, LARGEST, -LARGEST, 5e-324)),
    *({"title": text} for text in ("x" * 100_000, "\x00", "\U0010ffff" * 1000, "7" * 5000)),
    {"title": "x " * 50_000, "text": "y " * 50_000},
    {"categories": [f"c{n}" for n in range(10_000)]},
    {"categories": ["c" * 10_000]},
    {"id": LONGEST_ID, "title": "longest"},
    {"id": 2**63, "title": "number"},
    {"id": -(10**255 - 1), "title": "longest number"},
]
REQUESTS: list[dict[str, Any]] = [
    {},
    {"query": "heat"},
    {"query": "x"},
    {"user_id": 7, "query": "alien", "fields": ["price", "published_at", "text", "categories"]},
    {"filter": {"published_at": {"gte": "0001-01-01"}, "price": {"lte": LARGEST}}},
    {"filter": {"published_at": {"lte": 2999}, "price": {"any": [2**53, -(2**53)]}}},
    {"filter": {"price": {"not": [2**63]}}, "on_empty": "relax"},
    {"max_stale_ms": 3_600_000, "query": "heat"},
    {"candidates": ["1", "2", "n", LONGEST_ID]},
]


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], RankEngine]:
    """A fresh engine whose items have times and prices."""
    folder = tmp_path_factory.mktemp("small")
    bundle = build_small(folder, folder / "shop").bundle
    return lambda: engine_over(bundle)


async def ask(client: httpx.AsyncClient, **request: Any) -> dict[str, Any]:
    # Nothing is timed here, and the machine may be busy.
    answer = await client.post("/recommend", json={**request, "budget_ms": 10_000})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def check_answers(client: httpx.AsyncClient) -> None:
    """Ask for everything twice, so that the second answers come from the cache where they can."""
    for request in REQUESTS * 2:
        assert (await ask(client, **request))["degraded"] == []
    for path in ("/catalogue", "/readyz", "/items/1"):
        assert (await client.get(path)).status_code == 200
    facets = await client.post("/facets", json={"fields": ["published_at", "price"]})
    assert facets.status_code == 200, facets.text


@pytest.mark.parametrize("fields", ITEMS, ids=lambda fields: repr(fields)[:60])
async def test_an_extreme_item_harms_no_answer_then_or_after_a_restart(
    engine: Callable[[], RankEngine], fields: dict[str, Any]
) -> None:
    item = {"id": "n", "title": "new", **fields}
    changes: dict[str, MemoryChanges] = {}
    async with served(engine(), changes=changes) as client:
        put = await client.put("/items", json=[item])
        assert put.json()["accepted"] == 1, put.text
        await check_answers(client)
        patched = await client.patch(f"/items/{item['id']}", json={"price": 1})
        assert patched.status_code == 200, patched.text
        await check_answers(client)
    async with served(engine(), changes=changes) as client:
        await check_answers(client)
        found = await client.get(f"/items/{item['id']}")
        assert found.json()["fields"]["price"] == 1


async def test_a_time_of_the_last_second_of_9999_stays_in_that_year(
    engine: Callable[[], RankEngine],
) -> None:
    item = {"id": "n", "title": "new", "published_at": "9999-12-31T23:59:59.999999Z"}
    async with served(engine()) as client:
        assert (await client.put("/items", json=[item])).json()["accepted"] == 1
        found = (await client.get("/items/n")).json()
    assert found["fields"]["published_at"] == "9999-12-31T23:59:59Z"


@pytest.mark.parametrize(
    ("start", "end", "visible"),
    [
        ("1969-12-31", None, True),
        ("1000-01-01", None, True),
        (None, "1960-01-01", False),
        ("0001-01-01", "9999-12-31", True),
        ("2999-01-01", None, False),
    ],
)
async def test_what_lies_far_off_is_visible_or_not(
    engine: Callable[[], RankEngine], start: str | None, end: str | None, visible: bool
) -> None:
    item = {"id": "n", "title": "new", "available_from": start, "available_until": end}
    changes: dict[str, MemoryChanges] = {}
    for body in ([item], None):
        async with served(engine(), changes=changes) as client:
            if body is not None:
                assert (await client.put("/items", json=body)).json()["accepted"] == 1
            items = (await ask(client, query="new"))["items"]
            assert ("n" in [found["id"] for found in items]) is visible


async def test_a_build_from_extreme_rows_can_be_served(tmp_path: Path) -> None:
    items = [{"id": f"n{n}", "title": "new", **fields} for n, fields in enumerate(ITEMS)]
    events = [{"user_id": "7", "item_id": "n1", **fields} for fields in EVENTS]
    done = build(
        write_jsonl(tmp_path / "items.jsonl", items),
        write_jsonl(tmp_path / "events.jsonl", events),
        Recipe(),
        tmp_path / "shop",
        fake_encoder,
    )
    # In files an integer beyond 64 bits is read as a float, which is no id.
    assert [report.rejected for report in done.reports] == [1, 1]
    async with served(engine_over(done.bundle)) as client:
        for item_id in (items[0]["id"], LONGEST_ID):
            assert (await client.get(f"/items/{item_id}")).status_code == 200
        for request in REQUESTS:
            assert (await ask(client, **request))["degraded"] == []


EVENTS: list[dict[str, Any]] = [
    *({"timestamp": moment} for moment in (TIMES[0], "1000-01-01", -2.5, 0, 5e-324)),
    *({"event": "rating", "value": value} for value in (LARGEST, -LARGEST, 5e-324, 2**63, -0.0)),
    {"item_id": LONGEST_ID},
    {"user_id": LONGEST_ID},
    {"event_id": LONGEST_ID, "recommendation_id": LONGEST_ID},
    {"item_id": -(10**255 - 1)},
    {"event": "\U0001f600" * 64},
    {"query": "\U0001f600" * 512},
    {"query": "\x00"},
    {"query": None},
    {"context": None},
    {"context": {f"{n}".rjust(64, "\U0001f600"): "\U0001f600" * 256 for n in range(16)}},
    {"context": {"a": "\x00", "b": 1.7976931348623157e308, "c": -5e-324}},
]


@pytest.mark.parametrize("fields", EVENTS, ids=lambda fields: repr(fields)[:60])
async def test_an_extreme_event_harms_no_answer_then_or_after_a_restart(
    engine: Callable[[], RankEngine], fields: dict[str, Any]
) -> None:
    event = {"user_id": "7", "item_id": "1", "event_id": "e", **fields}
    store = MemoryEventStore()
    for result in ("accepted", "duplicates"):
        async with served(engine(), events=store) as client:
            sent = await client.post("/events", json=[event])
            assert sent.json()[result] == 1, sent.text
            answer = await ask(client, user_id=event["user_id"], query="heat")
            assert answer["degraded"] == []
            found = await client.get(f"/users/{event['user_id']}")
            assert len(found.json()["events"]) == 1


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"value": 10**400}, "value"),
        ({"timestamp": 1e11}, "timestamp"),
        ({"timestamp": -(10**400)}, "timestamp"),
        ({"timestamp": "9999-12-31T23:59:59.999999Z"}, "timestamp"),
        ({"item_id": 10**256}, "item_id"),
        # Its spelling is what is stored, and that has three characters for each of these.
        ({"query": "\U0001d160" * 171}, "query"),
        ({"context": {"a": 10**400}}, "context.a"),
        pytest.param({"timestamp": time.time() + 2 * DAY_S}, "timestamp", id="in two days"),
    ],
    ids=lambda said: repr(said)[:60],
)
async def test_an_event_beyond_what_is_accepted_is_refused_by_itself(
    engine: Callable[[], RankEngine], fields: dict[str, Any], field: str
) -> None:
    good = {"user_id": "7", "item_id": "1"}
    async with served(engine()) as client:
        sent = (await client.post("/events", json=[{**good, **fields}, good])).json()
    assert (sent["accepted"], [remark["field"] for remark in sent["rejected"]]) == (1, [field])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/admin/scenarios/home", b'{"context":{"a":1e400}}'),
        ("/admin/scenarios/home", b'{"context":{"a":%b}}' % (b"9" * 400)),
        ("/admin/scenarios", b'{"scenarios":{"home":{"context":{"a":1e400}}}}'),
        ("/admin/rules/new", b'{"block":{"filter":{"year":{"gt":NaN}}}}'),
        ("/admin/rules/new", b"{"),
    ],
)
async def test_what_no_other_reader_could_hold_is_not_kept(
    engine: Callable[[], RankEngine], path: str, body: bytes
) -> None:
    async with served(engine()) as client:
        refused = await client.put(path, content=body)
        kept = await client.get(path.removesuffix("/home").removesuffix("/new"))
    assert refused.status_code == 422, refused.text
    assert "JSON" in refused.json()["error"]["message"]
    assert kept.json()[path.split("/")[2]] == []
