"""A sick catalogue, examined over HTTP and by the command: every finding that can show together.

What cannot, such as no items at all, and a catalogue that is well, are in `tests/api/`
and `tests/unit/doctor/`.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running, recserve, serving

pytestmark = pytest.mark.e2e

N_ITEMS = 150
AMHARIC = "የጠፈር ጀብዱ ከሮቦቶች ጋር"
LATER = (datetime.now(UTC) + timedelta(days=90)).date().isoformat()


def item(n: int) -> dict[str, Any]:
    """The first 56 have no title and no text, 30 are twins, 18 are long, 18 are in Amharic."""
    made: dict[str, Any] = {"id": f"p{n}", "shop": "Main", "points": n % 7}
    if n == 50:
        made["colour"] = "red"
    if n < 80:
        made["published_at"] = LATER if n % 8 == 0 else "2020-05-01"
    if n < 56:
        return made
    if n < 86:
        return {**made, "title": "Twin lamp", "text": "A lamp for the table."}
    if n < 104:
        return {**made, "title": f"Novel {n}", "text": f"A long story of {n}. " * 120}
    if n < 122:
        return {**made, "title": f"{AMHARIC} {n}", "text": AMHARIC}
    return {**made, "title": f"Chair number {n}", "text": "A chair made of wood."}


def event(n: int) -> dict[str, Any]:
    """Of 300 events 210 are about one item, 30 of a kind without a rule, 30 about no item."""
    said = {"user_id": f"u{n}", "item_id": "p100", "timestamp": 1_700_000_000 + n}
    if n % 10 == 0:
        return {**said, "event": "gazed at"}
    if n % 10 == 1:
        return {**said, "item_id": f"gone-{n}"}
    return {**said, "item_id": f"p{n % 40}"} if n % 10 == 2 else said


@pytest.fixture(scope="module")
def sick(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sick")
    for name, rows in (
        ("items", map(item, range(N_ITEMS))),
        ("events", map(event, range(300))),
    ):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), "utf-8")
    files = ("--items", str(folder / "items.jsonl"), "--events", str(folder / "events.jsonl"))
    done = recserve("build", *files, "--no-learn", "--out", str(folder / "models" / "sick"))
    assert done.returncode == 0, done.stderr
    return folder / "models" / "sick"


@pytest.fixture(scope="module")
def service(sick: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Two workers, in which the client always talks to the same one."""
    with serving(sick, tmp_path_factory.mktemp("serve"), "--workers", "2") as service:
        spoil(service)
        yield service


def spoil(service: Running) -> None:
    """Hide some items, send more events, and ask for what nobody has."""
    hidden = [{**item(n), "hidden": True} for n in range(118, N_ITEMS)]
    events = [{"user_id": f"v{n}", "item_id": "p100"} for n in range(150)]
    assert service.client.put("/items", json=hidden).status_code == 200
    assert service.client.post("/events", json=events).json()["accepted"] == 150
    for start in range(0, 576, 64):
        names = ["".join("qzxvwkjpfg"[int(d)] for d in str(n)) for n in range(start, start + 64)]
        requests = [{"query": f"qzxv{name} wxq{name}", "budget_ms": 10_000} for name in names]
        response = service.client.post("/recommend/batch", json={"requests": requests})
        assert response.status_code == 200


OF_DATA = {
    "no_text": (0.37, "37 % of items have no text: words cannot find them."),
    "no_title": (0.37, "37 % of items have no title"),
    "same_title": (0.2, "20 % of items have the same title as another one"),
    "empty_field:colour": (0.01, "The field colour is empty in 99.2 % of items"),
    "one_value:shop": (1, "The field shop has one value only"),
    "no_dates": (0.32, "32 % of items have no published_at"),
    "future_dates": (0.08, "8 % of items have a published_at in the future"),
    "hidden_items": (0.21, "21 % of items are hidden"),
    "unread_text": (0.12, "The encoder knows hardly a word of 12 % of items"),
    "cut_text": (0.12, "The text of 12 % of items is longer than the encoder reads"),
    "missing_roles": (3, "No field is the price or the rating or the runtime, and points has"),
    "unknown_kinds": (0.07, "7 % of events are of kinds without a rule"),
    "unknown_items": (0.07, "7 % of events are about items that the catalogue does not have"),
    "single_events": (1, "100 % of users have one event only"),
    "concentrated": (0.92, "1 % of items take 92 % of all events (Gini 0.99)"),
    "never_taken": (0.96, "96 % of items were never taken"),
    "nothing_learned": (0, "The bundle has learned nothing from behaviour: 0 users have several"),
    "train_again": (150, "150 events came after the bundle was learned, 50 % of what it knows"),
    "no_shared_cache": (2, "2 workers share no cache"),
}
OF_SERVICE = {
    "wordless_queries": (1, "100 % of queries find no word"),
    "weak_queries": (1, "Little was understood of 100 % of queries"),
    "low_hit_rate": (0, "0 % of requests were answered from the cache"),
}


def check(found: list[dict[str, Any]], expected: dict[str, tuple[float, str]]) -> None:
    by_id = {each["id"]: each for each in found}
    assert by_id.keys() == expected.keys()
    for name, (number, sentence) in expected.items():
        assert by_id[name]["number"] == pytest.approx(number, abs=0.005), name
        assert by_id[name]["sentence"].startswith(sentence), by_id[name]["sentence"]
        assert by_id[name]["remedy"]


def test_a_sick_catalogue_over_http(service: Running) -> None:
    response = service.client.get("/admin/doctor")
    assert response.status_code == 200, response.text
    shown = response.json()
    check(shown["findings"], {**OF_DATA, **OF_SERVICE})
    assert shown["findings"][0]["severity"] == "error"
    assert shown["looked_at"] == {"items": N_ITEMS, "events": 450, "queries": 576}


def test_the_command_finds_the_same_beside_the_service(service: Running, sick: Path) -> None:
    flags = ("--bundle", str(sick), "--data-dir", str(service.log.parent / "data"))
    done = recserve("doctor", *flags, "--workers", "2", "--json")
    assert done.returncode == 0, done.stderr
    check(json.loads(done.stdout)["findings"], OF_DATA)
    said = recserve("doctor", *flags)
    assert said.returncode == 0, said.stderr
    assert "error    37 % of items have no text: words cannot find them.\n" in said.stdout


def test_no_bundle_is_said_in_one_line(tmp_path: Path) -> None:
    done = recserve("doctor", "--bundle", str(tmp_path / "none"), "--data-dir", str(tmp_path))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "there is no bundle" in done.stderr
